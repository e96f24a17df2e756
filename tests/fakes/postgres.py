"""A real PostgreSQL server that asks for passwords, on loopback."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.fakes.ports import free_port


@dataclass(frozen=True)
class Postgres:
    """Its role `app` has `password`, and its superuser `keeper` has `keepers`."""

    port: int
    password: str
    keepers: str


@contextlib.contextmanager
def postgres_with_passwords() -> Iterator[Postgres]:
    binaries = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parts[-2]))
    # Not below pytest's folder: that is closed to other users.
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp") as name:
        folder, password, keepers = Path(name), secrets.token_urlsafe(24), secrets.token_urlsafe(24)
        prefix = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        if prefix:
            shutil.chown(folder, "postgres")
        port = free_port()

        def run(program: str, *arguments: str) -> None:
            # Output to a file: the server inherits it, and a pipe would never end.
            with (folder / "commands.log").open("ab") as output:
                command = [*prefix, str(binaries / program), *arguments]
                subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/")

        data = str(folder / "data")
        run("initdb", "-D", data, "-A", "scram-sha-256", "--auth-local=trust", "-U", "monitor", "-N")
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        run("pg_ctl", "-D", data, "-w", "-s", "-l", str(folder / "server.log"), "-o", options, "start")
        try:
            made = (
                f"CREATE ROLE app LOGIN PASSWORD '{password}'; CREATE ROLE keeper SUPERUSER LOGIN PASSWORD '{keepers}'"
            )
            run("psql", "-h", str(folder), "-p", str(port), "-U", "monitor", "-d", "postgres", "-c", made)
            yield Postgres(port, password, keepers)
        finally:
            run("pg_ctl", "-D", data, "-s", "-m", "immediate", "stop")
