#!/usr/bin/python3
"""Plants mistakes in store/s3/, one after the other; the tests must find each.

usage: tests/s3/bugs.py [--check] [NAME]...

Builds a copy of the tree.  --check only says whether the texts still apply.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]

# Name: file, text, what takes its place, and the tests that must fail.  Several
# places are a list of pairs, and None.
BUGS = {
    "segments are deleted before their part is there": (
        "send.c", "	*one = nth(u->s, r->n);\n",
        "	s3_drop_segments(u, INT64_MAX);\n	*one = nth(u->s, r->n);\n",
        "test_faults.py -k good"),
    "segments are deleted before the one that takes them in": (
        "write.c", "	(void)RAND_bytes((unsigned char *)&random, "
        "sizeof(random));\n	g->key",
        "	drop_inner(u, u->prefix, INT64_MAX);\n"
        "	(void)RAND_bytes((unsigned char *)&random, sizeof(random));\n"
        "	g->key", "test_uploads.py -k merge"),
    "bytes are sent before they are verified": (
        "write.c", "if (u->on_probation || u->mpu == NULL)",
        "if (u->mpu == NULL)", "test_uploads.py -k verified"),
    "an error in a 200 is success": (
        "call.c", "if (answer->len == 0 ||",
        "if (answer->len == 0 || c->status < 300 ||",
        "test_uploads.py -k error-in-200"),
    "finished before there is an object": (
        "finish.c", "	if (u->mpu != NULL && up->info.size > 0)\n"
        "		rc = make_of_parts(u, e);",
        "	up->info.finished = 1;\n	(void)!s3_put_record(u, e);\n"
        "	if (u->mpu != NULL && up->info.size > 0)\n"
        "		rc = make_of_parts(u, e);", "test_faults.py -k good"),
    "a tail of tusd is taken for bytes at the grid's line": (
        "adopt.c", "	u->adopted_parts = u->n_parts;\n",
        "	u->adopted_parts = 0;\n",
        "test_keeper.py -k strict_any"),
    "a gap in the parts of tusd is not noticed": (
        "foreign.c", "		if (u->parts[n].size == 0)\n",
        "		if (u->parts[n].size < 0)\n",
        "test_keeper.py -k strict_gap"),
    "the tail that was for tusd stays": (
        "look.c", "	if (rc == ERR_OK && !u->is_foreign && u->tail >= 0)",
        "	if (false)", "test_keeper.py -k strict_stayed"),
    "the tail for tusd begins where the last chunk did": (
        "adopt.c", "	c.at = s3_spool_at(u, u->prefix);\n",
        "	c.at = s3_spool_at(u, u->start);\n",
        "test_keeper.py -k strict_settled"),
    "a sweep takes the object beside a record without an upload": (
        "keep.c", "	return rc == ERR_OK ? s3_remove_record(u, e) : rc;",
        "	return rc == ERR_OK ? s3_remove_all(u, e) : rc;",
        "test_keeper.py -k strict_sweep"),
    "the offset is the sum of all parts": (
        "grid.c", "		    u->parts[n].size != s3_part_end(u, n + 1) - "
        "u->prefix)\n			break;", "		    false)\n			continue;",
        "test_peers.py -k hole"),
    "a multipart upload that is gone is finished": (
        "look.c", "	if (!has_parts && u->mpu != NULL)\n",
        "	if (!has_parts && u->mpu != NULL) {\n		set_finished(u);\n"
        "		return ERR_OK;\n	}\n	if (false)\n",
        "test_peers.py -k gone"),
    "a record is written over any other": (
        "record.c", "	} else if (u->s->condition == S3_CONDITION_QUOTED) {",
        "	} else if (false) {", "test_life.py -k rivals_record_is"),
    "a removal spares the object of no other upload": (
        "end.c", "	if (s3_key_is_own(u))", "	if (true)",
        "test_keys.py -k two_have"),
    "what came through behind a part that failed counts": (
        "send.c", "		if (rc != ERR_OK)\n			return rc;\n"
        "		drop_first(u);", "		drop_first(u);",
        "test_parallel.py -k holds_acknowledged"),
    "a place in the spool is used before its part is there": (
        "spool.c", "	return ((int64_t)u->abreast + 1) *",
        "	return (int64_t)u->abreast *",
        "test_parallel.py -k any_chunks"),
    "a concatenation is there whose record came late": (
        "look.c", "	return u->base.info.is_final ||\n",
        "	return false ||\n", "test_concat.py -k late_is"),
    "a copy that failed is made of what is in the spool": (
        "concat.c", "s3_await_parts(u, e)", "s3_settle_parts(u, e)",
        "test_concat.py -k ends"),
    "a piece is put where a part on its way is": (
        "concat.c", "u->mpu != NULL ? s3_ring_size(u) : 0",
        "u->part_size", "test_concat.py -k any_sources"),
    "a backlog of parts is not sent first": (
        "write.c", "	if ((rc = send_backlog(u, e)) == ERR_OK)",
        "	if (rc == ERR_OK)", "test_parallel.py -k backlog"),
    "parts that grow go to the old places": (
        "write.c",
        "	if (rc == ERR_OK && u->ring != s3_ring_size(u))\n		rc",
        "	if (false)\n		rc",
        "test_parallel.py -k grow"),
    "a chunk that could not be kept counts": (
        "write.c", "		up->info.offset = offset;",
        "		up->info.offset = keep ? u->before.offset + 1 : offset;",
        "test_contract.py -k strict"),
    "parts are listed before segments": (
        "look.c", [("	if ((rc = s3_list_segments(u, e)) != ERR_OK)\n"
                    "		return rc;\n	u->n_parts = 0;",
                    "	u->n_parts = 0;"),
                   ("	s3_judge(u);\n	/* Swift",
                    "	if (s3_list_segments(u, e) != ERR_OK)\n"
                    "		return e->code;\n	s3_judge(u);\n"
                    "	/* Swift")],
        None, "test_peers.py -k reader"),
    "one tail is written over": (
        "write.c", [("	int64_t start = safe_offset(u), at = u->prefix;",
                     "	int64_t start = u->prefix, at = u->prefix;"),
                    ("	(void)RAND_bytes((unsigned char *)&random, "
                     "sizeof(random));\n	g->key", "	g->key")],
        None, "test_faults.py -k again"),
    "a record whose fate is unknown is put again": (
        "record.c", "	c->once = true;", "	c->once = false;",
        "test_life.py -k whose_fate"),
    "a removal leaves no mark": (
        "end.c", "		if ((rc = s3_put_record(u, e)) != ERR_OK) {",
        "		if (false) {", "test_peers.py -k half_a_removal"),
    "an id that is taken is taken again": (
        "look.c", "	if (rc == ERR_OK)\n		return err_set("
        "e, ERR_EXISTS,", "	if (false)\n		return err_set("
        "e, ERR_EXISTS,", "test_contract.py -k strict"),
}


def pairs(name):
    _, old, new, _ = BUGS[name]
    return [(old, new)] if isinstance(old, str) else old


def applies(name):
    text = (TREE / "store/s3" / BUGS[name][0]).read_text()
    return all(text.count(old) == 1 for old, _ in pairs(name))


def run(command, **options):
    return subprocess.run(command, check=False, capture_output=True,
                          text=True, **options)


def build(top):
    done = run(["make", "-s", "-j2", "all"], cwd=top / "build")
    if done.returncode == 0:
        done = run(["make", "-s", "tests/store/contract_test"],
                   cwd=top / "build")
    assert done.returncode == 0, done.stderr[-3000:]


def is_found(top, tests):
    """Do the tests fail?"""
    env = {**os.environ, "TUSFCGI": str(top / "build/tusfcgi"),
           "TUSCTL": str(top / "build/tusctl"), "TUSFCGI_FAULTS": "1"}
    file, _, names = tests.partition(" -k ")
    done = run([sys.executable, "-m", "pytest", "-q", "-x", "-p",
                "no:cacheprovider", f"--basetemp={top}/pytest",
                f"s3/{file}", "-k", names.replace("_", " and ")],
               cwd=TREE / "tests", env=env)
    assert done.returncode in (0, 1) and (
        " passed" in done.stdout or " failed" in done.stdout), \
        done.stdout + done.stderr
    return done.returncode == 1


def plant(top, name):
    where, *_, tests = BUGS[name]
    path = top / "store/s3" / where
    text = path.read_text()
    changed = text
    for old, new in pairs(name):
        changed = changed.replace(old, new)
    path.write_text(changed)
    build(top)
    found = is_found(top, tests)
    path.write_text(text)
    print(f"{name:58} {'found' if found else 'NOT FOUND'}", flush=True)
    return found


def main():
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--check", action="store_true")
    p.add_argument("bug", nargs="*")
    args = p.parse_args()
    bad = [name for name in BUGS if not applies(name)]
    for name in bad:
        print(f"{name}: does not apply", file=sys.stderr)
    if bad or args.check:
        sys.exit(bool(bad))
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        top = Path(folder) / "tree"
        shutil.copytree(TREE, top, ignore=shutil.ignore_patterns(
            "node_modules", ".git", "build*"))
        run(["autoreconf", "-i"], cwd=top)
        (top / "build").mkdir()
        run(["../configure", "-q"], cwd=top / "build")
        build(top)
        missed = [n for n in args.bug or BUGS if not plant(top, n)]
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()
