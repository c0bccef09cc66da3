"""Services that lend keys: STS, that of a container and that of a machine."""

import http.server
import json
import os
import threading
import time
from urllib.parse import parse_qs, unquote


class Lender:
    """Keys that are good for `seconds`; engine is told of each."""

    def __init__(self, engine, seconds=3600):
        self.engine, self.seconds = engine, seconds
        self.asked, self.is_down, self.token = [], False, "let me in"

        class Handler(http.server.BaseHTTPRequestHandler):
            lender = self

            def log_message(self, *_):
                pass

            def do_any(self):
                n = int(self.headers.get("content-length", 0))
                status, text = self.lender.answer(
                    self.command, self.path, self.headers,
                    self.rfile.read(n).decode())
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            do_GET = do_PUT = do_POST = do_any

        self.server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever,
                         daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def lend(self):
        """New keys: names of values as JSON has them."""
        access, secret, token = (os.urandom(9).hex() for _ in range(3))
        until = time.time() + self.seconds
        # What it says has whole seconds.
        self.engine.accept(access, secret, token, until + 1)
        return {"AccessKeyId": access, "SecretAccessKey": secret,
                "Token": token, "Expiration": time.strftime(
                    "%Y-%m-%dT%H:%M:%SZ", time.gmtime(until + 1))}

    def answer(self, method, path, headers, body):
        self.asked.append(f"{method} {path}")
        if self.is_down:
            return 503, ""
        if path == "/latest/api/token":
            if method != "PUT" or not int(
                    headers["X-aws-ec2-metadata-token-ttl-seconds"]):
                return 400, ""
            return 200, self.token
        if path.startswith("/latest/"):
            return self.machine(path, headers)
        if path == "/container":
            if headers["authorization"] != self.token:
                return 403, ""
            return 200, json.dumps(self.lend())
        return self.sts(parse_qs(body))

    def machine(self, path, headers):
        if headers["X-aws-ec2-metadata-token"] != self.token:
            return 401, ""
        where = "/latest/meta-data/iam/security-credentials/"
        if path == where:
            return 200, "the role\n"
        if unquote(path) != where + "the role":
            return 404, ""
        return 200, json.dumps({"Code": "Success", **self.lend()})

    def sts(self, form):
        want = {"Action": ["AssumeRoleWithWebIdentity"],
                "Version": ["2011-06-15"],
                "RoleArn": ["arn:aws:iam::1:role/up"],
                "RoleSessionName": ["tusfcgi"],
                "WebIdentityToken": [self.token]}
        if form != want:
            return 400, "<ErrorResponse/>"
        k = self.lend()
        return 200, (
            '<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws'
            '.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult>'
            f"<Credentials><AccessKeyId>{k['AccessKeyId']}</AccessKeyId>"
            f"<SecretAccessKey>{k['SecretAccessKey']}</SecretAccessKey>"
            f"<SessionToken>{k['Token']}</SessionToken>"
            f"<Expiration>{k['Expiration']}</Expiration></Credentials>"
            "</AssumeRoleWithWebIdentityResult>"
            "</AssumeRoleWithWebIdentityResponse>")
