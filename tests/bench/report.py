"""What the numbers say: how many digits, ok or MISS, tables, and a page."""

import html
import json
import math
import statistics
import sys


def say(text):
    """Progress, for somebody who looks."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def middle(rows, metric):
    return statistics.median(r[metric] for r in rows)


def spread(values):
    """How far the middle half is from the median, as a part of it."""
    values = sorted(values)
    median = statistics.median(values)
    if len(values) < 3 or median == 0:
        return 0
    quarter = len(values) // 4
    return max(values[-1 - quarter] - median,
               median - values[quarter]) / abs(median)


def digits(value, noise=0.0):
    """Three digits; two where a tenth is noise, one and "~" where a third."""
    n = 3 if noise < 0.1 else 2 if noise < 0.33 else 1
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    places = n - 1 - math.floor(math.log10(abs(value)))
    text = f"{round(value, places):,.{max(places, 0)}f}"
    return "~" + text if n == 1 else text


def number(values):
    return digits(statistics.median(values), spread(values))


def judge(ratios, limit, at_least):
    """Missed only if missed in more than half of the rounds; and where the
    rounds do not agree, that is said."""
    met = sum(r >= limit if at_least else r <= limit for r in ratios)
    verdict = "ok" if met * 2 >= len(ratios) else "MISS"
    return verdict if met in (0, len(ratios)) else \
        f"{verdict}, in {max(met, len(ratios) - met)} of {len(ratios)} rounds"


class Goal:
    """One of the goals of a part, and what became of it."""

    def __init__(self, letter, what, limit, ratios, at_least=False):
        self.text = (f"{letter}: {what} {'>=' if at_least else '<='} "
                     f"{limit:g}")
        self.value = number(ratios)
        self.range = f"{digits(min(ratios))}..{digits(max(ratios))}"
        self.verdict = judge(ratios, limit, at_least)

    def line(self):
        return f"{self.text}: {self.value} ({self.range}): {self.verdict}"


def scale_of(unit):
    """CPU time is said in s for a GiB, in us for anything smaller."""
    return (1, "s") if unit == "GiB" else (1e6, "us")


def show(part, found, unit):
    scale, name = scale_of(unit)
    print(f"\n{part}: CPU {name} per {unit} (median, min..max) = front end + "
          f"application; {unit}/s")
    for peer, rows in found.items():
        cpu = sorted(r["cpu"] * scale for r in rows)
        print(f"  {peer:16} {number(cpu):>8} "
              f"({digits(cpu[0])}..{digits(cpu[-1])}) = "
              f"{digits(middle(rows, 'front') * scale)} + "
              f"{digits(middle(rows, 'app') * scale)};  "
              f"{number([r['per_s'] for r in rows])}/s")


def ratios(found, metric, peer, ours="tusfcgi"):
    """Round by round, so that what shakes both shakes neither."""
    return [a[metric] / b[metric] for a, b in zip(found[ours], found[peer])]


def table(title, columns, rows):
    """A table of text, the columns as wide as they need to be."""
    cells = [list(map(str, r)) for r in (columns, *rows)]
    widths = [max(len(r[i]) for r in cells) for i in range(len(columns))]
    print(f"\n{title}")
    for row in cells:
        print("  " + "  ".join(c.rjust(w) for c, w in zip(row, widths)))


# --- A page ------------------------------------------------------------------

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 52rem; margin: 2rem
  auto; padding: 0 1rem; color: #1c2024; background: #fff }
h1 { font-size: 1.5rem } h2 { font-size: 1.05rem; margin: 2rem 0 .4rem }
p, li { color: #444c55 } svg { width: 100%; height: auto; display: block }
svg.lines { max-width: 34rem } div { overflow-x: auto }
text { font: 13px system-ui, sans-serif; fill: currentColor }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
.row { display: grid; grid-template-columns: 8rem 1fr 11rem; gap: 0 .7rem;
  align-items: center; margin: .3rem 0 } .row b { font-weight: 400;
  text-align: right } .bar { position: relative; display: flex; height: 1.1rem }
.bar u { position: absolute; top: 45%; height: 2px; background: #e5484d }
@media (max-width: 40rem) { .row { grid-template: "name text" "bar bar" /
  max-content 1fr; margin: .7rem 0 } .bar { grid-area: bar }
  .row b { text-align: left } .row span:last-child { text-align: right } }
td, th { padding: .15rem .8rem .15rem 0; text-align: right }
ul { list-style: none; padding: 0 } .ok { color: #18794e }
.miss { color: #b4232a; font-weight: 600 }
@media (prefers-color-scheme: dark) { body { background: #16181b;
  color: #e6e8ea } p, li { color: #a9b1ba } .ok { color: #4cc38a }
  .miss { color: #ff8589 } }
"""
COLOURS = {"front": "#8fb8de", "app": "#2f6fb3"}


def bar(rows, scale, most):
    """The two parts of the median, and a line from the best to the worst."""
    cpu = [r["cpu"] * scale for r in rows]
    parts = "".join(
        f'<i style="width:{middle(rows, part) * scale / most:.2%};'
        f'background:{COLOURS[part]}"></i>' for part in ("front", "app"))
    return (f'<span class=bar>{parts}<u style="left:{min(cpu) / most:.2%};'
            f'width:{(max(cpu) - min(cpu)) / most:.2%}"></u></span>')


