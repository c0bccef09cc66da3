#!/usr/bin/python3
"""Measures tusfcgi and its peers, in one interleaved run.

usage: bench.py [-r ROUNDS] [-o FOLDER] [--quick] [PART...]

Parts: big chunks small with head get concat slow durability idle; all if none
is named.  Prints a table per part: medians, the spread, the ratio to each
peer, and whether a goal is met (missed only if it is missed in more than half
of the rounds).  Writes FOLDER/bench.json and compares with the one that was
there.  Two noisy cores carry generator, front end and application: believe
ratios, and CPU seconds before wall time.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import peers
import slow

HERE = Path(__file__).resolve().parent
MIB = 1 << 20
GIB = 1 << 30


class Bench:
    def __init__(self, options):
        self.rounds = options.rounds
        self.quick = options.quick
        self.out = Path(options.out).resolve()
        self.out.mkdir(parents=True, exist_ok=True)
        self.upload = self.out / "upload"
        subprocess.run([os.environ.get("CC", "cc"), "-O2", "-o", self.upload,
                        HERE / "upload.c"], check=True)
        self.results = {}
        self.place = tempfile.TemporaryDirectory(dir=self.out)

    def fresh(self):
        """A folder of its own; all go at the end, since ext4 creates files
        several times slower for minutes after many were removed."""
        return Path(tempfile.mkdtemp(dir=self.place.name))

    # --- one measurement ---------------------------------------------------

    def drive(self, peer, *argv):
        """Runs the C client; returns what it says on stdout and stderr."""
        done = subprocess.run(
            [str(self.upload), argv[0], str(peer.port), *map(str, argv[1:])],
            capture_output=True, text=True, timeout=600, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{peer.name}: {done.stderr.strip()}")
        return done.stdout.split(), done.stderr.split()

    def measure(self, peer, work):
        """work() returns a number of things done; what one of them costs."""
        front, app = peer.cpu()
        began = time.monotonic()
        count = work()
        wall = time.monotonic() - began
        front2, app2 = peer.cpu()
        return {"wall": wall, "per_s": count / wall,
                "front": (front2 - front) / count,
                "app": (app2 - app) / count,
                "cpu": (front2 - front + app2 - app) / count}

    def wrk(self, peer, script, seconds, **env):
        done = subprocess.run(
            ["wrk", "-t2", "-c32", f"-d{seconds}s", "-s",
             str(HERE / script), f"http://127.0.0.1:{peer.port}"],
            capture_output=True, text=True, check=True,
            env={**os.environ, "BENCH_PATH": peer.path, **env})
        count, bad = 0, 0
        for line in done.stdout.splitlines():
            if " requests in " in line:
                count = int(line.split()[0])
            if line.strip().startswith("Non-2xx"):
                bad = int(line.split()[-1])
        if bad > count / 100 or count == 0:
            raise RuntimeError(f"{peer.name}: {bad} of {count} refused")
        return count

    # --- a part: peers, interleaved rounds, a table --------------------------

    def compare(self, part, classes, work, goals=(), unit="GiB"):
        """work(peer) -> count; goals: (metric, peer, limit, is_at_least)."""
        running = self.start(part, classes, self.fresh())
        found = {p.name: [] for p in running}
        try:
            for i in range(self.rounds):
                for p in running:
                    say(f"{part}: round {i + 1} of {self.rounds}, {p.name}")
                    found[p.name].append(
                        self.measure(p, lambda p=p: work(p)))
                    p.clear()
        finally:
            for p in running:
                p.close()
        say("")
        self.results[part] = found
        show(part, found, unit)
        for goal in goals:
            judge(part, found, *goal)

    def start(self, part, classes, folder):
        running = []
        for cls in classes:
            why = peers.missing(cls) if isinstance(cls, type) else None
            if why:
                print(f"{part}: {cls.name} left out: {why}")
                continue
            running.append(cls(folder))
        return running

    def send(self, size, chunk=None):
        def work(peer):
            argv = [peer.kind, peer.path, size]
            if peer.kind == "tus":
                argv.append(chunk or size)
            self.drive(peer, *argv)
            return size / GIB
        return work

    def big(self):
        self.compare(
            "big", [peers.Tusfcgi, peers.Dav, peers.DavDefault, peers.Node],
            self.send(GIB // 4 if self.quick else GIB), [
                ("cpu", "dav-1m", 1.8, False),
                ("cpu", "dav-default", 0.9, False),
                ("cpu", "node", 0.6, False),
                ("per_s", "dav-1m", 0.65, True),
                ("per_s", "dav-default", 1.3, True),
                ("per_s", "node", 1.5, True)])

    def chunks(self):
        for chunk in (4 * MIB, MIB, 65536):
            goals = [("per_s", "node", 3, True), ("cpu", "node", 0.3, False)]
            self.compare(
                f"chunks of {chunk // 1024} KiB",
                [peers.Tusfcgi, peers.Node],
                self.send(256 * MIB if chunk >= MIB else 32 * MIB, chunk),
                goals if chunk == MIB else ())

    def short(self, part, script, goals):
        if not peers.rig.have("wrk"):
            print(f"{part}: left out: wrk is not installed")
            return
        seconds = 2 if self.quick else 5

        def work(peer):
            count = self.wrk(peer, script, seconds)
            return count / 2 if script == "small.lua" else count

        self.compare(part, [peers.Tusfcgi, peers.Node], work, goals,
                     "upload")

    def small(self):
        self.short("small", "small.lua", [("per_s", "node", 7, True),
                                          ("cpu", "node", 0.25, False)])

    def with_(self):
        self.short("with", "with.lua", [("per_s", "node", 8, True)])

    def head(self):
        ids = {}

        def work(peer):
            if peer.name not in ids:
                paths = [self.drive(peer, "tus", peer.path, 1024)[1][0]
                         for _ in range(200)]
                ids[peer.name] = self.out / f"ids-{peer.name}"
                ids[peer.name].write_text("\n".join(paths) + "\n")
            said, _ = self.drive(peer, "head", ids[peer.name],
                                 2 if self.quick else 5, 32)
            return int(said[0])

        self.compare("head", [peers.Tusfcgi, peers.Node], work,
                     [("per_s", "node", 5.5, True)], "HEAD")

    def get(self):
        paths = {}

        def work(peer):
            if peer.name not in paths:
                said = self.drive(peer, peer.kind, peer.path, 256 * MIB)[1]
                paths[peer.name] = said[0] if said else peer.path
            self.drive(peer, "get", paths[peer.name])
            return 0.25

        def keep(cls):
            class Kept(cls):
                def clear(self):
                    pass
            return Kept

        self.compare("get", [keep(peers.Tusfcgi), keep(peers.Dav)], work)

    def concat(self):
        def work(peer):
            return slow.concat(peer.port, peer.path, 64, 65536)

        self.compare("concat of 64 parts", [peers.Tusfcgi], work, (),
                     "final")

    def durability(self):
        def ours(mode):
            return lambda folder: peers.Tusfcgi(
                folder, f"tusfcgi-{mode}", store={"durability": mode})

        modes = ("none", "data", "full")
        size = GIB // 4 if self.quick else GIB
        self.compare("durability, one PATCH", [ours(m) for m in modes],
                     self.send(size),
                     [("per_s", "tusfcgi-none", 0.7, True, "tusfcgi-data")])
        self.compare("durability, chunks of 4 MiB",
                     [ours(m) for m in modes], self.send(size // 4, 4 * MIB),
                     [("per_s", "tusfcgi-none", 0.4, True, "tusfcgi-full")])

    def idle(self):
        p = peers.Tusfcgi(self.fresh())
        try:
            time.sleep(1)
            pss, n = p.app.pss(), len(p.app.all_pids())
        finally:
            p.close()
        self.results["idle"] = {"pss": pss, "processes": n}
        print(f"\nidle: {n} processes, {pss / MIB:.2f} MiB PSS; goal at most "
              f"4 MiB: {'ok' if pss <= 4 * MIB else 'MISS'}")

    def slow(self):
        n = 200 if self.quick else 1000
        p = peers.Tusfcgi(self.fresh(), pool={"max_workers": n + 60})
        try:
            r = slow.uploads(p, n, 20)
        finally:
            p.close()
        self.results["slow"] = r
        print(f"\n{n} uploads at 1 KiB/s: {r['progress']} progressed, HEAD "
              f"p50 {r['p50']:.1f} p99 {r['p99']:.1f} max {r['max']:.1f} ms, "
              f"application {r['pss'] / MIB:.1f} MiB PSS")
        print(f"  goals: all progress: {verdict(r['progress'] == n)}; p99 at "
              f"most 50 ms: {verdict(r['p99'] <= 50)}; at most 90 MiB for "
              f"1,000: {verdict(r['pss'] <= 90 * MIB * n / 1000)}")


def verdict(met):
    return "ok" if met else "MISS"


def say(text):
    """Progress, for somebody who looks."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def middle(rows, metric):
    return statistics.median(r[metric] for r in rows)


