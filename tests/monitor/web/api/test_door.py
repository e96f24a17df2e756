from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from monitor.accounts.settings import SignInConfig
from monitor.accounts.tokens import fresh
from monitor.common.credential import Credential
from monitor.routing.routes import Policy
from monitor.store import Store
from monitor.web.console.sessions import Reception
from tests.fakes.api import serving
from tests.fakes.console import finding

ELSEWHERE = {"X-Forwarded-For": "192.0.2.7"}


async def test_one_that_is_revoked_ended_or_made_up_opens_nothing_on_this_host_either(tmp_path: Path) -> None:
    async with serving(tmp_path) as program:
        await program.holds("viewer", "read")
        await program.get("sinks", **ELSEWHERE)
        await program.store.flush()
        [known] = await program.store.tokens.list()
        assert known.seen is not None
        await program.store.tokens.revoke("deploy", actor="root")
        assert "monitor users token add" in (await program.get("sinks", 401))["detail"]
        assert program.headers["WWW-Authenticate"].startswith("Bearer")
        await program.holds(lasts=0.0)
        await program.post("incidents/x/ack", 401)
        for made_up in (fresh(), program.token[:-1], f"{program.token}x"):
            program.token = made_up
            await program.get("sinks", 401)


async def test_it_opens_the_api_alone_and_the_token_of_pages_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAGE_TOKEN", "open sesame")
    async with serving(tmp_path, token=Credential("env:PAGE_TOKEN")) as program:
        await program.store.commit([finding(1)])
        (incident,) = await program.store.incidents.find()
        await program.get("incidents", 401)
        value = await program.holds()
        await program.get("incidents")
        headers = {"Authorization": f"Bearer {value}"}
        async with program.session.get(f"{program.pages.url}/incidents", headers=headers) as answer:
            assert answer.status == 401
        program.token = "open sesame"
        await program.get("incidents")
        await program.post(f"incidents/{incident.id}/ack", 403)


async def test_a_session_reads_and_changes_nothing_and_a_token_needs_none(tmp_path: Path) -> None:
    """A page elsewhere could have it sent, with the cookie; a token nobody sends unasked."""
    async with await Store.open(tmp_path / "state.db", Policy()) as store:
        await store.users.add("ana", "hash", "admin", actor="root")
        held = "h" * 43
        id_ = hashlib.sha256(held.encode()).hexdigest()
        assert await store.sessions.begin(id_, "ana", "password", 3600.0, password="hash")
        reception = Reception(store, lambda: SignInConfig(sign_in=True))
        async with serving(tmp_path, doorkeeper=reception) as program:
            await program.store.commit([finding(1)])
            (incident,) = await program.store.incidents.find()
            await program.get("incidents", 401)
            cookie = {"Cookie": f"monitor_session={held}", "Origin": program.pages.url}
            assert (await program.get("incidents", **cookie))["total"] == 1
            path = f"incidents/{incident.id}/ack"
            assert "only a token" in (await program.ask("POST", path, 403, json={}, headers=cookie))["detail"]
            await program.holds()
            await program.post(path)


async def test_from_elsewhere_nothing_is_read_without_one(tmp_path: Path) -> None:
    async with serving(tmp_path) as program:
        await program.get("sinks")
        await program.get("sinks", 403, **ELSEWHERE)
        await program.get("sinks", 421, Host="rebound.example")
