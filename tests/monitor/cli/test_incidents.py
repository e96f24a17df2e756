from __future__ import annotations

import asyncio
import fcntl
import json
import os
import pwd
import shutil
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import pytest

from detectors.rules.template import expand
from monitor.config.config import load
from monitor.config.in_force import keep
from monitor.domain.model import Finding
from monitor.report.view import FIRST_STEP
from monitor.runbook import load as load_runbook
from monitor.store import Store

Command = Callable[..., subprocess.CompletedProcess[str]]


def finding(number: int, **changes: object) -> Finding:
    values: dict[str, object] = {
        "id": f"{number:064x}",
        "rule": "github-pat",
        "name": "GitHub personal access token",
        "severity": "critical",
        "confidence": "high",
        "fingerprint": f"{number:x}" * 64,
        "masked": "ghp_ab12…[40]",
        "source": "logs",
        "path": f"/var/log/app/{number}.log",
        "generation": "g",
        "offset": 100 * number,
        "time": 1_700_000_000.0 + number,
        "line": number,
        "labels": {"vendor": "github"},
    }
    return Finding(**(values | changes))  # type: ignore[arg-type]


@pytest.fixture
def stored(config: Path) -> Path:
    """Three incidents: ids of sixteen 1s, 2s and 3s; the last one low."""

    async def fill() -> None:
        settings = load(config)
        settings.state_dir.mkdir(exist_ok=True)
        async with await Store.open(settings.state_dir / "state.db", settings.policy) as store:
            await store.commit([finding(1), finding(2), finding(3, severity="low", path="/srv/\x1b[2Jevil\udcff.log")])

    asyncio.run(fill())
    return config


def test_what_is_logged_meanwhile_goes_to_standard_error(monitor: Command, stored: Path) -> None:
    (load(stored).state_dir / "heads").mkdir()  # which is no file
    answer = monitor("incidents", "list", "--format", "json")
    assert len(json.loads(answer.stdout)) == 3
    assert "what this host knew of the ends of histories cannot be read" in answer.stderr


def test_list_in_every_form(monitor: Command, stored: Path) -> None:
    rows = json.loads(monitor("incidents", "list", "--format", "json").stdout)
    assert [row["id"] for row in rows] == ["1" * 16, "2" * 16, "3" * 16], "the page's order: the worst, then the oldest"
    assert rows[1] == {
        "id": "2" * 16,
        "fingerprint": "2" * 64,
        "rule": "github-pat",
        "name": "GitHub personal access token",
        "severity": "critical",
        "confidence": "high",
        "state": "open",
        "resolution": None,
        "masked": "ghp_ab12…[40]",
        "first_seen": "2023-11-14T22:13:22.000Z",
        "last_seen": "2023-11-14T22:13:22.000Z",
        "first_logged": None,
        "occurrences": 1,
        "owner": None,
        "runbook": None,
        "labels": {"vendor": "github"},
        "merged_into": None,
        "age": rows[1]["age"],
        "next_deadline": None,
        "validity": None,
        "asked_at": None,
        "verdict": "",
        "verified": {},
        "actor": "monitor",
        "note": "",
        "drill": False,
        "first_step": FIRST_STEP,
        "run": None,
        "url": None,
        "acknowledge": rows[1]["acknowledge"],
        "locations": [
            {
                "source": "logs",
                "path": "/var/log/app/2.log",
                "offset": 200,
                "line": 2,
                "time": "2023-11-14T22:13:22.000Z",
                "logged_at": None,
                "host": rows[0]["locations"][0]["host"],
                "service": None,
                "context": None,
                "url": None,
            }
        ],
    }
    assert f" incidents ack {'2' * 16}" in rows[1]["acknowledge"]
    lines = monitor("incidents", "list", "--format", "jsonl").stdout.splitlines()
    assert [json.loads(line)["id"] for line in lines] == [row["id"] for row in rows]
    text = monitor("incidents", "list").stdout
    assert "/var/log/app/2.log:2" in text
    assert "\x1b" not in text
    assert "\\x1b[2Jevil" in text


