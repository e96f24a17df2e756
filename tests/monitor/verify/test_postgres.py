"""Against a real server, whose roles have passwords."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

import psycopg
import pytest

from monitor.common.guard import ForbiddenError, Guard
from monitor.verify.config import VerifyConfig
from monitor.verify.postgres import log_in
from monitor.verify.request import MissingPartError
from monitor.verify.verifier import Verifier
from tests.fakes.postgres import Postgres, postgres_with_passwords


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres_with_passwords() as server:
        yield server


def asking(*, private: bool = True) -> Verifier:
    given = {"providers": ["postgres"], "private": ["postgres"] if private else [], "timeout": "5s"}
    return Verifier(VerifyConfig.model_validate(given))


async def test_a_password_is_taken_or_refused(server: Postgres) -> None:
    parts = {"user": "app", "host": f"127.0.0.1:{server.port}", "database": "postgres"}
    verdict = await asking().ask("postgresql-uri", server.password, parts)
    assert (verdict.status, verdict.facts["user"]) == ("valid", "app")
    assert verdict.facts["asked_with"] == f"host {parts['host']}, user app"
    # Once it was taken at this place, a refusal is one of the password; before, the place may be another one's.
    assert (await asking().ask("postgresql-uri", "wrong", parts)).status == "unknown"
    assert (await asking().ask("postgresql-uri", "wrong", parts, known=verdict.facts)).status == "refused"
    nobody = parts | {"user": "nobody"}
    assert (await asking().ask("postgresql-uri", server.password, nobody, known=verdict.facts)).status == "unknown"
    other = await asking().ask("postgresql-uri", server.password, parts | {"database": "none"})
    assert (other.status, "no such database" in other.reason) == ("valid", True)
    whole = f"postgres://app:{server.password}@127.0.0.1:{server.port}/postgres?sslmode=disable"
    verdict = await asking().ask("postgresql-uri", whole)
    assert verdict.status == "valid"
    assert server.password not in repr(verdict)
    gone = whole.replace(server.password, "wrong")
    assert (await asking().ask("postgresql-uri", gone)).status == "unknown"  # this host's 127.0.0.1 is not the log's
    assert (await asking().ask("postgresql-uri", gone, known=verdict.facts)).status == "refused"


async def test_a_server_that_is_not_public_is_not_asked(server: Postgres) -> None:
    parts = {"user": "app", "host": f"127.0.0.1:{server.port}"}
    assert "not public" in (await asking(private=False).ask("postgresql-uri", server.password, parts)).reason
    with pytest.raises(ForbiddenError):
        await log_in(Guard(), parts | {"value": "x"}, private=False, seconds=5)


async def test_who_answers_in_the_servers_place_is_not_told_the_password() -> None:
    """It asks for the password in clear, and gets nothing."""
    heard = b""

    done: list[asyncio.Task[None]] = []

    async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal heard
        with contextlib.closing(writer):
            heard += await reader.read(1024)
            writer.write(b"N")  # no TLS
            heard += await reader.read(1024)
            writer.write(b"R" + (8).to_bytes(4, "big") + (3).to_bytes(4, "big"))  # AuthenticationCleartextPassword
            heard += await reader.read(1024)

    def met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        done.append(asyncio.create_task(ask(reader, writer)))

    impostor = await asyncio.start_server(met, "127.0.0.1", 0)
    async with impostor:
        port = impostor.sockets[0].getsockname()[1]
        parts = {"user": "app", "host": f"127.0.0.1:{port}"}
        verdict = await asking().ask("postgresql-uri", "canary0123456789", parts)
        await asyncio.wait(done, timeout=10)
    assert verdict.status == "unknown"
    assert b"app" in heard
    assert b"canary" not in heard


async def test_what_is_missing_is_said() -> None:
    with pytest.raises(MissingPartError, match="--part host=…"):
        await log_in(Guard(), {"value": "x", "user": "a"}, private=True, seconds=1)
    assert psycopg.pq.version() >= 160000  # `require_auth`