def digits(value):
    """Three that mean something."""
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def show(part, found, unit):
    scale, name = (1, "s") if unit == "GiB" else (1e6, "us")
    print(f"\n{part}: CPU {name} per {unit} (median, min..max), of which "
          f"front end + application; {unit}/s")
    for peer, rows in found.items():
        cpu = sorted(r["cpu"] * scale for r in rows)
        print(f"  {peer:16} {digits(middle(rows, 'cpu') * scale):>8} "
              f"({digits(cpu[0])}..{digits(cpu[-1])}) = "
              f"{digits(middle(rows, 'front') * scale)} + "
              f"{digits(middle(rows, 'app') * scale)};  "
              f"{digits(middle(rows, 'per_s'))}/s")


def judge(part, found, metric, peer, limit, at_least, ours="tusfcgi"):
    """Round by round, so that what shakes both shakes neither."""
    if peer not in found or ours not in found:
        return
    ratios = [a[metric] / b[metric]
              for a, b in zip(found[ours], found[peer])]
    met = sum(r >= limit if at_least else r <= limit for r in ratios)
    print(f"  {ours} / {peer}, {'CPU' if metric == 'cpu' else 'speed'}: "
          f"{statistics.median(ratios):.2f} ({min(ratios):.2f}.."
          f"{max(ratios):.2f}), goal {'>=' if at_least else '<='} {limit}: "
          f"{verdict(met * 2 >= len(ratios))}")


