"""What the tests without a web server share; see lib/app.py."""

import signal


def start_uploads(one, n):
    """n uploads, each with ten bytes and no more to come for now."""
    paths = [one.client.create(100) for _ in range(n)]
    streams = []
    for path in paths:
        stream = one.client.open_patch(path, 0, 100)
        stream.send(b"x" * 10)
        streams.append(stream)
    return paths, streams


def close_all(streams):
    for stream in streams:
        stream.close()


def reload(one, config):
    one.configure(config)
    one.app.send_signal(signal.SIGHUP)


def max_size(one):
    return one.client.request("OPTIONS", "/files").headers.get("tus-max-size")
