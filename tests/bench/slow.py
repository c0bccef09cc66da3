"""What the benchmark does with many connections, or with many requests."""

import http.client
import socket
import time

TUS = {"Tus-Resumable": "1.0.0"}


def ask(connection, method, path, headers, body=None):
    """One request; the response, its body read."""
    connection.request(method, path, body, {**TUS, **headers})
    response = connection.getresponse()
    response.read()
    return response


def create(connection, path, headers, body=None):
    response = ask(connection, "POST", path, headers, body)
    if response.status != 201:
        raise RuntimeError(f"creation answered {response.status}")
    return response.getheader("Location")


def concat(port, path, parts, size):
    """A final upload of so many parts; only the concatenation is counted as
    work, but the parts cost as well: read it as one figure."""
    c = http.client.HTTPConnection("127.0.0.1", port)
    body = b"x" * size
    urls = [create(c, path, {
        "Upload-Concat": "partial", "Upload-Length": str(size),
        "Content-Type": "application/offset+octet-stream"}, body)
        for _ in range(parts)]
    create(c, path, {"Upload-Concat": "final;" + " ".join(urls)})
    c.close()
    return 1


def begin_slow(port, path, length):
    """An upload whose PATCH has sent its headers and nothing else."""
    c = http.client.HTTPConnection("127.0.0.1", port)
    where = create(c, path, {"Upload-Length": str(length)})
    c.close()
    s = socket.create_connection(("127.0.0.1", port))
    s.sendall((f"PATCH {where} HTTP/1.1\r\nHost: localhost\r\n"
               "Tus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n"
               "Content-Type: application/offset+octet-stream\r\n"
               f"Content-Length: {length}\r\n\r\n").encode())
    return where.rsplit("/", 1)[1], s


def uploads(peer, count, seconds):
    """So many uploads at 1 KiB/s, and HEADs of another one meanwhile."""
    c = http.client.HTTPConnection("127.0.0.1", peer.port)
    other = create(c, peer.path, {"Upload-Length": "10"})
    running = []
    for _ in range(count):
        running.append(begin_slow(peer.port, peer.path, 1 << 20))
    times = []
    end = time.monotonic() + seconds
    piece = b"x" * 128
    sent = 0
    while time.monotonic() < end:
        slice_end = time.monotonic() + 0.125
        for _, s in running:
            s.sendall(piece)
        sent += len(piece)
        while True:
            began = time.monotonic()
            if ask(c, "HEAD", other, {}).status != 200:
                raise RuntimeError("HEAD failed")
            times.append((time.monotonic() - began) * 1000)
            if time.monotonic() + 0.02 > slice_end:
                break
            time.sleep(0.02)
    time.sleep(1)
    sizes = {name: (peer.uploads / name).stat().st_size
             for name, _ in running}
    result = {"progress": sum(size > 0 for size in sizes.values()),
              "pss": peer.app.pss(),
              "complete": sum(size == sent for size in sizes.values())}
    for _, s in running:
        s.close()
    c.close()
    times.sort()
    result["p50"] = times[len(times) // 2]
    result["p99"] = times[len(times) * 99 // 100]
    result["max"] = times[-1]
    return result
