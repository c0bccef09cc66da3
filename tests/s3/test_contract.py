"""The contract of all stores, over a bucket.

Skipped where the program was configured with --disable-s3.
"""

import os
import subprocess

import pytest

from lib import rig
from s3 import bucket, client

bucket.need_store()

# What an engine does is said by fake.py.
ENGINES = {"strict": (), "error in 200": ("--flaw", "error-in-200"),
           "Swift": ("--flaw", "no-if-match", "--flaw", "lists-parts"),
           "bare If-Match": ("--flaw", "bare-if-match"),
           "R2": ("--flaw", "equal-parts")}
KINDS = [*ENGINES, *client.real_too()]


def contract_test():
    """The program, if it was built with the store."""
    program = os.path.join(os.path.dirname(rig.program()),
                           "tests/store/contract_test")
    if not os.path.exists(program):
        pytest.skip("no contract_test beside the program: make check")
    return program


# An upload of which the engine takes one segment and no other; the fakes only.
FAILS = "feedface0bad"


@pytest.mark.parametrize("name", KINDS)
def test_a_bucket_keeps_the_promises_of_a_store(name, tmp_path):
    program = contract_test()
    engine = client.real() if name == client.REAL else \
        client.start_fake("--min-part", "4096", *ENGINES[name])
    try:
        engine.ask("PUT", "/contract")
        env = {**os.environ, "AWS_ACCESS_KEY_ID": engine.access,
               "AWS_SECRET_ACCESS_KEY": engine.secret,
               "TUSFCGI_S3_ENDPOINT": f"http://127.0.0.1:{engine.port}",
               "TUSFCGI_S3_BUCKET": "contract"}
        if name != client.REAL:
            engine.rules({"m": f"^PUT .*{FAILS}[.]part[.]", "nth": 2,
                          "times": 1000, "do": "503"})
            env["TUSFCGI_S3_FAILS"] = FAILS
        done = subprocess.run([program], env=env, capture_output=True,
                              text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
    finally:
        engine.stop()
