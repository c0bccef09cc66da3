#!/usr/bin/python3
"""Measures tusfcgi and its peers, in one interleaved run.

usage: bench.py [-r ROUNDS] [-o FOLDER] [--quick] [--before PROGRAM]
                [--no-install] [PART...]

Without a part, all of them.  For each it prints a table, medians and spread,
the ratio to each peer, and whether a goal is met: missed only if it is missed
in more than half of the rounds.  Where the rounds differ much, fewer digits
are printed.  FOLDER/bench.json has every single result of the last run of
each part, FOLDER/bench.html is the same as a page.  See README.md.
"""

import argparse
import json
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import bucket
import growth
import parts
import peers
import pool
import report

HERE = Path(__file__).resolve().parent
PARTS = {**parts.PARTS, **pool.PARTS, **growth.PARTS, **bucket.PARTS}
WANTS = ("nginx=nginx wrk=wrk node=nodejs npm=npm lighttpd=lighttpd "
         "apache2=apache2 libapache2-mod-fcgid libapache2-mod-xsendfile "
         "mkfs.ext4=e2fsprogs valgrind=valgrind strace=strace").split()


class Bench:
    def __init__(self, options):
        self.rounds = options.rounds
        self.quick = options.quick
        self.before = options.before
        self.out = Path(options.out).resolve()
        self.out.mkdir(parents=True, exist_ok=True)
        self.upload = self.out / "upload"
        compiler = shlex.split(os.environ.get("CC", "cc"))
        subprocess.run([*compiler, "-O2", "-o", self.upload,
                        HERE / "upload.c"], check=True)
        self.data = self.load()
        self.last = dict(self.data["parts"])
        self.place = tempfile.TemporaryDirectory(dir=self.out)
        subprocess.run(["chattr", "+T", self.place.name], check=False,
                       capture_output=True)
        self.image = None

    def load(self):
        """What earlier runs left, for the parts that are not run now."""
        path = self.out / "bench.json"
        old = json.loads(path.read_text()) if path.exists() else {}
        return {"date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "commit": commit(), "machine": platform.platform(),
                "cores": os.cpu_count(), "parts": old.get("parts", {})}

    def save(self):
        (self.out / "bench.json").write_text(json.dumps(self.data, indent=1))
        (self.out / "bench.html").write_text(report.page(self.data))

    def close(self):
        if self.image:
            self.image.close()
        self.place.cleanup()

    def fresh(self):
        """A folder of its own; all go at the end, since ext4 creates files
        several times slower for minutes after many were removed."""
        return Path(tempfile.mkdtemp(dir=self.place.name))

    def fresh_for_many(self):
        """The same for many small files: on a file system of its own, where
        nobody removes any meanwhile, if we may make one.  A part of the
        benchmark may need most of it."""
        if self.image and self.image.is_used():
            self.image.close()
            self.image = None
        if self.image is None:
            self.image = Image(self.out)
        if not self.image.mounted:
            return self.fresh()
        return Path(tempfile.mkdtemp(dir=self.image.mounted))

    # --- one measurement ---------------------------------------------------

    def drive(self, peer, *argv):
        """Runs the C client; returns what it says on stdout and stderr."""
        done = subprocess.run(
            [str(self.upload), argv[0], str(peer.port), *map(str, argv[1:])],
            capture_output=True, text=True, timeout=600, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{peer.name}: {done.stderr.strip()}")
        return done.stdout.split(), done.stderr.split()

    def wrk(self, peer, script, seconds, size=1024):
        done = subprocess.run(
            ["wrk", "-t2", "-c32", f"-d{seconds}s", "-s",
             str(HERE / script), f"http://127.0.0.1:{peer.port}"],
            capture_output=True, text=True, check=True,
            env={**os.environ, "BENCH_PATH": peer.path,
                 "BENCH_SIZE": str(size)})
        count, bad = 0, 0
        for line in done.stdout.splitlines():
            if " requests in " in line:
                count = int(line.split()[0])
            if line.strip().startswith("Non-2xx"):
                bad = int(line.split()[-1])
        if bad > count / 100 or count == 0:
            raise RuntimeError(f"{peer.name}: {bad} of {count} refused")
        return count

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

    # --- a part: peers, interleaved rounds, a table --------------------------

    def compare(self, part, makers, work, goals=(), unit="GiB", folder=None):
        """work(peer) -> count; goals: (letter, metric, peer, limit, whether
        at least, ours)."""
        running = self.start(part, makers, folder or self.fresh())
        found = {p.name: [] for p in running}
        try:
            for i in range(self.rounds):
                for p in running:
                    report.say(f"{part}: round {i + 1} of {self.rounds}, "
                               f"{p.name}")
                    found[p.name].append(
                        self.measure(p, lambda p=p: work(p)))
                    p.clear()
        finally:
            for p in running:
                p.close()
        report.say("")
        report.show(part, found, unit)
        self.keep(part, {"unit": unit, "peers": found},
                  [self.goal(found, *g) for g in goals
                   if g[2] in found])
        self.against_others(part, found)

    def start(self, part, makers, folder):
        """makers: classes, or functions that take a folder."""
        running = []
        if self.before and peers.Tusfcgi in makers:
            makers = [peers.before(self.before), *makers]
        for make in makers:
            why = peers.missing(make)
            if why:
                print(f"{part}: {why}")
                continue
            running.append(make(folder))
        return running

    @staticmethod
    def goal(found, letter, metric, peer, limit, at_least, ours="tusfcgi"):
        what = {"cpu": "CPU", "app": "application", "per_s": "speed"}[metric]
        return report.Goal(letter, f"{what}, {ours} / {peer}", limit,
                           report.ratios(found, metric, peer, ours), at_least)

    def keep(self, part, result, goals=()):
        """Remembers a part, and says which of its goals are met."""
        result["goals"] = [g.line() for g in goals]
        result["date"], result["commit"] = self.data["date"], commit()
        for line in result["goals"]:
            print(f"  {line}")
        self.data["parts"][part] = result
        self.save()

    def against_others(self, part, found):
        """The program before a change, in this run or in the last one."""
        if "before" in found:
            print("  against the program before: CPU " + report.number(
                report.ratios(found, "cpu", "before")) + ", application " +
                report.number(report.ratios(found, "app", "before")) +
                ", speed " + report.number(
                    report.ratios(found, "per_s", "before")))
        last = self.last.get(part, {})
        rows = last.get("peers", {}).get("tusfcgi")
        if rows and "tusfcgi" in found:
            ratio = report.middle(found["tusfcgi"], "cpu") / \
                report.middle(rows, "cpu")
            print(f"  against the last run ({last['commit']}, "
                  f"{last['date'][:10]}): CPU {report.digits(ratio, 0.2)}")


class Image:
    """An ext4 in a file, mounted; goes in one piece.  Not mounted: None."""

    def __init__(self, folder):
        self.path = folder / "small.img"
        self.mounted = None
        point = folder / "small"
        point.mkdir(exist_ok=True)
        if os.geteuid() != 0 or not shutil.which("mkfs.ext4"):
            return
        with open(self.path, "wb") as f:
            f.truncate(12 << 30)
        made = subprocess.run(
            f"mkfs.ext4 -q -N 6000000 {self.path} && "
            f"mount -o loop {self.path} {point} && chattr +T {point}",
            shell=True, capture_output=True, check=False)
        if made.returncode == 0:
            self.mounted = point
        else:
            self.path.unlink()

    def is_used(self):
        return self.mounted and \
            shutil.disk_usage(self.mounted).used > 1 << 30

    def close(self):
        if self.mounted:
            subprocess.run(["umount", self.mounted], check=False)
            self.path.unlink()


def commit():
    done = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=HERE,
                          capture_output=True, text=True, check=False)
    return done.stdout.strip()


