"""A Redis, and the service that keeps a lock agent."""

import os
import signal
import subprocess
import time

from lib import proc, rig

SESSION = 4


class Redis:
    def __init__(self, folder):
        self.path = f"{folder}/redis.sock"
        self.process = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", self.path,
             "--unixsocketperm", "777", "--save", "", "--dir", folder],
            stdout=subprocess.DEVNULL)
        rig.wait_for(lambda: os.path.exists(self.path), "redis")

    def locks(self):
        return self.ask("keys", "*:l:{*").split()

    def ask(self, *words):
        return subprocess.run(
            ["redis-cli", "-s", self.path, *words], check=True,
            capture_output=True, text=True).stdout

    def stop(self):
        self.process.kill()
        self.process.wait()


class Agent:
    """tusfcgi lock-agent as a service has it."""

    def __init__(self, config, folder):
        self.file = folder / "agent.conf"
        self.file.write_text(rig.libconfig(config))
        self.log_path = folder / "agent.log"
        self.socket = config["lock"]["agent"]
        self.start()

    def start(self):
        self.process = rig.spawn(
            [rig.program(), "lock-agent", "-v", "-c", str(self.file)],
            self.log_path)
        rig.wait_for(lambda: "session of" in self.log(), "a session")

    def log(self):
        return self.log_path.read_text()

    def child(self):
        return rig.wait_for(
            lambda: proc.children(self.process.pid), "the agent itself")[0]

    def stop(self, sig=signal.SIGTERM):
        self.process.send_signal(sig)
        status = self.process.wait(20)
        self.log_path.rename(self.log_path.with_suffix(f".{time.time()}"))
        return status