@pytest.mark.parametrize(
    ("arguments", "ids"),
    [
        (["--severity", "low"], "123"),
        (["--severity", "medium"], "12"),
        (["--rule", "jwt"], ""),
        (["--source", "other"], ""),
        (["--search", "app/2"], "2"),
        (["--limit", "1"], "1"),
        (["--state", "resolved"], ""),
        (["--since", "1h"], ""),
        (["--since", "9000d"], "123"),
    ],
)
def test_filters(monitor: Command, stored: Path, arguments: list[str], ids: str) -> None:
    rows = json.loads(monitor("incidents", "list", "--format", "json", *arguments).stdout)
    assert "".join(row["id"][0] for row in rows) == ids


def test_what_is_searched_for_can_come_from_standard_input(monitor: Command, stored: Path) -> None:
    answer = monitor("incidents", "list", "--format", "json", "--search", "-", stdin="app/2\n")
    assert [row["id"][0] for row in json.loads(answer.stdout)] == ["2"]


def test_a_cut_list_says_so(monitor: Command, stored: Path) -> None:
    assert "and 2 more; --limit shows them" in monitor("incidents", "list", "--limit", "1").stdout
    assert "more" not in monitor("incidents", "list").stdout


def test_a_secret_in_a_note_is_masked_before_it_is_kept(monitor: Command, stored: Path) -> None:
    secret = monitor("sample", "github-pat").stdout.strip()
    answer = monitor("incidents", "ack", "1111", "--note", f"is it {secret} ?")
    assert answer.returncode == 0, answer.stderr
    assert "the note holds a secret" in answer.stderr
    shown = monitor("incidents", "show", "1111").stdout
    assert "is it ghp_" in shown
    assert secret not in answer.stdout + answer.stderr + shown
    kept = b"".join(path.read_bytes() for path in stored.parent.rglob("state.db*"))
    assert secret.encode() not in kept


def test_the_life_of_an_incident(monitor: Command, stored: Path) -> None:
    answer = monitor("incidents", "ack", "1111", "--note", "rotating", env={"SUDO_USER": "alice"})
    assert (answer.returncode, answer.stdout) == (0, "1111111111111111 acknowledged\n"), answer.stderr
    answer = monitor("incidents", "resolve", "1" * 64, "222", "--as", "revoked", "--format", "json")
    assert [(row["state"], row["resolution"]) for row in json.loads(answer.stdout)] == [("resolved", "revoked")] * 2
    assert [row["id"][0] for row in json.loads(monitor("incidents", "list", "--format", "json").stdout)] == ["3"]
    shown = json.loads(monitor("incidents", "show", "1111", "--format", "json").stdout)
    # Only root was called by somebody else.
    assert shown["owner"] == ("alice" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name)
    assert [(event["action"], event["note"]) for event in shown["history"] if event["note"]] == [
        ("acknowledged", "rotating")
    ]
    text = monitor("incidents", "show", "1111").stdout
    assert "acknowledged by alice: rotating" in text
    assert "label        vendor=github" in text
    answer = monitor("incidents", "reopen", "1111")
    assert answer.stdout == "1111111111111111 open\n"


def test_show_says_what_to_do_and_what_comes_next(monitor: Command, config: Path) -> None:
    async def fill() -> None:
        settings = load(config)
        settings.state_dir.mkdir(exist_ok=True)
        async with await Store.open(settings.state_dir / "state.db", settings.policy) as store:
            many = [finding(1, id=f"{n:064x}", runbook="github-token", line=n, offset=n) for n in range(300)]
            await store.commit([*many, finding(2, id="f" * 64)])

    asyncio.run(fill())
    first = load_runbook("github-token").first_step  # type: ignore[union-attr]
    lines = monitor("incidents", "show", "1111").stdout.splitlines()
    assert f"first        {first}" in lines
    assert "runbook      github-token" in lines  # port 0: nobody knows the address
    (following,) = (line for line in lines if line.startswith("next   "))
    assert f"monitor incidents ack {'1' * 16}" in following
    assert any(line.strip().startswith("and ") and line.endswith(" more, before these") for line in lines)
    assert not any("None" in line for line in lines)
    assert json.loads(monitor("incidents", "show", "1111", "--format", "json").stdout)["first_step"] == first
    config.write_text(config.read_text().replace("127.0.0.1:0", "127.0.0.1:9321"))
    assert "runbook      http://127.0.0.1:9321/runbooks/github-token" in monitor("incidents", "show", "1111").stdout
    monitor("incidents", "ack", "1111")
    assert f"resolve {'1' * 16} --as revoked" in monitor("incidents", "show", "1111").stdout
    assert monitor("incidents", "resolve", "1111").returncode == 2  # what became of it is for people to say
    monitor("incidents", "resolve", "1111", "--as", "revoked")
    lines = monitor("incidents", "show", "1111").stdout.splitlines()
    assert not any(line.startswith(("first   ", "next   ")) for line in lines)
    assert monitor("incidents", "show", "2222").stdout.count("first    ") == 1  # without a runbook
    assert "resolved as revoked by " in monitor("incidents", "show", "1111").stdout


