"""The parts of the benchmark that are about the pool: goal E."""

import resource
import statistics
import time

import peers
import report
import slow
from lib import proc

MIB = 1 << 20


def percentile(values, p):
    values = sorted(values)
    return values[min(len(values) * p // 100, len(values) - 1)]


def idle(bench):
    peer = peers.Tusfcgi(bench.fresh())
    try:
        time.sleep(2)
        pids = sorted(peer.app.all_pids())
        pss = peer.app.pss()
        each = statistics.mean(map(proc.own_memory, pids[1:]))
    finally:
        peer.close()
    text = (f"default pool, idle: {len(pids)} processes, "
            f"{report.digits(pss / MIB)} MiB PSS, "
            f"{report.digits(each / 1024)} KiB of its own a worker")
    print(f"\nidle: {text}")
    bench.keep("idle", {"text": text}, [
        report.Goal("E", "MiB PSS in all, idle", 4, [pss / MIB]),
        report.Goal("E", "KiB of its own a worker, idle", 100, [each / 1024])])


def slow_uploads(bench):
    """Goal E, and what the same costs the peer."""
    n = 200 if bench.quick else 1000
    makers = {"tusfcgi": lambda folder, i: peers.Tusfcgi(
        folder, f"slow{i}", pool={"max_workers": n + 60})}
    if not peers.missing(peers.Node):
        makers["node"] = lambda folder, i: peers.Node(folder)
    found = {name: [] for name in makers}
    for i in range(bench.rounds):
        for name, make in makers.items():
            report.say(f"slow: round {i + 1} of {bench.rounds}, {name}")
            peer = make(bench.fresh_for_many(), i)
            try:
                found[name].append(slow.uploads(peer, n, 10))
            finally:
                peer.close()
    report.say("")
    columns = ("", "progress", "within s", "HEAD p50 ms", "p99 ms", "max ms",
               "processes", "PSS MiB", "KiB an upload")
    rows = []
    for name, runs in found.items():
        r = {key: [run[key] for run in runs] for key in runs[0]}
        rows.append([name, report.digits(min(r["progress"])),
                     *(report.number(r[key]) for key in
                       ("served", "p50", "p99", "max", "processes")),
                     report.number([p / MIB for p in r["pss"]]),
                     report.number([p / n / 1024 for p in r["pss"]])])
    report.table(f"slow: {n} uploads at 1 KiB/s", columns, rows)
    ours = found["tusfcgi"]
    bench.keep("slow", {"columns": columns, "rows": rows, "runs": found}, [
        report.Goal("E", "progress, of all", 1,
                    [r["progress"] / n for r in ours], True),
        report.Goal("E", "HEAD p99, ms", 50, [r["p99"] for r in ours]),
        report.Goal("E", "MiB PSS for 1,000", 90,
                    [r["pss"] / MIB * 1000 / n for r in ours])])


# Of the issue that asked for it: MiB of tusd 2.6 on a machine of this kind.
TUSD = {"1000": 59.8}


def trickle(bench, n):
    """What n uploads at 1 KiB/s cost with the default number of workers."""
    peer = peers.Crowded(bench.fresh_for_many(), f"parked{n}",
                         pool={"max_parked": 16384}, log={"level": "warn"})
    one = slow.Trickle(peer, n)
    try:
        for _ in range(20):
            one.look()
            time.sleep(0.05)
        idle = peer.app.pss()
        one.open_all()
        one.run(4)
        cpu, before = peer.app.cpu(), one.stored()
        took = one.run(10)
        cpu = peer.app.cpu() - cpu
        pids = peer.app.all_pids()
        pss = peer.app.pss()
        parking = sum(peers.pss_of(p) for p in pids if proc.is_parking(p))
        time.sleep(3)
        after = one.stored()
        # The master and the parking process are no workers.
        return {"n": n, "pss": pss - idle, "whole": pss, "parking": parking,
                "workers": len(pids) - 2,
                "cpu_us": cpu / took / n * 1e6,
                "p50": percentile(one.heads, 50),
                "p99": percentile(one.heads, 99),
                "progress": sum(b > a for a, b in zip(before, after)),
                "whole_bytes": sum(a == b for a, b in zip(after, one.sent))}
    finally:
        one.close()
        peer.close()


def parked(bench):
    """Slow uploads that hold no worker: memory and CPU against their number."""
    counts = [1, 10, 100] if bench.quick else [1, 10, 100, 1000, 10000]
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    # A socket for each is ours, and two are those of the parking process: if
    # it has too few, some wait in workers, as they would on such a system.
    counts = [n for n in counts if hard > 1.9 * n]
    runs = []
    for n in counts:
        report.say(f"parked: {n} uploads")
        runs.append(trickle(bench, n))
    report.say("")
    columns = ("uploads", "progress", "all bytes", "PSS beyond idle MiB",
               "of the parking process", "workers", "HEAD p50 ms", "p99 ms", "CPU us an upload and s",
               "tusd MiB")
    rows = [[r["n"], r["progress"], r["whole_bytes"],
             report.digits(r["pss"] / MIB),
             report.digits(r["parking"] / MIB), r["workers"],
             report.digits(r["p50"]), report.digits(r["p99"]),
             report.digits(r["cpu_us"]), TUSD.get(str(r["n"]), "")]
            for r in runs]
    report.table("parked: uploads at 1 KiB/s, default max_workers", columns,
                 rows)
    goals = []
    for r in runs:
        goals.append(report.Goal("E", f"progress of {r['n']}", 1,
                                 [r["progress"] / r["n"]], True))
        limit = {1000: 4, 10000: 30}.get(r["n"])
        if limit:
            goals.append(report.Goal(
                "E", f"MiB PSS beyond the idle pool, {r['n']}", limit,
                [r["pss"] / MIB]))
            goals.append(report.Goal("E", f"HEAD p99, ms, {r['n']}", 50,
                                     [r["p99"]]))
    line = [(r["n"], r["pss"] / MIB) for r in runs]
    tusd = [(int(n), mib) for n, mib in TUSD.items()]
    bench.keep("parked", {"columns": columns, "rows": rows, "runs": runs,
                          "lines": {"tusfcgi": line, "tusd": tusd},
                          "axes": ["slow uploads", "MiB"]}, goals)


def crowd(bench):
    """Many more clients than workers: 503 and come again, nothing else."""
    n = 500 if bench.quick else 4000
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < 3 * n:
        print(f"crowd: left out: only {hard} files may be open")
        return
    peer = peers.Tusfcgi(bench.fresh_for_many(), log={"level": "warn"})
    began = time.monotonic()
    try:
        one = slow.Crowd(peer, n)
        one.run(300)
        took = time.monotonic() - began
        most = len(peer.app.all_pids()) - 1
        log = (peer.dir / "app.log").read_text()
    finally:
        peer.close()
    seen = ", ".join(f"{count} x {what}" for what, count in
                     sorted(one.seen.items()))
    text = (f"{n} clients at once, default pool: {one.finished} finished and "
            f"right after {took:.0f} s; {most} workers; HEAD p50 "
            f"{percentile(one.heads, 50):.0f}, p99 "
            f"{percentile(one.heads, 99):.0f} ms; {seen}; "
            f"{len(one.wrong)} wrong answers {one.wrong[:3]}")
    print(f"\ncrowd: {text}")
    if "killed" in log:
        print("  a worker was killed")
    bench.keep("crowd", {"text": text, "seen": one.seen}, [
        report.Goal("E", "finished, of all", 1, [one.finished / n], True),
        report.Goal("E", "wrong answers", 0, [len(one.wrong)])])


def early(bench):
    """A refusal ends the request, whatever the client still sends."""
    peer = peers.Tusfcgi(bench.fresh(), args=["-w", "1"])
    try:
        answered, free = slow.early(peer, 20)
    finally:
        peer.close()
    text = (f"PATCH of 1 GiB refused: answered after p50 "
            f"{percentile(answered, 50):.1f}, max {answered[-1]:.0f} ms; the "
            f"only worker answers somebody else p50 "
            f"{percentile(free, 50):.1f}, max {free[-1]:.0f} ms later")
    print(f"\nearly: {text}")
    bench.keep("early", {"text": text})


PARTS = {"idle": idle, "slow": slow_uploads, "parked": parked,
         "crowd": crowd, "early": early}
