"""What takes long to make is made once, for all processes that run the tests.

    program = once(tmp_path_factory, "plain", build)

pytest-xdist runs tests in several processes, each of which has its session and
its modules.  What the function returns has to fit into JSON; what it leaves in
its folder stays until the end of the run.
"""

import fcntl
import json
import os
import shutil


def base(tmp_path_factory):
    """The folder of the run, whichever process asks."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


def once(tmp_path_factory, name, make):
    """What make(folder) returns, or has returned to whoever came first.  If it
    raises, the next one tries again."""
    folder = base(tmp_path_factory) / name
    result = folder.with_name(name + ".json")
    with open(folder.with_name(name + ".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not result.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            text = json.dumps(make(folder))
            result.write_text(text)
        return json.loads(result.read_text())
