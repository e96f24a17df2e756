from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from detectors.rules.template import expand
from monitor.access.reading import Reading
from monitor.config import state
from monitor.config.config import load
from monitor.rotation.work import begin, look
from monitor.site import open_store
from monitor.store.inventory import Print, SecretVersion
from tests.fakes.shell import in_process
from tests.monitor.audit.conftest import git, repository, write
from tests.monitor.cli.conftest import Command
from tests.monitor.rotation.test_ics import nested, parsed
from tests.monitor.store.helpers import fingerprint

DAY = 86_400.0
NOW = time.time()


def kept(name: str, age: float, *tags: str) -> SecretVersion:
    prints = (Print(fingerprint(name), "", 20, "mixed"),)
    return SecretVersion(name, fingerprint(name), "1", rotated=NOW - age * DAY, owner="ada", tags=tags, prints=prints)


@pytest.fixture
def monitor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    return in_process(tmp_path, monkeypatch)


@pytest.fixture
def known(config: Path) -> Path:
    """Four secrets: overdue, due soon, later, and never; and a reader of one."""

    async def fill() -> None:
        settings = load(config)
        settings.state_dir.mkdir(exist_ok=True)
        async with await open_store(settings) as store:
            found = [kept("OLD", 100, "critical"), kept("SOON", 80, "critical"), kept("NEW", 1, "critical")]
            await store.inventory.save("env", [*found, kept("NEVER", 900, "vendor-x")], whole=True)
            await store.commit((), readings=[Reading("1", NOW, "NEW", "ldap-anna")], source="vault")

    asyncio.run(fill())
    return config


def rows(monitor: Command, *arguments: str, code: int = 0) -> list[dict[str, Any]]:
    answer = monitor("rotation", *arguments, "--format", "json")
    assert answer.returncode == code, answer.stderr
    found: list[dict[str, Any]] = json.loads(answer.stdout)
    return found


def test_what_is_due_and_when(monitor: Command, known: Path) -> None:
    assert [(row["secret"], row["standing"]) for row in rows(monitor, "due", code=1)] == [
        ("env/OLD", "overdue"),
        ("env/SOON", "soon"),
    ]
    text = monitor("rotation", "plan").stdout
    assert [line.split()[3] for line in text.splitlines()[1:]] == ["env/OLD", "env/SOON", "env/NEW"]
    calendar = monitor("rotation", "plan", "--within", "30d", "--format", "ics")
    lines = parsed(calendar.stdout.replace("\n", "\r\n"))
    assert nested(lines).count("VCALENDAR/VEVENT") == 2
    assert monitor("rotation", "plan", "--within", "soon").returncode == 2


def test_a_plan_that_holds_nothing_says_why(monitor: Command, known: Path) -> None:
    assert monitor("rotation", "plan", "--within", "1d").stdout.count("env/OLD") == 1
    policies = '[[rotation.policies]]\nevery = "3650d"\n'
    text = known.read_text()
    known.write_text(text + policies)
    assert monitor("rotation", "plan", "--within", "1d").stdout == "nothing is due within 1d\n"
    known.write_text(text + policies + 'entries = ["other"]\n')
    assert "no policy fits" in monitor("rotation", "plan").stdout


def test_rotations_are_opened_by_name_by_tag_and_when_somebody_leaves(monitor: Command, known: Path) -> None:
    [begun] = rows(monitor, "start", "--tag", "vendor-x", "--note", "their incident")
    assert (begun["secret"], begun["next"]) == ("env/NEVER", "new")
    assert rows(monitor, "start", "NEVER")[0]["incident"] == begun["incident"]
    assert monitor("rotation", "start").returncode == 2
    assert monitor("rotation", "start", "NOWHERE").returncode == 1
    assert "no secret of the inventory has the tag" in monitor("rotation", "start", "--tag", "none").stderr

    [row] = rows(monitor, "departed", "anna")
    assert (row["secret"], row["inventory"], row["why"]) == ("NEW", ["env/NEW"], ["ldap-anna read it"])
    assert "no record shows" in monitor("rotation", "departed", "joanna").stdout


