from __future__ import annotations

from pathlib import Path

import pytest

from monitor.accounts.tokens import fresh
from monitor.common.credential import Credential
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


async def test_from_elsewhere_nothing_is_read_without_one(tmp_path: Path) -> None:
    async with serving(tmp_path) as program:
        await program.get("sinks")
        await program.get("sinks", 403, **ELSEWHERE)
        await program.get("sinks", 421, Host="rebound.example")
