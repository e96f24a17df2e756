"""The inventory in the daemon: read on its schedule, kept when a manager is down."""

from __future__ import annotations

import asyncio
import random
import string
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from detectors.match.exact import OWN, Exact
from monitor.common.tasks import cancel
from monitor.config.config import load
from monitor.domain.model import Block
from monitor.host import SourceIntake
from monitor.inventory.enrol import Enrolment
from monitor.inventory.managers.base import ManagerConfig
from monitor.inventory.query import ask
from monitor.inventory.reader import sync
from monitor.site import Site, open_site
from tests.detectors import texts
from tests.fakes.forks import Forks
from tests.fakes.server import FakeServer

SOURCE = random.Random(6)
ONE, TWO = ("".join(SOURCE.choices(string.ascii_letters + string.digits, k=40)) for _ in range(2))


class Told:
    """What was told, and of what it was told that it is over."""

    def __init__(self) -> None:
        self.problem: list[str] = []
        self.over: list[str] = []

    def __call__(self, title: str, text: str = "", *_rest: Any, **_more: Any) -> None:
        self.problem.append(f"{title}: {text}")


@pytest.fixture(autouse=True)
def forked(tmp_path: Path, forks: Forks, monkeypatch: pytest.MonkeyPatch) -> None:
    """What reads an entry is a process, but none that imports all anew: that it starts is tested with `ask`."""
    forks.shim(tmp_path / "python", forks.environment())
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    texts.lend(tmp_path / "state" / "cache")
    path = tmp_path / "config.toml"
    path.write_text(
        '[monitor]\nstate_dir = "state"\n[rules]\npacks = ["vcs/github"]\n'
        '[[inventory]]\nname = "e"\ntype = "dotenv"\npath = [".env"]\ninterval = "1h"\nenvironment = "staging"\n'
    )
    (tmp_path / ".env").write_text(f"KEY={ONE}\n")
    return path


def enrol(site: Site, config: Path, over: list[str] | None = None) -> Enrolment:
    ended: list[str] = [] if over is None else over
    known = site.snapshot.inventory
    return Enrolment(
        site.store, site.scanner, known, lambda: load(config), tell=site.tell, over=lambda key, _text: ended.append(key)
    )


@pytest.fixture
async def opened(config: Path) -> AsyncIterator[tuple[Site, Told, Enrolment]]:
    told = Told()
    async with open_site(load(config), told) as site:
        yield site, told, enrol(site, config, told.over)


async def found(site: Site, value: str) -> list[tuple[str, str, str, str]]:
    findings = await site.scanner.identify(f"x {value} y\n".encode())
    return [(one.rule, one.name, one.severity, one.labels["standing"]) for one in findings]


async def test_a_value_is_found_from_then_on_and_after_its_manager_is_down(
    opened: tuple[Site, Told, Enrolment], tmp_path: Path
) -> None:
    site, told, enrolment = opened
    assert await found(site, ONE) == []
    await enrolment.begin(60)
    assert await found(site, ONE) == [(OWN.id, "KEY (staging): secret of our own", "high", "current")]
    assert told.over == ["inventory e"]

    # A command reads it: the daemon follows though it is not due.
    (tmp_path / ".env").write_text(f"KEY={TWO}\n")
    await sync(site.store, load(tmp_path / "config.toml").inventory[0], site.scanner.key, str)
    await enrolment.begin(60)
    assert await found(site, TWO) == [(OWN.id, "KEY (staging): secret of our own", "high", "current")]
    assert await found(site, ONE) == [(OWN.id, "KEY (staging): secret of our own", "high", "previous")]

    (tmp_path / ".env").unlink()
    enrolment.again("e")
    await enrolment.begin(60)
    assert "no such file" in told.problem[0]
    assert ONE not in told.problem[0]
    assert [standing for *_, standing in await found(site, TWO)] == ["current"]

    # Started anew while it is down, there is nothing to look for, and it is said.
    fresh = enrol(site, tmp_path / "config.toml")
    await fresh.begin(60)
    assert len(told.problem) == 2


