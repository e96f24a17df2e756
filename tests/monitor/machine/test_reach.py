from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from monitor.config.config import parse
from monitor.machine.finding import CheckFinding
from monitor.machine.reach import reach
from tests.fakes.ports import free_port
from tests.fakes.server import FakeServer, Fault

PATH = "services/T0/B0/hidden"


async def reached(tmp_path: Path, *sinks: str) -> list[CheckFinding]:
    tables = "".join(f"[[sinks]]\nname='s{number}'\n{sink}\n" for number, sink in enumerate(sinks))
    return await asyncio.to_thread(reach, parse(tables, tmp_path / "config.toml").sinks)


def webhook(tmp_path: Path, url: str) -> str:
    (tmp_path / "url").write_text(f"{url}/{PATH}")
    return f"type='webhook'\nurl='file:{tmp_path}/url'\ninsecure=true"


async def test_a_server_that_answers_anything_is_reached_and_is_told_no_path(tmp_path: Path) -> None:
    async with FakeServer() as server:
        server.always = Fault(404)
        found = await reached(tmp_path, webhook(tmp_path, server.url), f"type='alertmanager'\nurl='{server.url}/am'")
    assert found == []
    assert [(seen.method, seen.path, seen.body) for seen in server.requests] == [("HEAD", "/", b"")] * 2


async def test_a_clock_that_differs_from_the_servers_is_an_error(tmp_path: Path) -> None:
    async with FakeServer() as server:
        server.always = Fault(200, headers={"Date": "Mon, 01 Jan 2024 00:00:00 GMT"})
        [late] = await reached(tmp_path, webhook(tmp_path, server.url))
        server.always = Fault(200, headers={"Date": "yesterday"})
        assert await reached(tmp_path, webhook(tmp_path, server.url)) == []
    assert (late.key, late.kind) == ("host.clock", "environment")
    assert 'ahead of that of sink "s0"' in late.message


async def test_servers_that_are_away_are_named_by_their_sink_alone(tmp_path: Path) -> None:
    port = free_port()
    host = f"host='127.0.0.1'\nport={port}"
    found = await reached(
        tmp_path,
        "type='console'",
        webhook(tmp_path, f"http://127.0.0.1:{port}"),
        f"type='email'\n{host}\nsender='a@example.org'\nto=['b@example.org']",
        f"type='email'\n{host}\ntls='tls'\nsender='a@example.org'\nto=['b@example.org']",
        f"type='mqtt'\n{host}",
        f"type='slack'\ntoken='env:NOT_THERE'\nchannel='c'\napi_url='http://127.0.0.1:{port}/api'\ninsecure=true",
        f"type='pagerduty'\nrouting_key='env:NOT_THERE'\nbase_url='http://127.0.0.1:{port}'",
    )
    assert [(each.key, each.mend) for each in found] == [
        (f"sinks[{number}]", f"monitor sinks test s{number}") for number in range(1, 7)
    ]
    assert all(
        "its server cannot be reached: cannot connect or send: Connection refused" in each.message for each in found
    )
    assert not any("hidden" in str(each) or str(port) in str(each) for each in found)


async def test_a_mail_server_that_listens_is_reached_by_its_port(tmp_path: Path) -> None:
    async with FakeServer() as server:
        mail = f"type='email'\nhost='127.0.0.1'\nport={server.port}\nsender='a@example.org'\nto=['b@example.org']"
        assert await reached(tmp_path, mail) == []
        [tls] = await reached(tmp_path, f"{mail}\ntls='tls'")
    assert "TLS" in tls.message


@pytest.mark.parametrize("reference", ["env:NOT_THERE", "file:/nowhere"])
async def test_a_credential_that_cannot_be_had_is_for_others_to_report(tmp_path: Path, reference: str) -> None:
    assert await reached(tmp_path, f"type='webhook'\nurl='{reference}'") == []
