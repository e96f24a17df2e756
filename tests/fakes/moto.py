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


@contextlib.contextmanager
def aws(folder: Path) -> Iterator[Aws]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (folder / "moto.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            stdout=log,
            stderr=log,
            env={**os.environ, "INITIAL_NO_AUTH_ACTION_COUNT": "0", "PYTHONWARNINGS": ""},
        )
    try:
        deadline = time.monotonic() + 60
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
