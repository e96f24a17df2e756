from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from detectors.rules.template import expand
from tests.fakes.refused import refused
from tests.monitor.cli.conftest import ROOT
from tests.monitor.store.conftest import postgres_server
from tests.monitor.store.failover import connected

__all__ = ["postgres_server"]  # a fixture

Command = Callable[..., subprocess.CompletedProcess[str]]

REFUSED = refused()


def kinds(answer: subprocess.CompletedProcess[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in json.loads(answer.stdout):
        found.setdefault(row["kind"], []).append(row["key"])
    return found


def logs(config: Path) -> None:
    (config.parent / "logs").mkdir()
    (config.parent / "logs" / "app.log").touch()


def test_a_good_configuration(monitor: Command, config: Path) -> None:
    logs(config)
    config.write_text(config.read_text().replace("[http]\n", '[http]\nbase_url = "http://localhost:9321"\n'))
    answer = monitor("check", env={"HOOK_URL": "https://hook.example.org/x"})
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "ok: 1 sources, 2 sinks\n", "")


def test_every_mistake_at_once_is_78(monitor: Command, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(
        "[monitor]\nworkers = 0\n[http]\nlisten = 'x'\n[[sources]]\nname = 'a'\ntype = 'fil'\n"
        "[[sinks]]\nname = 'b'\ntype = 'slack'\nwebhook_url = 'literal-value'\n[[routes]]\nsinks = ['c']\n"
        "[rules]\npacks = ['vcs/github']\n"
    )
    answer = monitor("check")
    assert answer.returncode == 78
    assert answer.stdout.splitlines()[-1] == "5 problems"
    for key in ("monitor.workers", "http.listen", "sources[0].type", "sinks[0].webhook_url", "routes[0].sinks[0]"):
        assert key in answer.stdout
    assert "literal-value" not in answer.stdout
    rows = json.loads(monitor("check", "--format", "json").stdout)
    assert [row["line"] for row in rows] == [2, 4, 7, 11, 13]
    assert len(monitor("check", "--format", "jsonl").stdout.splitlines()) == 5


def test_mistakes_in_rules_are_shown_beside_those_of_other_tables(monitor: Command, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(
        "[monitor]\nworkers = 0\nstate_dir = 's'\n[rules]\npacks = ['vcs/github']\ndisable = ['github-pta']\n"
    )
    answer = monitor("check", "--format", "json")
    assert answer.returncode == 78
    found = kinds(answer)
    assert (found["configuration"], found["rules"]) == (["monitor.workers"], ["rules.disable"])
    assert not (tmp_path / "s").exists()


def test_what_would_keep_an_alert_from_being_told_or_understood_is_a_note(monitor: Command, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(
        "[monitor]\nstate_dir = 'state'\n[rules]\npacks = ['vcs/github']\n"
        "[[sinks]]\nname = 'chat'\ntype = 'slack'\nwebhook_url = 'env:HOOK'\n"
        "[[routes]]\nmatchers = ['severty=\"high\"', 'team=\"a\"']\nsinks = ['chat']\n"
    )
    answer = monitor("check", "--no-environment", "--format", "json")
    assert answer.returncode == 0
    rows = {row["key"]: row for row in json.loads(answer.stdout)}
    assert set(rows) == {"sources", "routes", "routes[0].matchers[0]", "http"}
    assert "did you mean severity?" in rows["routes[0].matchers[0]"]["message"]
    assert rows["routes[0].matchers[0]"]["line"] == 10
    assert "every route has matchers" in rows["routes"]["message"]
    assert "set http.base_url" in rows["http"]["message"]


def test_a_rule_that_is_named_by_an_id_it_had_is_a_note(monitor: Command, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(
        "[monitor]\nstate_dir = 's'\n[rules]\npacks = ['saas/apify']\ndisable = ['apify-token']\n"
        "[[routes]]\nmatchers = ['rule=\"superset-secret-key\"']\nsinks = ['screen']\n"
        "[[sinks]]\nname = 'screen'\ntype = 'console'\n"
    )
    answer = monitor("check", "--no-environment", "--format", "json")
    assert answer.returncode == 0
    rows = {row["key"]: row for row in json.loads(answer.stdout)}
    assert rows["rules.disable[0]"]["message"].endswith("; write apify-api-token")
    assert "generic-secret finds what it found" in rows["routes[0].matchers[0]"]["message"]
    assert rows["routes[0].matchers[0]"]["line"] == 7


def test_a_door_that_nobody_opens_is_a_note(monitor: Command, config: Path) -> None:
    slack = '[[sinks]]\nname = "chat"\ntype = "slack"\ntoken = "env:T"\nchannel = "#a"\nsigning_secret = "env:T"\n'
    base = config.read_text() + slack + '[sinks.people]\nU0ADA = "ada"\n'
    hidden = {"HOOK_URL": "https://hook.example.org/x", "T": "x"}
    config.write_text(base.replace("127.0.0.1:0", ""))
    answer = monitor("check", "--format", "json", env=hidden)
    assert "announced to /hooks/slack, and http.listen is empty" in answer.stdout


def test_what_only_this_machine_lacks_is_one_and_can_be_left_out(monitor: Command, config: Path) -> None:
    logs(config)
    with config.open("a") as file:
        header = '{ Authorization = "Splunk {env:NOT_THERE}" }'
        file.write(f'[[sinks]]\nname = "hec"\ntype = "webhook"\nurl = "http://127.0.0.1/"\nheaders = {header}\n')
    answer = monitor("check", "--format", "json")
    assert answer.returncode == 1
    assert kinds(answer)["environment"] == ["sinks[1].url", "sinks[2].headers.Authorization[1]"]
    assert json.loads(answer.stdout)[0]["line"] == 24
    assert monitor("check", "--no-environment").returncode == 0


def test_a_state_folder_that_is_a_file(monitor: Command, config: Path) -> None:
    shutil.rmtree(config.parent / "state")
    (config.parent / "state").touch()
    answer = monitor("check", "--format", "json", env={"HOOK_URL": "https://x.example.org"})
    assert "monitor.state_dir" in kinds(answer)["environment"]


def test_paths_of_file_sources(monitor: Command, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "config.toml").write_text(
        f"""
[monitor]
state_dir = "state"
[rules]
packs = ["vcs/github"]
paths = ["rules.d/*.toml"]
[[sources]]
name = "a"
type = "file"
include = ["{tmp_path}/folder", "{tmp_path}/absent.log", "{tmp_path}/nowhere/*.log", "{tmp_path}/*.log"]
"""
    )
    answer = monitor("check")
    assert answer.returncode == 1
    assert f"{tmp_path}/folder is a folder; write {tmp_path}/folder/**" in answer.stdout
    assert f"{tmp_path}/absent.log does not exist yet" in answer.stdout
    assert f"the folder {tmp_path}/nowhere does not exist yet" in answer.stdout
    assert f'note: sources[0].include: source "a": {tmp_path}/*.log matches no file yet' in answer.stdout
    assert f"note: rules.paths: {tmp_path}/rules.d/*.toml matches no file, so no rule of" in answer.stdout
    assert "there is no sink" in answer.stdout


@pytest.mark.skipif(REFUSED is None, reason="root may read everything")
def test_files_that_may_not_be_read_are_told_together_with_the_remedy(monitor: Command, tmp_path: Path) -> None:
    (tmp_path / "named.log").touch(mode=0)
    for number in range(5):
        (tmp_path / f"app-{number}.log").touch(mode=0)
    (tmp_path / "config.toml").write_text(
        f"[monitor]\nstate_dir='state'\n[rules]\npacks=['vcs/github']\n[[sources]]\nname='a'\ntype='file'\n"
        f"include=['{tmp_path}/named.log', '{tmp_path}/*.log']\n"
    )
    answer = monitor("check", before=REFUSED or ())
    assert answer.returncode == 1
    [named, matched] = [line for line in answer.stdout.splitlines() if "may not be read by this user" in line]
    assert "setfacl -m u:" in named
    assert f'note: sources[0].include: source "a": {tmp_path}/app-0.log and 4 more may not be read' in matched
    assert matched.endswith("(skipped)")


def test_a_rule_that_is_wrong(monitor: Command, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(
        "[[rule]]\nid = 'a'\nname = 'Acme'\npattern = '(?<=x)(?P<secret>acme_[0-9]{9})'\nseverity = 'high'\n"
        "examples = ['acme_{digits:9}']\nnegative_examples = ['acme_']\n"
    )
    (tmp_path / "config.toml").write_text(
        "[monitor]\nstate_dir='s'\n[rules]\npacks = ['vcs/github']\npaths = ['own.toml']\n"
    )
    answer = monitor("check", "--format", "json")
    assert answer.returncode == 78
    (row,) = [row for row in json.loads(answer.stdout) if row["kind"] == "rules"]
    assert "own.toml" in row["message"]
    assert "a: pattern" in row["message"]


def test_an_own_rule_that_slows_the_scan_down_is_a_note(monitor: Command, tmp_path: Path) -> None:
    rule = (
        "[[rule]]\nid = 'own-key'\nname = 'Own key'\npattern = '(?P<secret>PATTERN)'\nseverity = 'low'\n"
        "examples = ['EXAMPLE']\nnegative_examples = ['?']\n"
    )
    (tmp_path / "config.toml").write_text("[monitor]\nstate_dir='state'\n[rules]\npaths = ['own.toml']\n")
    (tmp_path / "own.toml").write_text(
        rule.replace("PATTERN", "[a-z]{2,9} [a-z]{2,9}").replace("EXAMPLE", "some words")
    )
    answer = monitor("check", "--format", "json")
    assert answer.returncode == 0, answer.stdout
    notes = [row["message"] for row in json.loads(answer.stdout) if row["key"] == "rules.paths"]
    assert all("own.toml: own-key: " in note for note in notes)
    assert {note.split(": ")[2] for note in notes} >= {"anchor", "hits"}
    (tmp_path / "own.toml").write_text(rule.replace("PATTERN", "own_[a-z]{9}").replace("EXAMPLE", "own_{lower:9}"))
    assert not [row for row in json.loads(monitor("check", "-f", "json").stdout) if row["key"] == "rules.paths"]


def test_a_sink_that_no_route_reaches(monitor: Command, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(
        "[monitor]\nstate_dir='state'\n[rules]\npacks=['vcs/github']\n[[sinks]]\nname='a'\ntype='console'\n[[sinks]]\nname='b'\ntype='console'\n"
        "[[routes]]\nsinks=['a']\n"
    )
    answer = monitor("check")
    assert answer.returncode == 0
    assert 'no route leads to "b"' in answer.stdout


def test_syntax_error(monitor: Command, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[monitor\n")
    answer = monitor("check")
    assert answer.returncode == 78
    assert "line 1, column 9" in answer.stdout


@pytest.mark.parametrize(
    ("http", "said"),
    [
        ("base_url = 'https://monitor.example.org'", True),
        ("base_url = 'https://monitor.example.org'\ntoken = 'env:PAGES'", False),
        ("base_url = 'http://localhost:9321'", False),
    ],
)
def test_pages_that_people_reach_from_elsewhere_need_a_token(
    monitor: Command, tmp_path: Path, http: str, said: bool
) -> None:
    (tmp_path / "config.toml").write_text(f"[monitor]\nstate_dir = 'state'\n[http]\n{http}\n")
    rows = json.loads(monitor("check", "--format", "json").stdout)
    assert any(row["kind"] == "notice" and "set http.token" in row["message"] for row in rows) == said


def test_mistakes_and_notes_come_together_in_the_order_of_the_file(monitor: Command, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(
        "[monitor]\nworkers = 0\nstate_dir = 's'\n[rules]\npacks = ['defualt']\n"
        "[[sinks]]\nname = 'b'\ntype = 'console'\n"
        "[[routes]]\nmatchers = ['sevrity=\"high\"']\nsinks = ['b']\ngroup_by = ['sorce']\n"
    )
    answer = monitor("check", "--format", "json")
    assert answer.returncode == 78
    rows = json.loads(answer.stdout)
    places = [row["line"] for row in rows if row["line"]]
    assert places == sorted(places)
    said = {row["key"]: row["message"] for row in rows}
    assert said["rules.packs"] == "no pack is called 'defualt'; did you mean default?"
    assert said["routes[0].matchers[0]"].endswith("did you mean severity?")
    assert said["routes[0].group_by[0]"].endswith("did you mean source?")
    assert "Value error" not in answer.stdout


def _postgres(config: Path, url: str) -> None:
    logs(config)
    (config.parent / "url").write_text(url)
    config.write_text(config.read_text().replace("[monitor]\n", '[monitor]\ndatabase = "file:url"\n'))


ENV = {"HOOK_URL": "https://hook.example.org/x"}


def test_postgresql_without_its_driver_is_an_error_that_says_what_to_install(
    monitor: Command, config: Path, tmp_path: Path
) -> None:
    _postgres(config, "postgresql+psycopg://monitor@127.0.0.1:1/monitor")
    (tmp_path / "without").mkdir()
    (tmp_path / "without/psycopg.py").write_text("raise ImportError('no pq wrapper available')")
    env = ENV | {"PYTHONPATH": f"{tmp_path}/without:{ROOT}"}
    for command in (["check"], ["run", "--once"], ["incidents", "list"]):
        answer = monitor(*command, env=env)
        assert answer.returncode == 78, answer.stderr
        said = answer.stdout + answer.stderr
        assert 'monitor.database: PostgreSQL needs psycopg: pip install "exposure-monitor[postgresql]"' in said
        assert "Traceback" not in said


def test_a_server_that_is_away_or_refuses_is_told_by_check(
    monitor: Command, config: Path, postgres_server: str
) -> None:
    _postgres(config, "postgresql://monitor:hidden@127.0.0.1:1/monitor")
    answer = monitor("check", env=ENV)
    assert answer.returncode == 1
    assert "monitor.database: " in answer.stdout
    assert "cannot be reached" in answer.stdout
    assert "hidden" not in answer.stdout + answer.stderr
    assert monitor("check", "--no-environment", env=ENV).returncode == 0

    server = postgres_server.format(database="postgres")
    (config.parent / "url").write_text(server.replace("//monitor@", "//nobody@"))
    answer = monitor("check", env=ENV)
    assert (answer.returncode, "the database or the role does not exist" in answer.stdout) == (1, True)
    (config.parent / "url").write_text(server)
    answer = monitor("check", env=ENV)
    assert answer.returncode == 0, answer.stdout


def test_what_the_start_would_refuse_of_a_database_is_told_before(
    monitor: Command, config: Path, postgres_server: str
) -> None:
    _postgres(config, str(config.parent / "state.db"))
    assert monitor("run", "--once", env=ENV).returncode == 0
    keyed = config.read_text().replace("[monitor]\n", '[monitor]\nfingerprint_key = "env:KEY"\n')
    config.write_text(keyed)
    for command in (["check"], ["run", "--once"]):
        answer = monitor(*command, env=ENV | {"KEY": "another-key-that-is-long-enough"})
        assert answer.returncode == 1, answer.stderr
        assert "its fingerprints are of another key" in answer.stdout + answer.stderr

    server = postgres_server.format(database="postgres")
    with connected(server) as admin:
        admin.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        admin.execute("CREATE ROLE unfit LOGIN")
    (config.parent / "url").write_text(server.replace("//monitor@", "//unfit@"))
    for command in (["check"], ["run", "--once"]):
        answer = monitor(*command, env=ENV | {"KEY": "another-key-that-is-long-enough"})
        assert answer.returncode == 1, answer.stderr
        assert "the role unfit lacks rights: it may not create tables" in answer.stdout + answer.stderr


def test_a_certificate_that_cannot_be_used_is_told_before_the_start(monitor: Command, config: Path) -> None:
    logs(config)
    with config.open("a") as file:
        file.write(
            '[[sources]]\nname = "net"\ntype = "syslog"\nlisten = ["tls:127.0.0.1:0"]\ncertificate = "none.pem"\n'
            'private_key = "env:NET_KEY"\n'
        )
    answer = monitor("check", "--format", "json", env={"HOOK_URL": "https://hook.example.org/x", "NET_KEY": "no key"})
    assert kinds(answer)["environment"] == ["sources[1].certificate"]
    assert "none.pem with its private_key: No such file" in answer.stdout


def test_a_credential_of_the_inventory_is_looked_for_beside_the_configuration(monitor: Command, config: Path) -> None:
    logs(config)
    login = '{ role_id = "r", secret_id = "file:none" }'
    entry = f'[[inventory]]\nname = "v"\ntype = "vault"\nserver = "https://vault.example.org"\napprole = {login}\n'
    config.write_text(config.read_text() + entry)
    answer = monitor("check", "--format", "json", env={"HOOK_URL": "https://hook.example.org/x"})
    assert kinds(answer)["environment"] == ["inventory[0].approle.secret_id"]
    (config.parent / "none").write_text("x")
    answer = monitor("check", "--format", "json", env={"HOOK_URL": "https://hook.example.org/x"})
    assert "environment" not in kinds(answer)


def test_what_keeps_an_action_from_running_is_told_before_it_is_needed(monitor: Command, config: Path) -> None:
    logs(config)
    tool = config.parent / "revoke"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o777)
    config.write_text(
        config.read_text()
        + f'[[actions]]\nname = "ours"\ntype = "command"\ncommand = ["{tool}"]\n'
        + '[[actions]]\nname = "vault"\ntype = "vault-revoke-accessor"\ncredential = "file:none"\n'
    )
    answer = monitor("check", "--format", "json", env={"HOOK_URL": "https://hook.example.org/x"})
    assert answer.returncode == 1
    found = kinds(answer)
    assert found["environment"] == ["actions[0].command", "actions[1].credential"]
    assert found["notice"] == ["http", "verify.providers"]
    (config.parent / "none").write_text("x")  # beside the configuration, wherever the command is called
    tool.chmod(0o755)
    answer = monitor("check", "--format", "json", env={"HOOK_URL": "https://hook.example.org/x"})
    assert "environment" not in kinds(answer)


def test_what_run_refuses_and_what_never_matches_is_78(monitor: Command, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("short")
    (tmp_path / "config.toml").write_text(
        "[monitor]\nfingerprint_key = 'file:key'\n[[sinks]]\nname = 'a'\ntype = 'console'\n"
        "[[routes]]\nmatchers = ['severity=\"critcal\"']\nsinks = ['a']\n"
        "[[silences]]\nmatchers = ['state!=\"closed\"']\nstarts = 2026-01-01T00:00:00Z\nends = 2099-01-01T00:00:00Z\n"
        "[rules]\npacks = ['vcs/github']\n"
    )
    answer = monitor("check", "--format", "json")
    assert answer.returncode == monitor("run", "--once").returncode == 78
    assert kinds(answer)["configuration"] == [
        "monitor.fingerprint_key",
        "routes[0].matchers[0]",
        "silences[0].matchers[0]",
    ]
    assert [row["kind"] for row in json.loads(answer.stdout)][:3] == ["configuration"] * 3, "these come first"


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_secret_in_the_place_of_a_key_a_name_or_a_path_is_not_shown(
    monitor: Command, tmp_path: Path, form: str
) -> None:
    token = expand("ghp_{alnum:30}{crc32}", 5)
    folder = tmp_path / token
    folder.mkdir()
    (folder / "config.toml").write_text(
        f'[monitor]\n{token} = 1\n[[sources]]\nname = "{token}"\ntype = "file"\ninclude = ["/{token}/*.log"]\n'
        f'{token} = "x"\n[[sinks]]\nname = "a"\ntype = "webhook"\nurl = "file:/{token}"\n'
        f'[[routes]]\nsinks = ["{token}"]\n[rules]\npacks = ["{token}"]\npaths = ["/{token}.toml"]\n[{token}]\na = 1\n'
    )
    for name in ("config.toml", "none.toml"):
        answer = monitor("check", "--config", str(folder / name), "--format", form)
        assert answer.returncode == 78
        assert token[8:20] not in answer.stdout + answer.stderr