def test_an_empty_list_says_whether_it_was_narrowed(monitor: Command, stored: Path) -> None:
    assert monitor("incidents", "list", "--rule", "jwt").stdout == "no unresolved incidents match\n"
    assert monitor("incidents", "list", "--state", "resolved").stdout == "no resolved incidents\n"


def test_what_cannot_be_done_is_one_and_the_rest_is_done(monitor: Command, stored: Path) -> None:
    answer = monitor("incidents", "ack", "4444", "1111")
    assert answer.returncode == 1
    assert "there is no incident '4444'" in answer.stderr
    assert answer.stdout == "1111111111111111 acknowledged\n"
    answer = monitor("incidents", "ack", "1111")
    assert answer.returncode == 1
    assert "already acknowledged" in answer.stderr
    assert monitor("incidents", "show", "4444").returncode == 1
    assert monitor("incidents", "resolve", "1111", "--as", "forgotten").returncode == 2
    answer = monitor("incidents", "list", "--since", "yesterday")
    assert answer.returncode == 2
    assert "must be a duration" in answer.stderr


def test_before_the_first_run_nothing_is_made(monitor: Command, config: Path) -> None:
    shutil.rmtree(config.parent / "state")
    answer = monitor("incidents", "list")
    assert answer.stdout == "no unresolved incidents\n"
    assert f"there is no database at {config.parent}/state/state.db yet" in answer.stderr
    assert monitor("incidents", "list", "--format", "json").stdout == "[]\n"
    answer = monitor("incidents", "show", "1111")
    assert answer.returncode == 1
    assert "`monitor run` makes it" in answer.stderr
    assert not (config.parent / "state").exists()


def test_a_database_that_cannot_be_reached(monitor: Command, config: Path) -> None:
    text = config.read_text().replace("[monitor]", "[monitor]\ndatabase = 'env:DATABASE_URL'")
    config.write_text(text)
    answer = monitor("incidents", "list")
    assert answer.returncode == 78
    assert "monitor.database" in answer.stderr
    password = "value-of-the-password"
    answer = monitor(
        "incidents", "list", env={"DATABASE_URL": f"postgresql+psycopg://user:{password}@127.0.0.1:1/none"}
    )
    assert answer.returncode == 1
    assert password not in answer.stdout + answer.stderr
    assert "Traceback" not in answer.stderr


def test_show_says_until_when_nobody_is_told(monitor: Command, stored: Path) -> None:
    ends = json.loads(monitor("incidents", "silence", "1111", "--for", "1h", "--format", "json").stdout)
    shown = json.loads(monitor("incidents", "show", "1111", "--format", "json").stdout)
    assert shown["silenced_until"] == ends["silenced_until"]
    until = ends["silenced_until"][:19].replace("T", " ")
    line = f"silenced     until {until} UTC; `incidents silence {'1' * 16} --for 0s` ends it"
    assert line in monitor("incidents", "show", "1111").stdout
    assert "silenced  " not in monitor("incidents", "show", "2222").stdout


