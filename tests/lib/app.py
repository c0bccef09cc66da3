"""tusfcgi without a web server: the tests are the web server."""

import socket

from lib import fastcgi, folders, rig
from lib.proc import children, is_alive, workers  # noqa: F401


class App(rig.Server):
    """One tusfcgi, and a client that talks FastCGI to it."""

    def __init__(self, folder, port=None, under=(), **options):
        """port: listens there, if the arguments say so; under: a program
        that runs it, like strace."""
        super().__init__(folder, "nginx", **options)
        self.under = list(under)
        self.address = ("127.0.0.1", port) if port else str(self.socket)
        self.client = fastcgi.Client(self.address)

    def start(self):
        assert not self.is_over, "stop() is for good: use stop_app()"
        self.start_app()

    def start_app(self):
        self.app = rig.spawn(
            [*self.under, rig.program(), "-c", str(self.config_path)] +
            self.args, self.log_path, cwd=self.dir, env=self.env)
        family = socket.AF_UNIX if isinstance(self.address, str) \
            else socket.AF_INET

        def is_ready():
            if self.app.poll() is not None:
                raise RuntimeError(f"tusfcgi left: {self.log()}")
            return rig.accepts(family, self.address)

        rig.wait_for(is_ready, "tusfcgi to listen")

    def workers(self):
        """The pids of the workers there are."""
        return workers(self.app.pid)

    def data_size(self, path):
        """How many bytes of an upload are on the disk."""
        name = path.rsplit("/", 1)[1]
        return sum(size for found, size in folders.sizes(self.uploads).items()
                   if found.name == name)

    def wait_for_bytes(self, path, n):
        rig.wait_for(lambda: self.data_size(path) >= n,
                     f"{n} bytes of {path} on the disk")