def test_an_end_needs_what_it_needs(monitor: Command, known: Path) -> None:
    answer = monitor("rotation", "done", "OLD")
    assert answer.returncode == 1
    assert "[[inventory]] has no entry env any more" in answer.stderr
    assert monitor("rotation", "done", "OLD", "--anyway").returncode == 2
    assert monitor("rotation", "done", "OLD", "--old-from", "value").returncode == 2
    with known.open("a") as file:
        file.write('[[inventory]]\nname = "env"\ntype = "dotenv"\npath = [".env"]\n')
    others = "NEVER=7hT4vWq1Zx9Kp3Ld\nNEW=2mR8yBc5Jf0Gs6Nu\nSOON=4kV9aXe3Qo7Hw1Ti\n"
    (known.parent / ".env").write_text(f"{others}OLD=9sK2mQx7Lp0Zr4Tv\n")
    assert "no rotation of env/OLD is open" in monitor("rotation", "done", "OLD").stderr
    [begun] = rows(monitor, "start", "OLD")
    (known.parent / ".env").write_text(f"{others}OLD=1aB8cYw6Nq3Ju5Hg\n")
    answer = monitor("rotation", "done", "OLD", "--format", "json")
    row = json.loads(answer.stdout)
    assert (answer.returncode, row["steps"]["new"], row["steps"]["both"]) == (1, "done", "open")
    answer = monitor("rotation", "done", "OLD", "--anyway", "--note", "it was never valid")
    assert answer.returncode == 0
    assert answer.stdout.count("done ") == 5
    assert "closed without evidence: nothing shows that the old value is refused" in answer.stdout
    shown = json.loads(monitor("incidents", "show", begun["incident"], "--format", "json").stdout)
    assert shown["resolution"] == "revoked"
    said = "no evidence: nothing shows that the old value ends: it was never valid"
    assert said in monitor("incidents", "timeline", begun["incident"]).stdout
    assert said in monitor("incidents", "report", begun["incident"]).stdout


def test_a_value_in_place_of_a_name_is_not_said_again(monitor: Command, known: Path) -> None:
    token = expand("ghp_{alnum:30}{crc32}", 7)
    for arguments in (("start",), ("done",), ("departed",), ("start", "--tag")):
        answer = monitor("rotation", *arguments, token)
        assert "ghp_" in answer.stdout + answer.stderr
        assert token[8:20] not in answer.stdout + answer.stderr


