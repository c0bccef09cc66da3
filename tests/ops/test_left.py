"""What our own tests start is gone when they end, also when they fail."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest

from lib import rig
from lib.proc import is_alive

TESTS = rig.TREE / "tests"


def start_pytest(folder, text):
    (folder / "test_it.py").write_text(textwrap.dedent(text))
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", "-q", "-p", "conftest", "-p",
         "no:cacheprovider", "-c", "/dev/null", "--rootdir", folder,
         f"--basetemp={folder}/temp", folder / "test_it.py"],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(TESTS)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def pids(folder):
    return [int(p) for p in (folder / "pids").read_text().split()]


def note(folder):
    return f"""
        def note(*pids):
            with open("{folder}/pids", "a") as f:
                print(*pids, file=f)
    """


def images(folder):
    """What of the folder is in a loop device."""
    text = subprocess.run(["losetup", "-a"], capture_output=True,
                          text=True).stdout
    return [line for line in text.splitlines() if str(folder) in line]


def test_servers_and_programs_of_a_test_that_fails_are_gone(tmp_path):
    """A server that cannot be stopped in time, another one behind it, and a
    program whose parent has left."""
    run = start_pytest(tmp_path, f"""
        import os, signal, subprocess
        from lib import rig
        {note(tmp_path)}
        def test(app):
            rig.PATIENCE = 1
            first, second = app(), app()
            note(first.app.pid, *first.workers())
            note(second.app.pid, *second.workers())
            out = subprocess.run(
                ["sh", "-c", "sleep 300 >/dev/null 2>&1 & echo $!"],
                capture_output=True, text=True)
            note(out.stdout.strip())
            os.kill(second.app.pid, signal.SIGSTOP)
            assert False, "it fails"
    """)
    output, _ = run.communicate(timeout=120)
    assert run.returncode == 1 and "it fails" in output, output
    rig.wait_for(lambda: not any(map(is_alive, pids(tmp_path))),
                 "all to be gone", 5)
    assert len(pids(tmp_path)) >= 3


IMAGE = """
        import os, time
        from lib import mounts
        import pytest
        def test():
            with mounts.image("ext4", 4 << 20) as place:
                print(place)
                open("{folder}/place", "w").write(str(place.parent))
                {then}
"""


@pytest.mark.parametrize("then", ["assert False", "time.sleep(300)"],
                         ids=["fails", "killed"])
def test_a_loop_device_is_gone_with_its_test(tmp_path, then):
    run = start_pytest(tmp_path, IMAGE.format(folder=tmp_path, then=then))
    place = tmp_path / "place"

    def is_mounted():
        return run.poll() is not None or \
            place.exists() and place.read_text()

    rig.wait_for(is_mounted, "a mount")
    if "sleep" in then:
        time_out = None
        run.send_signal(signal.SIGKILL)
    else:
        time_out = 60
    output, _ = run.communicate(timeout=time_out)
    if not place.exists():
        pytest.skip(output[-300:])
    rig.wait_for(lambda: not images(place.read_text()), "the device to go", 5)
