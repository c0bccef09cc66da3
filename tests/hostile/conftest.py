"""What attackers, co-tenants and bad days do to a running tusfcgi.

How long the long tests run: TUSFCGI_TORTURE (seconds), TUSFCGI_MODEL
(operations), TUSFCGI_SOAK (requests), TUSFCGI_MUTATE (seconds),
TUSFCGI_MEMORY_STEP (every how many allocations one fails); TUSFCGI_SEED
repeats a run of those that draw lots.
"""

import os
import random
import subprocess

import pytest

from lib import rig
from lib.plain import plain  # noqa: F401


def number(name, default):
    return int(os.environ.get("TUSFCGI_" + name, default))


def tusctl(server, *args):
    """Runs tusctl on the store of a server; its output."""
    done = subprocess.run(
        [rig.program("tusctl"), "-c", str(server.config_path), *args],
        capture_output=True, text=True, timeout=60)
    return done


def preload(source, folder):
    """Builds a library from C; the environment that preloads it."""
    library = folder / (source.stem + ".so")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source,
                    "-ldl"], check=True)
    options = os.environ.get("ASAN_OPTIONS", "")
    return {"LD_PRELOAD": str(library),
            "ASAN_OPTIONS": options + ":verify_asan_link_order=0"}


@pytest.fixture
def lots(request):
    """A seeded generator; the seed is printed, so that it can be repeated."""
    seed = number("SEED", random.SystemRandom().randrange(1 << 32))
    print(f"TUSFCGI_SEED={seed}")
    return random.Random(seed)
