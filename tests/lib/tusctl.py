"""tusctl, run on a directory of uploads made by hand."""

import json
import os
import subprocess
import time

from lib import rig, uploads

HOUR = 3600
DAY = 24 * HOUR

# The leak checker cannot work in a traced process.
NO_LEAKS = dict(os.environ, ASAN_OPTIONS="detect_leaks=0")


def past(seconds):
    return int(time.time()) - seconds


class Tool:
    """tusctl with a configuration that names one directory."""

    def __init__(self, path):
        self.store = uploads.Store(path / "uploads")
        self.conf = path / "test.conf"
        self.configure()

    def configure(self, text=""):
        self.conf.write_text('store: { path = "%s"; };\n%s\n'
                             % (self.store.path, text))

    def run(self, *arguments, status=0, **options):
        """What it prints; .stderr of the last run is kept."""
        options.setdefault("stdout", subprocess.PIPE)
        result = subprocess.run(
            [rig.program("tusctl"), "-c", self.conf, *arguments], text=True,
            stderr=subprocess.PIPE, timeout=60, **options)
        self.stderr = result.stderr
        assert not rig.SANITIZER.search(result.stderr), result.stderr
        assert result.returncode == status, (result.stdout, result.stderr)
        return result.stdout

    def json(self, *arguments):
        return [json.loads(line)
                for line in self.run(*arguments, "--json").splitlines()]