def bars(found, unit):
    """CPU per unit, front end and application."""
    scale, name = scale_of(unit)
    most = max(r["cpu"] for rows in found.values() for r in rows) * scale
    out = []
    for peer, rows in found.items():
        cpu, speed = ([r[what] for r in rows] for what in ("cpu", "per_s"))
        out.append(f"<div class=row><b>{html.escape(peer)}</b>"
                   f"{bar(rows, scale, most)}"
                   f"<span>{number([c * scale for c in cpu])} {name}; "
                   f"{number(speed)}/s</span></div>")
    return "".join(out)


LINES = ("#2f6fb3", "#e5484d")


class Plane:
    """Two axes by powers of ten, as narrow as a phone."""

    WIDTH, HEIGHT, LEFT, RIGHT, TOP = 460, 220, 44, 30, 14

    def __init__(self, points):
        least = min((y for _, y in points if y > 0), default=1)
        self.right = math.ceil(math.log10(max(x for x, _ in points)))
        self.high = math.ceil(math.log10(max(y for _, y in points)))
        self.low = max(math.floor(math.log10(least)), self.high - 4)

    def place(self, x, y):
        """What is below the lowest line is on it."""
        y = math.log10(max(y, 10 ** self.low)) - self.low
        return (self.LEFT + math.log10(x) / max(self.right, 1) *
                (self.WIDTH - self.LEFT - self.RIGHT),
                self.HEIGHT - y / max(self.high - self.low, 1) *
                (self.HEIGHT - self.TOP))

    def axes(self, names):
        out = [text(self.WIDTH / 2, self.HEIGHT + 40, "middle", names[0])]
        for i in range(self.right + 1):
            x, _ = self.place(10 ** i, 1)
            out.append(text(x, self.HEIGHT + 20, "middle", f"{10 ** i:,}"))
        for i in range(self.low, self.high + 1):
            _, y = self.place(1, 10 ** i)
            out.append(text(self.LEFT - 8, y + 4, "end", f"{10 ** i:g}"))
            out.append(f'<path d="M{self.LEFT} {y:.0f}H{self.WIDTH}" '
                       'stroke="#8886" stroke-width="0.5"/>')
        return out

    def line(self, name, rows, unit, colour):
        at = [self.place(x, y) for x, y in rows]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in at)
        x, y = at[-1]
        return [f'<path d="M{path}" fill="none" stroke="{colour}" '
                'stroke-width="2"/>',
                *(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" '
                  f'fill="{colour}"/>' for x, y in at),
                text(x - 10, y, "end",
                     f"{name}, {digits(rows[-1][1])} {unit}")]


def text(x, y, anchor, what):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">'
            f"{html.escape(what)}</text>")


def lines(series, axes):
    """Values against numbers; a lone one is a dot."""
    plane = Plane([p for rows in series.values() for p in rows])
    out = plane.axes(axes)
    for (name, rows), colour in zip(series.items(), LINES):
        out += plane.line(name, rows, axes[1], colour)
    return (f'<svg class=lines viewBox="0 0 {plane.WIDTH} {plane.HEIGHT + 50}"'
            ' role="img">' + "".join(out) + "</svg>")


def page_table(part):
    head = "".join(f"<th>{html.escape(str(c))}" for c in part["columns"])
    rows = "".join("<tr>" + "".join(f"<td>{html.escape(str(c))}" for c in row)
                   for row in part["rows"])
    return f"<div><table><tr>{head}{rows}</table></div>"


def page_part(name, part):
    out = [f"<h2>{html.escape(name)}</h2>"]
    if "peers" in part:
        out.append(f"<p>CPU time per {part['unit']}, and {part['unit']}/s</p>")
        out.append(bars(part["peers"], part["unit"]))
    if "lines" in part:
        out.append(lines(part["lines"], part["axes"]))
    if "rows" in part:
        out.append(page_table(part))
    if "text" in part:
        out.append(f"<p>{html.escape(part['text'])}</p>")
    out.append("<ul>" + "".join(
        f'<li class="{"ok" if "ok" in g[-20:] else "miss"}">'
        f"{html.escape(g)}</li>" for g in part.get("goals", [])) + "</ul>")
    return "".join(out)


def page(data):
    """The whole of bench.json as one page that needs nothing else."""
    parts = "".join(page_part(n, p) for n, p in data["parts"].items())
    return (f"<!doctype html><html lang=en><meta charset=utf-8><meta "
            f"name=viewport content='width=device-width'><title>tusfcgi: how "
            f"fast</title><style>{STYLE}</style><h1>How fast</h1><p>"
            f"{html.escape(data['machine'])}, {data['cores']} cores, commit "
            f"{data['commit']}, {data['date'][:10]}. Bars: CPU time of the "
            f"<span style='color:{COLOURS['front']}'>front end</span> and of "
            f"the <span style='color:{COLOURS['app']}'>application</span>, "
            f"medians; the red line goes from the best to the worst round. "
            f"Shorter is better.</p>{parts}</html>")


def main():
    """bench.json on stdin, the page on stdout: to look at an old run."""
    print(page(json.load(sys.stdin)))


if __name__ == "__main__":
    main()