def commit():
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=HERE,
                          capture_output=True, text=True, check=False)
    return done.stdout.strip()


def compare_with_last(last, results):
    """CPU of ours against the last run, where both have it."""
    for part, found in results.items():
        before = last.get("results", {}).get(part, {}).get("tusfcgi")
        now = found.get("tusfcgi")
        if before and now:
            print(f"  {part}: CPU {middle(now, 'cpu') / middle(before, 'cpu'):.2f}"
                  f" times that of {last.get('commit')} ({last.get('date')})")


def main():
    parts = ["big", "chunks", "small", "with", "head", "get", "concat",
             "slow", "durability", "idle"]
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-r", "--rounds", type=int, default=5)
    parser.add_argument("-o", "--out", default="bench")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("part", nargs="*", choices=[[], *parts], default=[])
    options = parser.parse_args()
    bench = Bench(options)
    for part in options.part or parts:
        getattr(bench, "with_" if part == "with" else part)()
    path = bench.out / "bench.json"
    if path.exists():
        print("\nagainst the last run:")
        compare_with_last(json.loads(path.read_text()), bench.results)
    path.write_text(json.dumps({
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "commit": commit(), "machine": platform.platform(),
        "cores": os.cpu_count(), "results": bench.results}, indent=1))
    bench.place.cleanup()
    print(f"\nevery single result is in {path}")


if __name__ == "__main__":
    main()