def install():
    """What is missing, if we may; what cannot be had is left out."""
    subprocess.run(
        ["bash", "-c", 'top=$1; . "$top/etc/prepare.sh"; shift; want "$@"',
         "bench", peers.TREE, *WANTS], check=False)


def warm_up():
    """A page of memory that a guest never used costs six times as much as
    one it did: touch what the page cache will want."""
    with open("/proc/meminfo", encoding="ascii") as f:
        free = int(f.read().split("MemFree:")[1].split()[0]) << 10
    size = min(free // 2, 8 << 30)
    subprocess.run(["/usr/bin/python3", "-c", f"bytearray({size})"],
                   check=False)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__ + "\nParts: " + " ".join(PARTS),
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-r", "--rounds", type=int, default=5)
    parser.add_argument("-o", "--out", default="bench")
    parser.add_argument("--quick", action="store_true",
                        help="less of everything, to see whether it works")
    parser.add_argument("--before", metavar="PROGRAM",
                        help="another tusfcgi, to compare with")
    parser.add_argument("--no-install", action="store_true",
                        help="leave out what is not installed")
    parser.add_argument("part", nargs="*", choices=[[], *PARTS], default=[])
    options = parser.parse_args()
    if not options.no_install:
        install()
    warm_up()
    bench = Bench(options)
    try:
        for name in options.part or PARTS:
            PARTS[name](bench)
    finally:
        bench.close()
    print(f"\nevery single result is in {bench.out}/bench.json, a page in "
          f"{bench.out}/bench.html")


if __name__ == "__main__":
    main()
