"""The program without sanitizers, for tests that count or replace what those
would add or forbid."""

import shlex
import subprocess
from pathlib import Path

import pytest

from lib import rig
from lib.once import once

FOLDERS = {
    "tusfcgi": ("base", "lock", "store", "store/file", "core", "web", "tus",
                "rufh", "hook", "fcgi"),
    "tusctl": ("base", "lock", "store", "store/file", "core", "hook", "ctl"),
}
LIBRARIES = ("jansson", "libconfig", "uuid", "libcurl", "libcrypto", "zlib")


def build(folder, options=(), tree=rig.TREE, program="tusfcgi", s3=False):
    """The program as it is shipped, but for the hardening and, without s3, for
    that store; options are for the compiler, tree is another source tree."""
    config = Path(rig.program()).parent
    libs = shlex.split(subprocess.run(
        ["pkg-config", "--cflags", "--libs", *LIBRARIES], check=True,
        capture_output=True, text=True).stdout)
    # Of these two, configure has chosen one.
    without = ("os_timer.c",) if (config / "fcgi/os_read.o").exists() else \
        ("os_read.c", "frame.c")
    # What configure has found.
    defined = (config / "config.h").read_text()
    for macro, lib, *source in (("HAVE_HIREDIS_SSL", "hiredis_ssl"),
                                ("HAVE_HIREDIS", "hiredis", "redis.c",
                                 "redis_link.c"),
                                ("HAVE_ZOOKEEPER", "zookeeper_st",
                                 "zookeeper.c")):
        if f"define {macro} 1" in defined:
            libs.append(f"-l{lib}")
        else:
            without += (*source,)
    # These are for tus.fcgi.
    without += ("one_file.c", "no_http.c", *["no_s3.c"] * s3)
    sources = [path for name in (*FOLDERS[program], *["store/s3"] * s3)
               for path in sorted((tree / name).glob("*.c"))
               if path.name not in without]
    subprocess.run(
        ["cc", "-std=c11", "-O2", "-g", "-I", config, "-I", tree,
         '-DSYSCONFDIR="/nowhere"', '-DLOCALSTATEDIR="/nowhere"', *options, *sources,
         "-o", folder / program, *libs,
         *(["-lfcgi"] if program == "tusfcgi" else [])], check=True)
    return folder / program


@pytest.fixture(scope="session")
def plain(tmp_path_factory):
    """A tusfcgi without sanitizers, which will not have their malloc
    replaced."""
    return Path(once(tmp_path_factory, "plain", lambda folder: str(build(folder))))