def test_show_says_which_silences_it_matches(monitor: Command, stored: Path) -> None:
    stored.write_text(
        stored.read_text()
        + '[[silences]]\nmatchers = [\'severity=~".+"\']\nauthor = "ada"\ncomment = "load test"\n'
        + "[[silences]]\nmatchers = ['severity=\"none\"']\n"
    )
    added = monitor("silences", "add", 'source=~".+"', "--for", "2h", "--note", "moving", "--format", "json")
    rule = json.loads(added.stdout)
    shown = json.loads(monitor("incidents", "show", "1111", "--format", "json").stdout)
    assert shown["silenced_until"] is None
    assert [(one["id"], one["ends"], one["by"]) for one in shown["silences"]] == [
        (None, None, "ada"),
        (rule["id"], rule["ends"], rule["by"]),
    ]
    lines = [line for line in monitor("incidents", "show", "1111").stdout.splitlines() if line.startswith("silenced")]
    assert lines[0].split(maxsplit=1)[1].startswith('for ever by a silence of the configuration, severity=~".+" (ada: ')
    assert f'by silence {rule["id"]}, source=~".+"' in lines[1]
    assert f"`silences end {rule['id']}` ends it" in lines[1]
    assert monitor("silences", "end", rule["id"]).returncode == 0
    assert len(json.loads(monitor("incidents", "show", "1111", "--format", "json").stdout)["silences"]) == 1


def test_show_says_where_a_silence_takes_some_places_only(monitor: Command, stored: Path) -> None:
    async def see_again() -> None:
        settings = load(stored)
        async with await Store.open(settings.state_dir / "state.db", settings.policy) as store:
            await store.commit([finding(1, id="b" * 64, path="/srv/b.log", offset=7)])

    asyncio.run(see_again())
    assert monitor("silences", "add", 'path="/srv/b.log"', "--for", "2h", "--note", "moving").returncode == 0
    assert 'path="/srv/b.log", at 1 of 2 places' in monitor("incidents", "show", "1111").stdout
    assert "silenced  " not in monitor("incidents", "show", "2222").stdout


SINK = '\n[[sinks]]\nname = "pager"\ntype = "pagerduty"\nrouting_kye = "env:KEY"\n'


def test_an_incident_can_be_taken_while_a_sink_is_configured_wrongly(monitor: Command, stored: Path) -> None:
    stored.write_text(stored.read_text() + SINK)
    listed = monitor("incidents", "list", "--format", "jsonl")
    assert (listed.returncode, len(listed.stdout.splitlines())) == (0, 3)
    assert "note: this goes by what is right in the configuration; " in listed.stderr
    assert "config.toml:" in listed.stderr
    assert 'sink "pager": ' in listed.stderr
    assert "; and 1 more" in listed.stderr
    taken = monitor("incidents", "ack", "1111", "--note", "mine")
    assert (taken.returncode, taken.stderr.count("note: ")) == (0, 1)
    assert json.loads(monitor("incidents", "show", "1111", "--format", "json").stdout)["state"] == "acknowledged"
    for command in (("outbox", "list"), ("silences", "list"), ("runbook", "list"), ("rules", "list")):
        assert monitor(*command).returncode == 0, command
    assert monitor("sinks", "list").returncode == 78  # that is what is wrong


@pytest.mark.parametrize(
    ("right", "wrong", "looks"),
    [
        ("", '[[routes]]\nsinks = ["nobody"]\n', 0),
        ('packs = ["vcs/github"]', "packs = 7", 0),
        ("", "[[silences]]\nmatchers = []\n", 0),
        ("", '[[sinks]]\ntype = "console"\n', 0),
        ("", '[[sinks]]\nname = "x"\ntype = "consol"\n', 0),
        ('state_dir = "state"', 'state_dir = "state"\nworkers = "many"', 78),
        ("[monitor]", "[montior]", 78),
        ("", "[[sinks]\n", 0),
        ('state_dir = "state"', 'state_dir = "elsewhere"\n[[sinks]', 78),
        ('state_dir = "state"', 'state_dir = "state"\ndatabase = "env:DB\n', 78),
    ],
    ids=[
        "a route",
        "rules",
        "a silence",
        "no name",
        "no type",
        "the database",
        "perhaps it",
        "no TOML",
        "no TOML and no database",
        "another database",
    ],
)
def test_nothing_is_changed_where_nobody_knows_who_is_told_and_nothing_read_where_the_database_may_be_another(
    monitor: Command, stored: Path, right: str, wrong: str, looks: int
) -> None:
    text = stored.read_text()
    assert right in text
    stored.write_text(text.replace(right, wrong) if right else f"{text}\n{wrong}")
    assert monitor("incidents", "list").returncode == looks
    assert monitor("incidents", "ack", "1111").returncode == 78
    assert monitor("runbook", "start", "1111").returncode == 78


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("[[sources]]", "[[sources]"),
        ("", '[[routes]]\nsinks = ["nobody"]\n'),
        ("[monitor]", "[montior]"),
        ('packs = ["vcs/github"]', "packs = 7"),
    ],
    ids=["no TOML", "a route", "the database", "rules"],
)
def test_incidents_are_taken_by_the_configuration_that_was_last_in_force(
    monitor: Command, stored: Path, right: str, wrong: str
) -> None:
    keep(load(stored), str)
    text = stored.read_text()
    stored.write_text(text.replace(right, wrong) if right else f"{text}\n{wrong}")
    acked = monitor("incidents", "ack", "1111", "--note", "mine")
    assert acked.returncode == 0, acked.stderr
    assert "note: this goes by the configuration that was last in force; " in acked.stderr
    assert "config.toml" in acked.stderr
    assert monitor("runbook", "start", "1111").returncode == 0
    assert monitor("incidents", "resolve", "1111", "--as", "revoked", "--note", "done").returncode == 0
    assert json.loads(monitor("incidents", "show", "1111", "--format", "json").stdout)["state"] == "resolved"
    assert monitor("run", "--once").returncode == 78


