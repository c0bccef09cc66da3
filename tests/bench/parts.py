"""The parts of the benchmark that compare servers: goals A to D and F."""

import os
import subprocess

import peers
import report
import slow

MIB = 1 << 20
GIB = 1 << 30


def send(bench, size, chunk=None):
    """One upload of so many bytes, in one request or in chunks."""
    def work(peer):
        argv = [peer.kind, peer.path, size]
        if peer.kind == "tus":
            argv.append(chunk or size)
        bench.drive(peer, *argv)
        return size / GIB
    return work


def big(bench):
    bench.compare(
        "big", [peers.Tusfcgi, peers.Dav, peers.DavDefault, peers.Node],
        send(bench, GIB // 4 if bench.quick else GIB), [
            ("A", "cpu", "dav-1m", 1.8, False),
            ("A", "cpu", "dav-default", 0.9, False),
            ("A", "cpu", "node", 0.6, False),
            ("A", "per_s", "dav-1m", 0.65, True),
            ("A", "per_s", "dav-default", 1.3, True),
            ("A", "per_s", "node", 1.5, True)])


def parallel(bench):
    """Eight uploads at once."""
    size = 32 * MIB if bench.quick else 256 * MIB

    def work(peer):
        running = [subprocess.Popen(
            [str(bench.upload), peer.kind, str(peer.port),
             peer.path if peer.kind == "tus" else f"{peer.path}{i}",
             str(size), str(size)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            for i in range(8)]
        if any([p.wait(600) for p in running]):
            raise RuntimeError(f"{peer.name}: an upload failed")
        return 8 * size / GIB

    bench.compare("parallel", [peers.Tusfcgi, peers.Dav, peers.Node], work)


def chunks(bench):
    for chunk in (4 * MIB, MIB, 65536):
        bench.compare(
            f"chunks of {chunk // 1024} KiB", [peers.Tusfcgi, peers.Node],
            send(bench, 256 * MIB if chunk >= MIB else 32 * MIB, chunk),
            [("B", "per_s", "node", 3, True), ("B", "cpu", "node", 0.3, False)]
            if chunk == MIB else ())


def short(bench, part, script, goals, size=1024):
    if not peers.rig.have("wrk"):
        print(f"{part}: left out: wrk is not installed")
        return
    seconds = 2 if bench.quick or size > 1024 else 5

    def work(peer):
        count = bench.wrk(peer, script, seconds, size)
        return count / 2 if script == "small.lua" else count

    bench.compare(part, [peers.Tusfcgi, peers.Floor, peers.Node], work,
                  goals, "upload",
                  bench.fresh_for_many())


def small(bench):
    short(bench, "small", "small.lua", [("C", "per_s", "node", 7, True),
                                        ("C", "cpu", "node", 0.25, False)])
    short(bench, "small, 64 KiB", "small.lua", (), 65536)


def with_upload(bench):
    short(bench, "with", "with.lua", [("C", "per_s", "node", 8, True)])


def ask_heads(bench):
    """HEAD of 200 uploads in turn, over 32 connections."""
    ids = {}

    def work(peer):
        if peer.name not in ids:
            paths = [bench.drive(peer, "tus", peer.path, 1024)[1][0]
                     for _ in range(200)]
            ids[peer.name] = bench.out / f"ids-{peer.name}"
            ids[peer.name].write_text("\n".join(paths) + "\n")
        said, _ = bench.drive(peer, "head", ids[peer.name],
                              2 if bench.quick else 5, 32)
        return int(said[0])

    return work


def head(bench):
    bench.compare("head", [peers.Tusfcgi, peers.Floor, peers.Node],
                  ask_heads(bench),
                  [("D", "per_s", "node", 5.5, True)], "HEAD")


def get(bench):
    paths = {}

    def work(peer):
        if peer.name not in paths:
            said = bench.drive(peer, peer.kind, peer.path, 256 * MIB)[1]
            paths[peer.name] = said[0] if said else peer.path
        bench.drive(peer, "get", paths[peer.name])
        return 0.25

    def keep(cls):
        class Kept(cls):
            def clear(self):
                pass
        return Kept

    bench.compare("get", [keep(peers.Tusfcgi), keep(peers.Dav)], work)


def concat(bench):
    bench.compare(
        "concat", [peers.Tusfcgi],
        lambda peer: slow.concat(peer.port, peer.path, 64, 65536), (),
        "final upload of 64 parts", bench.fresh_for_many())


def durability(bench):
    def ours(mode):
        return lambda folder: peers.Tusfcgi(
            folder, f"ours-{mode}", store={"durability": mode})

    modes = [ours(m) for m in ("none", "data", "full")]
    size = GIB // 4 if bench.quick else GIB
    bench.compare("durability, one PATCH", modes, send(bench, size), [
        ("F", "per_s", "ours-none", 0.7, True, "ours-data")])
    bench.compare("durability, chunks of 4 MiB", modes,
                  send(bench, size // 4, 4 * MIB), [
                      ("F", "per_s", "ours-none", 0.4, True, "ours-full")])


def fronts(bench):
    """All four web servers, each as shipped."""
    makers = [peers.fronted(n) for n in
              ("nginx", "lighttpd", "apache-proxy", "apache-fcgid")]
    size = 64 * MIB if bench.quick else 128 * MIB
    bench.compare("fronts, upload of 128 MiB", makers, send(bench, size))
    bench.compare("fronts, HEAD", makers, ask_heads(bench), (), "HEAD")


def book(bench):
    """What a PATCH costs beside its bytes, without a web server."""
    folder = bench.fresh_for_many()
    n = 2000 if bench.quick else 20000
    core = peers.Core(folder)
    found = {m: [] for m in ("patch", "write", "floor", "head")}
    core.run("create", 1, 1)
    core.run("patch", 1, 1)
    for _ in range(bench.rounds):
        for mode, rows in found.items():
            rows.append(core.run(mode, 1, n, 1))
    books = [p - w for p, w in zip(found["patch"], found["write"])]
    least = [f - w for f, w in zip(found["floor"], found["write"])]
    text = (f"bookkeeping of a PATCH {report.number(books)} us, of which "
            f"{report.number(least)} are the least that record, lock and data "
            f"take; HEAD {report.number(found['head'])} us")
    print(f"\nbook: {text}")
    bench.keep("book", {"text": text, "us": found}, [
        report.Goal("F", "bookkeeping of a PATCH, us", 15, books)])


def cost(bench):
    """Instructions and system calls, by the test that watches them."""
    if not peers.rig.have("valgrind") or not peers.rig.have("strace"):
        print("cost: left out: valgrind or strace is not installed")
        return
    report.say("cost: counting")
    done = subprocess.run(
        ["/usr/bin/python3", peers.TREE / "tests/fcgi/test_cost.py"],
        env={**os.environ, "PYTHONPATH": str(peers.TREE / "tests")},
        capture_output=True, text=True, check=True)
    rows = [line.split(";") for line in done.stdout.splitlines()]
    columns = ("request", "instructions", "system calls")
    report.say("")
    report.table("cost, without a web server", columns,
                 [r[:3] for r in rows])
    bench.keep("cost", {"columns": columns, "rows": [r[:3] for r in rows]})


PARTS = {
    "big": big, "parallel": parallel, "chunks": chunks, "small": small,
    "with": with_upload, "head": head, "get": get, "concat": concat,
    "durability": durability, "fronts": fronts, "book": book, "cost": cost,
}
