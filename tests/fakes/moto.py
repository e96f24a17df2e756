"""AWS as moto plays it, in a process of its own, with signatures and policies checked."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import aiohttp
from aiohttp import web

from tests.fakes.ports import free_port
from tests.fakes.server import FakeServer, reset

_OWN = ("content-length", "transfer-encoding", "connection", "accept-encoding")  # of one connection


@dataclass(frozen=True)
class Aws:
    url: str

    def client(self, service: str, key_id: str = "AKIAROOT", secret: str = "root") -> Any:
        import boto3

        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=key_id,
            aws_secret_access_key=secret,
        )

    def user(self, name: str, actions: str | list[str] | None = None) -> tuple[str, str]:
        """A new user with a key: its id and secret. `actions`: what its policy allows."""
        self._unchecked(10)
        iam = self.client("iam")
        iam.create_user(UserName=name)
        if actions:
            policy = {
                "Version": "2012-10-17",
                "Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*"}],
            }
            iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=json.dumps(policy))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        iam.close()
        self._unchecked(0)
        return key["AccessKeyId"], key["SecretAccessKey"]

    def key(self, name: str) -> tuple[str, str]:
        """Another key of a user: its id and secret."""
        self._unchecked(1)
        iam = self.client("iam")
        key = iam.create_access_key(UserName=name)["AccessKey"]
        iam.close()
        self._unchecked(0)
        return key["AccessKeyId"], key["SecretAccessKey"]

    def keys(self, name: str) -> dict[str, str]:
        """Keys of a user and their states."""
        self._unchecked(1)
        iam = self.client("iam")
        found = iam.list_access_keys(UserName=name)["AccessKeyMetadata"]
        iam.close()
        self._unchecked(0)
        return {key["AccessKeyId"]: key["Status"] for key in found}

    def _unchecked(self, number: int) -> None:
        """So many of the next requests are taken whoever sends them; those after it are checked."""
        body = str(number).encode()
        request = urllib.request.Request(
            f"{self.url}/moto-api/reset-auth", body, {"Content-Type": "text/plain"}, method="POST"
        )
        urllib.request.urlopen(request, timeout=10).close()


class Way(FakeServer):
    """What lies between us and AWS: passes everything on, and keeps what was asked for.

    `asked`: name and key id of each request that changes something; `lose`: of so many of them the answer gets lost.
    """

    def __init__(self, cloud: Aws) -> None:
        super().__init__()
        self._cloud = cloud
        self.asked: list[tuple[str, str]] = []
        self.lose = 0

    async def answer(self, request: web.Request, body: bytes) -> web.StreamResponse:
        asked = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        changes = asked.get("Action", "").startswith(("Update", "Delete"))
        if changes:
            self.asked.append((asked["Action"], asked["AccessKeyId"]))
        # The host is signed, too: it stays the one that we were asked under.
        headers = {name: text for name, text in request.headers.items() if name.lower() not in _OWN}
        async with aiohttp.ClientSession() as session:
            async with session.request(
                request.method, self._cloud.url + request.path_qs, data=body, headers=headers
            ) as answer:
                text, status = await answer.read(), answer.status
        if changes and self.lose:
            self.lose -= 1
            return reset(request)
        return web.Response(status=status, body=text, content_type="text/xml")


@contextlib.contextmanager
def aws(folder: Path) -> Iterator[Aws]:
    port = free_port()
    with (folder / "moto.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            stdout=log,
            stderr=log,
            env={**os.environ, "INITIAL_NO_AUTH_ACTION_COUNT": "0", "PYTHONWARNINGS": ""},
        )
    try:
        deadline = time.monotonic() + 300
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            assert process.poll() is None, (folder / "moto.log").read_text()[-2000:]
            assert time.monotonic() < deadline, "moto does not answer"
            time.sleep(0.05)
        yield Aws(f"http://127.0.0.1:{port}")
    finally:
        process.kill()
        process.wait()
