"""Prometheus text format 0.0.4, read as strictly as it is written down."""

import re

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*"'
SAMPLE = re.compile(
    rf"({NAME})(?:\{{({LABEL}(?:,{LABEL})*)\}})? "
    r"([0-9]+(?:\.[0-9]+)?)")


class Metrics(dict):
    """Values by name and labels; types by name."""

    def __init__(self, text):
        super().__init__()
        self.types = {}
        self.helps = {}
        assert text.endswith("\n")
        family = None
        for line in text[:-1].split("\n"):
            if line.startswith("# "):
                family = self.comment(line)
            else:
                self.sample(line, family)
        assert set(self.types) == set(self.helps)

    def comment(self, line):
        match = re.fullmatch(rf"# (HELP|TYPE) ({NAME}) (.+)", line)
        assert match, line
        what, name, text = match.groups()
        known = self.types if what == "TYPE" else self.helps
        assert name not in known, line
        assert what == "HELP" or text in ("counter", "gauge", "histogram",
                                          "summary"), line
        known[name] = text
        return name

    def sample(self, line, family):
        """All of a family stand together, behind its comments."""
        match = SAMPLE.fullmatch(line)
        assert match, line
        name, labels, value = match.groups()
        assert family in self.types, line
        parts = {"histogram": ("bucket", "sum", "count"),
                 "summary": ("sum", "count")}.get(self.types[family], ())
        assert name == family or name in [f"{family}_{x}" for x in parts], line
        pairs = re.findall(LABEL, labels or "")
        names = [p.split("=")[0] for p in pairs]
        assert len(names) == len(set(names)), line
        key = f"{name}{{{','.join(pairs)}}}" if pairs else name
        assert key not in self, line
        self[key] = float(value)

    def total(self, name):
        """Over all labels."""
        return sum(v for k, v in self.items() if k.split("{")[0] == name)