async def test_two_hosts_that_share_a_database_do_not_read_because_the_other_one_has(
    opened: tuple[Site, Told, Enrolment], config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, _, one = opened
    other = enrol(site, config)
    readings: list[str] = []

    async def counted(entry: ManagerConfig, *given: Any) -> Any:
        readings.append(entry.name)
        return await ask(entry, *given)

    monkeypatch.setattr("monitor.inventory.enrol.ask", counted)
    for _ in range(3):
        await one.begin(60)
        await other.begin(60)
    assert len(readings) == 2

    (tmp_path / ".env").write_text(f"KEY={TWO}\n")
    one.again("e")
    for _ in range(3):
        await one.begin(60)
        await other.begin(60)
    assert len(readings) == 4  # each has the new value


async def test_an_entry_that_is_configured_no_more_is_not_looked_for(
    opened: tuple[Site, Told, Enrolment], config: Path
) -> None:
    site, _, enrolment = opened
    await enrolment.begin(60)
    config.write_text('[monitor]\nstate_dir = "state"\n[rules]\npacks = ["vcs/github"]\n')
    await enrolment.begin(60)
    assert await found(site, ONE) == []
    assert (await site.store.inventory.get("KEY")).gone_at is None


async def test_trouble_with_an_entry_ends_with_its_configuration(
    opened: tuple[Site, Told, Enrolment], config: Path, tmp_path: Path
) -> None:
    _, told, enrolment = opened
    (tmp_path / ".env").unlink()
    await enrolment.begin(60)
    assert (len(told.problem), told.over) == (1, [])
    config.write_text('[monitor]\nstate_dir = "state"\n[rules]\npacks = ["vcs/github"]\n')
    await enrolment.begin(60)
    assert told.over == ["inventory e"]


async def test_what_a_rule_finds_has_the_name_and_keeps_its_rule(
    opened: tuple[Site, Told, Enrolment], tmp_path: Path
) -> None:
    from detectors.rules.template import expand

    site, _, enrolment = opened
    token = expand("ghp_{alnum:30}{crc32}", 9)
    (tmp_path / ".env").write_text(f"GITHUB_TOKEN={token}\n")
    await enrolment.begin(60)
    [one] = await found(site, token)
    assert one == ("github-pat", "GITHUB_TOKEN (staging): GitHub personal access token", "critical", "current")


async def test_a_value_of_another_environment_and_one_of_two_open_incidents_of_their_own(
    opened: tuple[Site, Told, Enrolment], config: Path
) -> None:
    site, _, enrolment = opened
    text = config.read_text()
    config.write_text(text + text[text.index("[[inventory]]") :].replace('"e"', '"f"').replace("staging", "production"))
    await enrolment.begin(60)
    intake = SourceIntake(site, "app", environment="development")
    block = Block(source="app", path="/app.log", generation="g", offset=0, data=f"x {ONE} y\n".encode(), time=1.0)
    await intake.scan([block], lambda: ())
    rules = {one.rule: one.name for one in await site.store.incidents.find()}
    assert rules == {
        OWN.id: "KEY (production, staging): secret of our own",
        "own-secret-shared": "KEY: one value in production, staging",
        "own-secret-elsewhere": "KEY: a secret of production, staging in development",
    }


async def test_where_no_process_can_be_started_it_is_told_and_the_start_goes_on(
    opened: tuple[Site, Told, Enrolment], monkeypatch: pytest.MonkeyPatch
) -> None:
    site, told, enrolment = opened
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    await enrolment.begin(60)
    [said] = told.problem
    assert said.startswith("The inventory could not be read: FileNotFoundError. What was known before")
    assert await found(site, ONE) == []


class Amazon(FakeServer):
    """Secrets Manager with one secret: its values by the label of the version."""

    def __init__(self, **values: str) -> None:
        super().__init__()
        self.values = values

    async def answer(self, request: web.Request, body: bytes) -> web.StreamResponse:
        if request.headers["X-Amz-Target"] == "secretsmanager.ListSecrets":
            stages = {label: [label] for label in self.values}
            return web.json_response({"SecretList": [{"ARN": "arn", "Name": "KEY", "SecretVersionsToStages": stages}]})
        return web.json_response({"SecretString": self.values[(await request.json())["VersionId"]]})


async def test_after_a_restart_what_the_manager_still_gives_of_earlier_values_is_found_and_no_more(
    opened: tuple[Site, Told, Enrolment], config: Path, tmp_path: Path
) -> None:
    from detectors.rules.template import expand

    site, _, _ = opened
    token = expand("ghp_{alnum:30}{crc32}", 10)
    async with Amazon(ours=token, AWSPREVIOUS=ONE, AWSCURRENT=TWO) as server:
        (tmp_path / "key").write_text("k" * 20)
        config.write_text(
            '[monitor]\nstate_dir = "state"\n[rules]\npacks = ["vcs/github"]\n[[inventory]]\nname = "v"\ntype = "aws"\n'
            f'server = "{server.url}"\nregion = "us-east-1"\n'
            'access_key_id = "file:key"\nsecret_access_key = "file:key"\n'
        )

        async def restarted() -> None:
            site.scanner.enrol(None, {})
            await enrol(site, config).begin(60)

        async def standings() -> list[list[str]]:
            return [[one[3] for one in await found(site, value)] for value in (token, ONE, TWO)]

        await restarted()
        assert await standings() == [["retired"], ["previous"], ["current"]]
        del server.values["ours"], server.values["AWSPREVIOUS"]
        await restarted()
        assert await standings() == [["retired"], [], ["current"]]  # the first is found by a rule


class Silent(FakeServer):
    """Takes a request, and answers none until it may."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.may = asyncio.Event(), asyncio.Event()

    async def answer(self, request: web.Request, body: bytes) -> web.StreamResponse:
        self.asked.set()
        await self.may.wait()
        return web.json_response({"SecretList": []})


async def test_one_that_does_not_answer_keeps_no_other_from_being_looked_for(
    opened: tuple[Site, Told, Enrolment], config: Path, tmp_path: Path
) -> None:
    site, _, enrolment = opened
    async with Silent() as server:
        (tmp_path / "key").write_text("k" * 20)
        entry = (
            f'[[inventory]]\nname = "v"\ntype = "aws"\nserver = "{server.url}"\nregion = "us-east-1"\n'
            'access_key_id = "file:key"\nsecret_access_key = "file:key"\n'
        )
        text = config.read_text()
        config.write_text(text.replace("[[inventory]]", f"{entry}[[inventory]]"))
        beginning = asyncio.create_task(enrolment.begin(600))
        async with asyncio.timeout(60):
            await server.asked.wait()
            while not await found(site, ONE):
                await asyncio.sleep(0.02)
        assert not beginning.done()
        server.may.set()
        await beginning


async def test_what_was_not_compiled_in_time_is_looked_for_when_it_is(
    opened: tuple[Site, Told, Enrolment], monkeypatch: pytest.MonkeyPatch
) -> None:
    site, _, enrolment = opened
    compiling, may = threading.Event(), threading.Event()

    def slow(*given: Any) -> Exact:
        compiling.set()
        may.wait(60)
        return Exact(*given)

    monkeypatch.setattr("monitor.inventory.enrol.Exact", slow)
    try:
        await enrolment.begin(0.0)
        await asyncio.to_thread(compiling.wait, 60)
        await enrolment.end()
    finally:
        may.set()
    assert await found(site, ONE) == []
    await enrolment.begin(60)  # nothing is due, and nothing was taken over
    assert len(await found(site, ONE)) == 1


AMAZON = """[[inventory]]
name = "{name}"
type = "aws"
server = "{url}"
region = "us-east-1"
access_key_id = "file:key"
secret_access_key = "file:key"
timeout = "1h"
"""


async def test_managers_that_hang_delay_neither_the_others_nor_what_changes_later(
    opened: tuple[Site, Told, Enrolment], config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.inventory.enrol._LOOK", 0.02)
    monkeypatch.setattr("monitor.inventory.enrol._TURN", 0.02)
    site, _, enrolment = opened
    async with Silent() as server:
        (tmp_path / "key").write_text("k" * 20)
        hanging = "".join(AMAZON.format(name=f"v{number}", url=server.url) for number in range(5))
        config.write_text(config.read_text().replace("[[inventory]]", f"{hanging}[[inventory]]"))
        await enrolment.begin(0.1)
        running = asyncio.create_task(enrolment.run())
        try:
            async with asyncio.timeout(120):
                while not await found(site, ONE):
                    await asyncio.sleep(0.02)
                (tmp_path / ".env").write_text(f"KEY={TWO}\n")
                enrolment.again("e")
                while not await found(site, TWO):
                    await asyncio.sleep(0.02)
        finally:
            await cancel(running)
            await enrolment.end()
    assert site.snapshot.inventory.keys() == {"e", *(f"v{number}" for number in range(5))}


async def test_how_old_a_list_is_shows_and_a_manager_that_is_read_again_is_up_to_date(
    opened: tuple[Site, Told, Enrolment], config: Path, tmp_path: Path
) -> None:
    site, _, enrolment = opened
    (tmp_path / ".env").unlink()
    await enrolment.begin(60)
    asked = site.snapshot.inventory["e"]
    assert asked.good == 2 * 3600 + 120
    assert not asked.stale(asked.at + asked.good)
    assert asked.stale(asked.at + asked.good + 1)
    enrolment.again("e")
    await enrolment.begin(60)
    assert site.snapshot.inventory["e"] == asked, "what was not read is no newer"
    (tmp_path / ".env").write_text(f"KEY={ONE}\n")
    enrolment.again("e")
    await enrolment.begin(60)
    assert site.snapshot.inventory["e"].at > asked.at
    config.write_text('[monitor]\nstate_dir = "state"\n[rules]\npacks = ["vcs/github"]\n')
    await enrolment.begin(60)
    assert site.snapshot.inventory == {}