def test_where_nothing_else_is_known_incidents_can_be_looked_at_in_the_state_folder(
    monitor: Command, stored: Path
) -> None:
    stored.write_text("this is no [ TOML")
    stored.parent.joinpath("state").rename(stored.parent / "other")
    assert monitor("incidents", "list").returncode == 78
    stored.write_text('[monitor]\nstate_dir = "other"\nthis is no [ TOML')
    listed = monitor("incidents", "list", "--format", "jsonl")
    assert (listed.returncode, len(listed.stdout.splitlines())) == (0, 3)
    assert "note: this goes by the database in " in listed.stderr
    assert "invalid TOML" in listed.stderr


def test_the_list_says_whose_how_old_and_what_is_due_within_80_columns(monitor: Command, stored: Path) -> None:
    monitor("runbook", "start", "1111")
    monitor("incidents", "assign", "1111", "bob")
    [row] = json.loads(
        monitor("incidents", "list", "--severity", "critical", "--limit", "1", "--format", "json").stdout
    )
    assert (row["owner"], row["next_deadline"]) == ("bob", row["run"]["deadline"])
    assert row["age"] > 86_400
    read, write = os.openpty()
    fcntl.ioctl(write, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    command = [sys.executable, "-m", "monitor", "incidents", "list", "--config", str(stored)]
    subprocess.run(command, stdout=write, env=environment | {"NO_COLOR": "1"}, check=True, timeout=60)
    os.close(write)
    lines = os.read(read, 1 << 16).decode().splitlines()
    os.close(read)
    assert lines[0].split() == ["ID", "SEVERITY", "STATE", "OWNER", "AGE", "DUE", "WHAT"]
    assert all(len(line) <= 80 for line in lines)
    [of_bob] = [line.split() for line in lines if line.startswith("1" * 16)]
    assert of_bob[1:4] == ["critical", "open", "bob"]
    assert of_bob[4].endswith("d")
    assert "in" in of_bob[5:6] or "late" in of_bob[5:7]


def test_assign(monitor: Command, stored: Path) -> None:
    answer = monitor("incidents", "assign", "1111", "2222", "bob", "--note", "knows the gateway")
    assert answer.stdout.splitlines() == [f"{'1' * 16} open, bob's", f"{'2' * 16} open, bob's"]
    shown = json.loads(monitor("incidents", "show", "1111", "--format", "json").stdout)
    said = [(one["action"], one["note"]) for one in shown["history"]]
    assert (shown["owner"], said[-1]) == ("bob", ("assigned", "to bob: knows the gateway"))
    monitor("incidents", "assign", "1111", "ada")
    again = monitor("incidents", "assign", "1111", "ADA")
    assert (again.returncode, again.stderr) == (1, f"incident {'1' * 16} is ada's already\n")
    shown = json.loads(monitor("incidents", "show", "1111", "--format", "json").stdout)
    assert shown["history"][-1]["note"] == "to ada, from bob"
    monitor("incidents", "resolve", "1111", "--as", "revoked")
    assert "is already resolved; reopen it first" in monitor("incidents", "assign", "1111", "bob").stderr
    assert monitor("incidents", "assign", "1111", "a b\x1b").returncode == 2
    assert monitor("incidents", "assign", "1111", "\u0430da").returncode == 2


def test_many_by_what_they_are(monitor: Command, stored: Path) -> None:
    critical = ("--match", 'severity="critical"')
    asked = monitor("incidents", "ack", *critical)
    assert asked.returncode == 2
    assert asked.stderr.splitlines() == [
        f"{'1' * 16}  critical  GitHub personal access token  ghp_ab12…[40]",
        f"{'2' * 16}  critical  GitHub personal access token  ghp_ab12…[40]",
        "Acknowledge 2 incidents? Nobody can be asked here: say --yes",
    ]
    done = monitor("incidents", "ack", *critical, "--match", 'path="/var/log/app/1.log"', "--yes", "--note", "mine")
    assert done.stdout == f"{'1' * 16} acknowledged\n"
    hushed = monitor("incidents", "silence", *critical, "--for", "1h", "--yes")
    assert len(hushed.stdout.splitlines()) == 2
    monitor("incidents", "assign", "bob", *critical, "--yes")
    monitor("incidents", "resolve", *critical, "--as", "revoked", "--yes")
    for id_ in ("1111", "2222"):
        shown = json.loads(monitor("incidents", "show", id_, "--format", "json").stdout)
        assert (shown["state"], shown["resolution"], shown["owner"]) == ("resolved", "revoked", "bob")
        actions = [one["action"] for one in shown["history"]]
        assert [one for one in actions if one in ("silenced", "assigned", "resolved")] == [
            "silenced", "assigned", "resolved",
        ]  # fmt: skip
    assert monitor("incidents", "show", "3333").stdout.count("resolved") == 0
    for wrong in (
        ("ack",),
        ("ack", "3333", *critical),
        ("ack", "--match", "severity"),
        ("ack", "--match", 'severity="critcal"'),
        ("resolve", "--as", "revoked"),
    ):
        assert monitor("incidents", *wrong).returncode == 2
    token = expand("ghp_{alnum:30}{crc32}", 7)
    for wrong in (f'path={{"a": "{token}"}}', f'path=~"({token}"', f"severity={token}"):
        told = monitor("incidents", "ack", "--match", wrong)
        assert (told.returncode, token[8:20] in told.stderr) == (2, False), "what was typed may be a secret"
    none = monitor("incidents", "ack", *critical, "--yes")
    assert (none.returncode, none.stderr) == (1, "no incident fits that is open\n")


def test_a_merge_names_both_and_asks(monitor: Command, stored: Path) -> None:
    other = finding(4, masked="ghp_zz99…[40]")

    async def add() -> None:
        settings = load(stored)
        async with await Store.open(settings.state_dir / "state.db", settings.policy) as store:
            await store.commit([other])

    asyncio.run(add())
    asked = monitor("incidents", "merge", "1111", "4444")
    assert asked.returncode == 2
    assert asked.stderr.splitlines() == [
        f"{'1' * 16} stays: critical GitHub personal access token ghp_ab12…[40], open, in /var/log/app/1.log:1",
        f"{'4' * 16} goes into it: critical GitHub personal access token ghp_zz99…[40], open, in /var/log/app/4.log:4",
        "Make them one? Nobody can be asked here: say --yes",
    ]
    assert monitor("incidents", "merge", "1111", "1111").stderr == (
        f"incident {'1' * 16} cannot be merged into itself\n"
    )
    assert "is named twice" in monitor("incidents", "merge", "1111", "2222", "22222").stderr
    assert monitor("incidents", "merge", "1111", "4444", "--yes").returncode == 0
    assert json.loads(monitor("incidents", "show", "1111", "--format", "json").stdout)["occurrences"] == 2
    monitor("incidents", "reopen", "4444")
    rows = [json.loads(monitor("incidents", "show", id_, "--format", "json").stdout) for id_ in ("1111", "4444")]
    assert [(row["occurrences"], len(row["locations"]), row["merged_into"]) for row in rows] == [(1, 1, None)] * 2
