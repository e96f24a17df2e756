"""What the webhook sink of the machine posts to, beside the machine: it can be away, and it knows what came."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["Receiver"]


class Receiver:
    """On a port of its own. `fingerprints`: how often an incident of each came as new; `bodies`: all that came."""

    def __init__(self, secret: bytes) -> None:
        self.secret = secret
        self.fingerprints: Counter[str] = Counter()
        self.bodies: list[bytes] = []
        self.unsigned = 0
        self._server: ThreadingHTTPServer | None = None
        self.port = 0
        self.open()

    def open(self) -> None:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.take(dict(self.headers.items()), body)
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Connections are refused until it is opened again."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def take(self, headers: dict[str, str], body: bytes) -> None:
        lower = {name.lower(): value for name, value in headers.items()}
        signed = f"{lower['webhook-id']}.{lower['webhook-timestamp']}.".encode() + body
        wanted = "v1," + base64.b64encode(hmac.digest(self.secret, signed, hashlib.sha256)).decode()
        self.unsigned += wanted not in lower["webhook-signature"].split()
        self.bodies.append(body)
        self.fingerprints.update({one["fingerprint"] for one in json.loads(body)["incidents"]})
