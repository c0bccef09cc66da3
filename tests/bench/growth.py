"""What things cost as there are more of them: tables, and no goals."""

import os
import resource
import subprocess
import time

import peers
import report
from lib import fastcgi

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30


def us(value):
    return report.digits(value, 0.2)


def keep(bench, name, columns, rows):
    report.say("")
    report.table(name, columns, rows)
    bench.keep(name, {"columns": columns, "rows": rows})


def sweep(conf):
    """Wall and CPU time of one that finds nothing to do, in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    subprocess.run([peers.rig.program("tusctl"), "-c", conf, "sweep",
                    "--dry-run"], check=True, stdout=subprocess.DEVNULL)
    wall = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, (after.ru_utime + after.ru_stime -
                  before.ru_utime - before.ru_stime)


def stored(bench):
    """HEAD and create without a web server, and a sweep, as uploads come."""
    folder = bench.fresh_for_many()
    core = peers.Core(folder)
    conf = folder / "sweep.conf"
    conf.write_text(f'store: {{ path = "{core.uploads}"; }};\n')
    there, rows = 0, []
    most = 10000 if bench.quick or not bench.image.mounted else 1000000
    for total in (1, 1000, 10000, 100000, 1000000):
        if total > most:
            break
        report.say(f"growth: {total} uploads")
        create = core.run("create", there, total - there)
        there = total
        heads = [core.run("head", 0, 5000, total) for _ in range(3)]
        wall, cpu = sweep(conf)
        rows.append([f"{total:,}", us(create), report.number(heads),
                     report.digits(wall, 0.2), us(cpu * 1e6 / total)])
    keep(bench, "growth: stored uploads",
         ["uploads", "create us", "HEAD us", "sweep s", "CPU us each"], rows)


def limits(bench):
    """A creation under a limit that depends on all other uploads."""
    folder = bench.fresh_for_many()
    kinds = ("create", "quota", "never")
    cores = {}
    for kind in kinds:
        (folder / kind).mkdir()
        cores[kind] = peers.Core(folder / kind)
    there, rows, n = 0, [], 100
    for total in (100, 1000, 10000, 100000):
        if bench.quick and total > 10000:
            break
        report.say(f"growth: {total} uploads under a limit")
        found = {kind: [] for kind in kinds}
        for kind, core in cores.items():
            core.run(kind, there, total - there)
        for i in range(bench.rounds):
            for kind, core in cores.items():
                found[kind].append(core.run(kind, total + i * n, n))
        there = total + bench.rounds * n
        rows.append([f"{total:,}", *map(report.number, found.values())])
    keep(bench, "growth: a creation under a limit",
         ["uploads", "us", "quota us", "overcommit = never us"], rows)


def file_size(bench):
    """PATCH of 1 KiB at the end of a file of so many bytes, mostly a hole."""
    folder = bench.fresh_for_many()
    core = peers.Core(folder)
    sizes = [KIB, MIB, GIB, 10 * GIB, 100 * GIB]
    core.run("create", 0, len(sizes))
    rows = []
    for i, size in enumerate(sizes):
        os.truncate(core.uploads / f"{i:032x}", size)
        core.run("patch", i, 1)
    found = [([], []) for _ in sizes]
    for _ in range(bench.rounds):
        for i, (patch, head) in enumerate(found):
            patch.append(core.run("patch", i, 2000))
            head.append(core.run("head", i, 5000, 1))
    for size, (patch, head) in zip(sizes, found):
        rows.append([f"{size // KIB:,}", report.number(patch),
                     report.number(head)])
    keep(bench, "growth: size of the file", ["KiB", "PATCH us", "HEAD us"],
         rows)


def concat_parts(bench):
    """The final POST alone, without a web server, which would not take so
    long a header."""
    peer = peers.Tusfcgi(bench.fresh_for_many(), args=["-w", "1"])
    client = fastcgi.Client(str(peer.sock))
    rows = []
    try:
        for n in (1, 10, 100, 1000):
            report.say(f"growth: {n} parts")
            paths = []
            for _ in range(n):
                answer = client.request("POST", "/files", {
                    "Upload-Concat": "partial", "Upload-Length": "4096",
                    "Content-Type": "application/offset+octet-stream"},
                    b"x" * 4096)
                paths.append(answer.headers["location"])
            took = []
            for _ in range(bench.rounds):
                began = time.monotonic()
                answer = client.request("POST", "/files", {
                    "Upload-Concat": "final;" + " ".join(paths)})
                took.append((time.monotonic() - began) * 1000)
                if answer.status != 201:
                    raise RuntimeError(f"{n} parts: {answer}")
            rows.append([f"{n:,}", report.number(took),
                         report.number([t * 1000 / n for t in took])])
    finally:
        peer.close()
    keep(bench, "growth: parts of 4 KiB", ["parts", "ms", "us each"], rows)


def workers(bench):
    """So many workers, all idle but for those that answer HEADs."""
    ids = bench.out / "ids-workers"
    rows = []
    for n in (1, 4, 16, 64, 256, 1000):
        report.say(f"growth: {n} workers")
        began = time.monotonic()
        peer = peers.Tusfcgi(bench.fresh(), f"w{n}", args=["-w", str(n)])
        try:
            while n > 1 and len(peer.app.all_pids()) < n + 1:
                time.sleep(0.01)
            start = time.monotonic() - began
            paths = [bench.drive(peer, "tus", peer.path, 1024)[1][0]
                     for _ in range(50)]
            ids.write_text("\n".join(paths) + "\n")
            cost = [bench.measure(peer, lambda: int(
                bench.drive(peer, "head", ids, 2, 32)[0][0]))
                for _ in range(3)]
            pss = peer.app.pss()
        finally:
            peer.close()
        rows.append([f"{n:,}", report.digits(start, 0.2),
                     report.number([c["app"] * 1e6 for c in cost]),
                     report.number([c["per_s"] for c in cost]),
                     report.digits(pss / MIB),
                     report.digits(pss / n / KIB)])
    keep(bench, "growth: workers",
         ["workers", "start s", "HEAD us (app)", "HEAD/s", "PSS MiB",
          "KiB each"], rows)


def growth(bench):
    stored(bench)
    limits(bench)
    file_size(bench)
    concat_parts(bench)
    workers(bench)


PARTS = {"growth": growth}
