"""A server on loopback with a thread for each connection."""

import contextlib
import socket
import threading


class Listener:
    """talk(connection) is the subclass's; it ends with the connection, and an
    OSError in it means that the peer has gone."""

    def __init__(self, port=0):
        self.socket = socket.create_server(("127.0.0.1", port))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def stop(self):
        # A thread in accept() keeps a socket that is only closed.
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    def serve(self):
        while True:
            try:
                one, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.attend, args=(one,),
                             daemon=True).start()

    def attend(self, one):
        with one, contextlib.suppress(OSError):
            self.talk(one)
