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

# Name: file, text, what takes its place, and the tests that must fail.
BUGS = {
    "segments are deleted before their part is there": (
        "write.c", "	s3_call_init(&c, \"PUT\", u->key);\n"
        "	s3_call_query(&c, \"uploadId\"",
        "	s3_drop_segments(u, INT64_MAX);\n"
        "	s3_call_init(&c, \"PUT\", u->key);\n"
        "	s3_call_query(&c, \"uploadId\"", "test_faults.py -k good"),
    "segments are deleted before the one that takes them in": (
        "write.c", "	(void)RAND_bytes((unsigned char *)&random, "
        "sizeof(random));\n	g.key",
        "	drop_inner(u, u->prefix);\n"
        "	(void)RAND_bytes((unsigned char *)&random, sizeof(random));\n"
        "	g.key", "test_uploads.py -k merge"),
    "bytes are sent before they are verified": (
        "write.c", "if (u->on_probation || u->mpu == NULL)",
        "if (u->mpu == NULL)", "test_uploads.py -k verified"),
    "an error in a 200 is success": (
        "call.c", "if (s->answer_len == 0 ||",
        "if (s->answer_len == 0 || c->status < 300 ||",
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
        "adopt.c", "	c.at = u->prefix - u->spool_base;\n",
        "	c.at = u->start - u->spool_base;\n",
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
    "an id that is taken is taken again": (
        "look.c", "	if (rc == ERR_OK)\n		return err_set("
        "e, ERR_EXISTS,", "	if (false)\n		return err_set("
        "e, ERR_EXISTS,", "test_contract.py -k strict"),
}


def applies(name):
    where, old, _, _ = BUGS[name]
    return (TREE / "store/s3" / where).read_text().count(old) == 1


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
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.returncode == 1


def plant(top, name):
    where, old, new, tests = BUGS[name]
    path = top / "store/s3" / where
    text = path.read_text()
    path.write_text(text.replace(old, new))
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
