"""tusfcgi-lock-agent.service, in a container that systemd boots: /usr is that of
this machine, all else is in memory."""

import os
import re
import shutil
import subprocess

import pytest

from lib import rig

from .test_install import BUILD, make, prefix

UNIT = "tusfcgi-lock-agent"
PROGRAMS = "/opt/tusfcgi"

REDIS = """[Service]
ExecStart=/usr/bin/redis-server --bind 127.0.0.1 --save ""
"""

# The container ends with it.
TRIAL = """[Unit]
SuccessAction=exit-force
FailureAction=exit-force
[Service]
Type=oneshot
TimeoutStartSec=90
ExecStart=/bin/bash /trial/script
"""

CONFIG = {
    "store": {"path": "/srv/uploads", "shared": True, "durability": "full"},
    "lock": {"type": "redis", "hosts": ["127.0.0.1:6379"], "session": "4s",
             "agent": "/run/tusfcgi-lock/agent.sock"}}

SCRIPT = f"""
exec >/trial/said 2>&1
export TUSFCGI_CONF=/trial/conf ASAN_OPTIONS=detect_leaks=0
systemctl set-environment TUSFCGI_CONF=$TUSFCGI_CONF ASAN_OPTIONS=$ASAN_OPTIONS
install -d -o www-data -g www-data /srv/uploads
systemctl start redis {UNIT}
echo "started: $?"
has_locks() {{
    for i in $(seq 100); do
        setpriv --reuid=www-data --regid=www-data --clear-groups \\
            {PROGRAMS}/tusctl check --locks && break
        sleep 0.2
    done
    echo "$1: $?"
}}
has_locks "locks"
systemctl reload {UNIT}
echo "reloaded: $?"
main=$(systemctl show -p MainPID --value {UNIT})
kill -9 "$(pgrep -P "$main")"
has_locks "after the agent died"
kill -9 "$main"
has_locks "after the service died"
systemctl show -p NRestarts {UNIT}
systemctl stop {UNIT}
systemctl show -p Result,ExecMainStatus {UNIT}
ls /run/tusfcgi-lock
redis-cli dbsize
journalctl -u {UNIT} -o cat --no-pager
"""


@pytest.fixture
def trial(tmp_path):
    """What the script in the container says."""
    if os.geteuid() != 0 or not rig.have("systemd-nspawn"):
        pytest.skip("needs root and systemd-nspawn")
    if not shutil.which("redis-server"):
        pytest.skip("redis-server is not installed")
    units, folder = tmp_path / "units", tmp_path / "trial"
    make(f"etc/systemd/{UNIT}.service")
    folder.mkdir()
    wants = units / "multi-user.target.wants"
    wants.mkdir(parents=True)
    (wants / "trial.service").symlink_to("../trial.service")
    text = (BUILD / f"etc/systemd/{UNIT}.service").read_text()
    for name, unit in ((UNIT, text.replace(f"/{prefix()}/sbin", PROGRAMS)),
                       ("redis", REDIS), ("trial", TRIAL)):
        (units / f"{name}.service").write_text(unit)
    (folder / "script").write_text(SCRIPT)
    (folder / "conf").write_text(rig.libconfig(CONFIG))
    run = subprocess.run(
        ["systemd-nspawn", "--quiet", "-D", "/", "--volatile=yes", "-M",
         f"tusfcgi-{os.getpid()}", "--boot", "--private-network",
         "--keep-unit", "--register=no", "--bind-ro=/etc/passwd",
         "--bind-ro=/etc/group", f"--bind-ro={units}:/etc/systemd/system",
         f"--bind-ro={BUILD}:{PROGRAMS}", f"--bind={folder}:/trial",
         "systemd.firstboot=no"],
        capture_output=True, text=True, timeout=150, check=False)
    if not (folder / "said").exists():
        pytest.skip(f"systemd-nspawn cannot boot here: {run.stdout[-200:]}"
                    f"{run.stderr[-200:]}")
    return (folder / "said").read_text()


def test_the_agent_is_a_service(trial):
    for line in ("started: 0", "locks: 0", "reloaded: 0",
                 "after the agent died: 0", "after the service died: 0",
                 "NRestarts=1", "Result=success", "ExecMainStatus=0"):
        assert f"{line}\n" in trial, trial
    assert "good  agent at /run/tusfcgi-lock/agent.sock" in trial, trial
    # A stop leaves neither a socket nor a lock behind.
    assert "cannot access '/run/tusfcgi-lock'" in trial, trial
    assert re.search("^0$", trial, re.M), trial
    assert "the lock agent died" in trial, trial
    assert not rig.SANITIZER.search(trial), trial