class _Bao(BaseHTTPRequestHandler):
    """A database engine: where it is, and that another password is set."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self._say(200, b'{"data": {"type": "database"}}')

    def do_POST(self) -> None:
        self.asked.append(self.path)
        self.rfile.read(int(self.headers["Content-Length"]))
        self._say(204 if self.path.endswith("/OLD") else 400, b"")

    def _say(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def test_a_provider_is_asked_where_its_entry_says_who_may(monitor: Command, known: Path) -> None:
    answer = monitor("rotation", "start", "OLD", "--provider")
    assert answer.returncode == 1
    assert "refused: [[inventory]] env has no `rotate`" in answer.stdout
    with ThreadingHTTPServer(("127.0.0.1", 0), _Bao) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        (known.parent / "token").write_text("t" * 20)
        with known.open("a") as file:
            file.write(
                f'[[inventory]]\nname = "env"\ntype = "vault"\nserver = "http://127.0.0.1:{server.server_port}"\n'
                'mount = "database"\ntoken = "file:token"\nrotate = { token = "file:token" }\n'
                '[[rotation.policies]]\nevery = "90d"\ntags = ["critical"]\nnames = ["OLD"]\nautomatic = true\n'
                '[[rotation.policies]]\nevery = "90d"\ntags = ["critical"]\n'
            )
        assert [(row["secret"], row["automatic"]) for row in rows(monitor, "plan")] == [
            ("env/OLD", True), ("env/SOON", False), ("env/NEW", False),
        ]  # fmt: skip
        assert "provider" in monitor("rotation", "plan").stdout.splitlines()[1]
        assert _Bao.asked == []

        [begun] = rows(monitor, "start", "OLD", "--provider")
        assert begun["provider"] == "accepted"
        assert _Bao.asked == ["/v1/database/rotate-role/OLD"]
        answer = monitor("rotation", "start", "OLD", "--provider")
        assert (answer.returncode, "rotate:env is accepted for this incident already" in answer.stdout) == (1, True)
        refused = monitor("rotation", "start", "SOON", "--provider")
        assert (refused.returncode, "failed: inventory env: rotate-role/SOON" in refused.stdout) == (1, True)
        assert len(_Bao.asked) == 2

        incident = asyncio.run(_killed(known))
        retried = monitor("rotation", "start", "NEW", "--provider")
        assert "its provider: failed" in retried.stdout, retried
        states = [
            one["state"]
            for one in json.loads(monitor("action", "list", "--incident", incident, "--format", "json").stdout)
        ]
        assert states == ["failed", "unknown"]

        _Bao.asked.clear()
        with known.open("a") as file:
            file.write('[[inventory]]\nname = "more"\ntype = "dotenv"\npath = [".env"]\n')
        asyncio.run(_more(known))
        answered = rows(monitor, "start", "--tag", "critical", "--provider", code=1)
        assert [(row["secret"], row["provider"]) for row in answered] == [
            ("env/NEW", "failed"), ("env/OLD", "refused"), ("env/SOON", "failed"), ("more/OTHER", "refused"),
        ]  # fmt: skip
        assert "[[inventory]] more has no `rotate`" in answered[3]["outcome"]
        assert _Bao.asked == ["/v1/database/rotate-role/NEW", "/v1/database/rotate-role/SOON"]
        server.shutdown()


async def _killed(config: Path) -> str:
    """Another process was asking for NEW when it ended. Returns the incident."""
    settings = load(config)
    async with await open_store(settings) as store:
        [secret] = [one for one in await look(store) if one.name == "NEW"]
        incident, _ = await begin(store, state.key(settings), secret, why="", actor="ada")
        await store.actions.start(incident.id, "rotate:env", actor="ada", automatic=False)
    return incident.id


async def _more(config: Path) -> None:
    async with await open_store(load(config)) as store:
        await store.inventory.save("more", [kept("OTHER", 100, "critical")], whole=True)


def test_one_that_cannot_be_opened_keeps_no_other_from_it(monitor: Command, known: Path) -> None:
    [old] = rows(monitor, "start", "OLD")
    assert monitor("incidents", "resolve", old["incident"], "--as", "revoked").returncode == 0
    answered = rows(monitor, "start", "--tag", "critical", code=1)
    assert [row["secret"] for row in answered if row["incident"]] == ["env/NEW", "env/SOON"]
    [refused] = [row for row in answered if row["incident"] is None]
    assert refused["outcome"].startswith("the rotation of this value of env/OLD is closed")
    answer = monitor("rotation", "start", "OLD")
    assert (answer.returncode, "the rotation of this value of env/OLD is closed" in answer.stderr) == (1, True)

    [never] = rows(monitor, "start", "NEVER")
    assert monitor("incidents", "resolve", never["incident"], "--as", "revoked").returncode == 0
    [refused] = rows(monitor, "start", "--tag", "vendor-x", code=1)
    assert (refused["secret"], refused["incident"]) == ("env/NEVER", None)

    with known.open("a") as file:
        file.write('[[access]]\nname = "people"\nsecrets = ["*"]\nprincipals = ["ldap-anna"]\n')
    answer = monitor("rotation", "departed", "anna")
    assert (answer.returncode, "env/OLD: not opened: the rotation of this value" in answer.stdout) == (1, True)
    assert "not opened" in next(line for line in answer.stdout.splitlines() if line.startswith("OLD "))


def test_why_a_rotation_is_asked_for_is_a_label_and_stands_in_the_history_once(monitor: Command, known: Path) -> None:
    [first, second, wrong] = rows(monitor, "start", "OLD", "SOON", "GONE", "--reason", "shared", code=1)
    assert [row["secret"] for row in (first, second, wrong)] == ["env/OLD", "env/SOON", "GONE"]
    assert (wrong["incident"], "no secret is called" in wrong["outcome"]) == (None, True)
    rows(monitor, "start", "OLD", "--reason", "shared")
    rows(monitor, "start", "OLD", "--reason", "dependency", "--note", "left-pad 1.4.0")
    shown = json.loads(monitor("incidents", "show", first["incident"], "--format", "json").stdout)
    assert shown["labels"]["reason"] == "dependency"
    timeline = json.loads(monitor("incidents", "timeline", first["incident"], "--format", "json").stdout)
    assert [row["note"] for row in timeline if row["what"] == "noted"] == [
        "shared: it was known to others, or in use elsewhere",
        "dependency: left-pad 1.4.0",
    ]
    report = monitor("incidents", "report", first["incident"], "--as", "markdown").stdout
    assert "label reason" in report
    assert "dependency: left-pad 1.4.0" in report
    [left] = rows(monitor, "departed", "anna")
    shown = json.loads(monitor("incidents", "show", left["rotations"][0], "--format", "json").stdout)
    assert shown["labels"]["reason"] == "departure"
    assert monitor("rotation", "start", "OLD", "--reason", "boredom").returncode == 2


def test_the_recipe_opens_rotations_when_a_lock_file_changes(
    monitor: Command, known: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the page has it, run by git at a pull."""
    page = (Path(__file__).parents[3] / "docs" / "rotation.md").read_text(encoding="utf-8")
    recipe = page.partition("<!-- recipe: post-merge -->\n```sh\n")[2].partition("```")[0]
    folder, said = known.parent, known.parent / "said"
    upstream, clone = folder / "upstream", folder / "clone"
    program = folder / "bin" / "monitor"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> {said}\n')
    repository(upstream, {"web/package-lock.json": "1", "main.py": "1"})
    git(folder, "clone", "-q", str(upstream), str(clone))
    hook = clone / ".git" / "hooks" / "post-merge"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(recipe)
    for one in (program, hook):
        one.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")

    def pull(name: str) -> None:
        write(upstream, {name: str(time.time())})
        git(upstream, "commit", "-q", "-a", "-m", "more")
        git(clone, "pull", "-q", "--ff-only")

    pull("main.py")
    assert not said.exists()
    pull("web/package-lock.json")
    words = [word if word != "build" else "vendor-x" for word in said.read_text().splitlines()]
    answer = monitor(*words, "--format", "json")
    [row] = json.loads(answer.stdout)
    assert row["secret"] == "env/NEVER"
    shown = json.loads(monitor("incidents", "show", row["incident"], "--format", "json").stdout)
    assert shown["labels"]["reason"] == "dependency"
