from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from detectors.rules.template import expand
from monitor.audit.items import ITEMS
from monitor.cli.audit import complete_items
from monitor.cli.common import read_config, with_store
from monitor.config.config import load
from monitor.store import Store
from tests.fakes.refused import refused
from tests.monitor.audit.conftest import git, repository, write

Command = Callable[..., subprocess.CompletedProcess[str]]
SCHEMA = Path(__file__).parents[1] / "scan" / "sarif-schema-2.1.0.json"
REFUSED = refused()
TOKEN = expand("ghp_{alnum:30}{crc32}", 1)


@pytest.fixture
def leaking(tmp_path: Path) -> Path:
    files: dict[str, str | bytes] = {"a.py": f"x = '{TOKEN}'\n", f"{TOKEN}/.env.example": f"TOKEN={TOKEN}\n"}
    return repository(tmp_path / "code", files)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared: rules are compiled once."""
    return tmp_path_factory.mktemp("state")


@pytest.fixture
def configure(tmp_path: Path, state: Path) -> Callable[..., None]:
    def write_it(more: str = "") -> None:
        head = f"[monitor]\nstate_dir = '{state}'\n[rules]\npacks = ['vcs/github']\n"
        (tmp_path / "config.toml").write_text(head + more)

    write_it()
    return write_it


@pytest.mark.usefixtures("configure")
@pytest.mark.parametrize("form", ["text", "json", "sarif", "markdown"])
def test_no_form_shows_a_secret_and_a_failure_is_exit_code_1(form: str, monitor: Command, leaking: Path) -> None:
    answer = monitor("audit", str(leaking), "--format", form)
    assert answer.returncode == 1, answer.stderr
    assert "Traceback" not in answer.stderr
    assert TOKEN[8:20] not in answer.stdout + answer.stderr
    assert TOKEN[-12:] not in answer.stdout + answer.stderr
    if form == "json":
        assert [row["id"] for row in json.loads(answer.stdout)] == list(ITEMS)
    if form == "sarif":
        jsonschema.Draft7Validator(json.loads(SCHEMA.read_text())).validate(json.loads(answer.stdout))
    if form == "text":
        assert "FAIL    gitignore: " in answer.stdout
        assert "        a.py:1: GitHub personal access token [github-pat] ghp_" in answer.stdout
        assert f"        $ monitor scan {leaking}/a.py" in answer.stdout
        assert "to do: " in answer.stdout


@pytest.mark.usefixtures("leaking")
def test_only_waivers_and_what_is_no_item(monitor: Command, configure: Callable[..., None]) -> None:
    answer = monitor("audit", "--only", "secrets-in-environment,gitignore", "--only", "images", "--format", "json")
    rows = {row["id"]: row for row in json.loads(answer.stdout)}  # of the current folder
    assert set(rows) == {"secrets-in-environment", "gitignore", "images"}
    assert "code/a.py" in {piece["path"] for piece in rows["secrets-in-environment"]["evidence"]}
    answer = monitor("audit", "code", "--only", "gitignroe")
    assert (answer.returncode, "did you mean gitignore?" in answer.stderr) == (2, True)
    answer = monitor("audit", "gone")
    assert (answer.returncode, answer.stdout) == (2, "")
    waiver = "[audit]\npaths = ['code']\n[[waivers]]\nitem = 'gitignore'\nreason = 'ticket 4711'\nexpires = {}\n"
    configure(waiver.format("2999-01-01"))
    answer = monitor("audit", "--only", "gitignore")
    assert (answer.returncode, "(waived)" in answer.stdout) == (0, True)
    configure(waiver.format("2020-01-01"))
    answer = monitor("audit", "--only", "gitignore")
    assert (answer.returncode, "a waiver expired on 2020-01-01: ticket 4711" in answer.stdout) == (1, True)


def test_a_configuration_in_the_folder_has_no_say(
    configure: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure("[[waivers]]\nitem = 'gitignore'\nreason = 'none'\nexpires = 2999-01-01\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MONITOR_CONFIG", raising=False)
    assert len(read_config(None).waivers) == 1
    assert read_config(None, foreign=True).waivers == ()
    monkeypatch.setenv("MONITOR_CONFIG", "config.toml")
    assert len(read_config(None, foreign=True).waivers) == 1


@pytest.mark.skipif(REFUSED is None, reason="root may read everything")
@pytest.mark.usefixtures("configure")
def test_what_may_not_be_read_is_unknown_not_passed(monitor: Command, tmp_path: Path) -> None:
    write(tmp_path / "code", {"a.py": "x = 1\n", "deep/b.py": "x = 1\n", ".env.production": "A=b\n"})
    (tmp_path / "code/a.py").chmod(0)
    (tmp_path / "code/deep").chmod(0)
    (tmp_path / "code/.env.production").chmod(0)
    answer = monitor("audit", "code", "--format", "json", before=REFUSED or ())
    rows = {row["id"]: row for row in json.loads(answer.stdout)}
    assert rows["secrets-in-environment"]["verdict"] == "unknown"
    said = {piece["path"] for piece in rows["secrets-in-environment"]["evidence"] if piece["verdict"] == "unknown"}
    assert {"a.py", "deep", ".env.production"} <= said
    assert rows["env-example"]["verdict"] == "unknown"
    assert rows["environments-differ"]["verdict"] == "unknown"
    (tmp_path / "code/deep").chmod(0o700)


def test_the_list_and_the_completion_of_items(monitor: Command) -> None:
    listed = monitor("audit", "--list").stdout.splitlines()
    assert [line.split()[0] for line in listed] == list(ITEMS)
    assert [name for name, _ in complete_items("giti")] == ["gitignore"]
    assert [name for name, _ in complete_items("images,env-")] == ["images,env-example"]


def test_what_a_scan_of_the_history_only_printed_is_no_passed_check(monitor: Command, tmp_path: Path) -> None:
    folder = repository(tmp_path / "code", {"x": f"{TOKEN}\n"})
    (tmp_path / "config.toml").write_text('[monitor]\nstate_dir = "state"\n[rules]\npacks = ["vcs/github"]\n')
    with_store(load(tmp_path / "config.toml"), _nothing, make=True)

    def said() -> list[tuple[str, str]]:
        command = ("audit", str(folder), "--only", "history", "--config", "config.toml", "--format", "json")
        pieces = json.loads(monitor(*command).stdout)[0]["evidence"]
        return [(one["verdict"], one["text"].partition(": ")[2]) for one in pieces]

    search = ("scan", "--git", "--since-last", "-C", str(folder), "--config", "config.toml")
    printed = [("unknown", "what was found in it was printed and not stored: `--report` does that")]
    assert monitor(*search).returncode == 1
    assert said() == printed
    assert monitor(*search).returncode == 0  # nothing is new, and that is still so
    assert said() == printed
    answer = monitor(*search, "--report")
    assert (answer.returncode, "so the whole history is looked at again" in answer.stderr) == (1, True)
    found, searched = said()
    assert (found[0], searched) == ("fail", ("pass", "its history was searched to its end"))
    answer = monitor(*search, "--report")
    assert (answer.returncode, "looked at again" in answer.stderr) == (0, False)


async def _nothing(_store: Store) -> None:
    pass


def test_the_history_as_the_commands_have_it(monitor: Command, tmp_path: Path) -> None:
    """What `scan` keeps is what `audit` reads, with the same rules."""
    folder = repository(tmp_path / "code", {"x": "1"})
    (tmp_path / "config.toml").write_text('[monitor]\nstate_dir = "state"\n[rules]\npacks = ["vcs/github"]\n')

    def said() -> str:
        command = ("audit", str(folder), "--only", "history", "--config", "config.toml", "--format", "json")
        found = [one["text"] for one in json.loads(monitor(*command).stdout)[0]["evidence"]]
        (other,) = (text for text in found if "whether an incident of it is open" not in text)
        assert len(found) == 2  # as there is no database
        return str(other)

    search = ("scan", "--git", "--since-last", "-C", str(folder), "--config", "config.toml")
    assert said() == f"{folder}: it was never searched"
    assert monitor(*search).returncode == 0
    assert said() == f"{folder}: its history was searched to its end"
    write(folder, {"y": "2"})
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "second")
    assert said() == f"{folder}: 1 of its 1 branches, tags and stashes have moved since"
    (tmp_path / "config.toml").write_text('[monitor]\nstate_dir = "state"\n[rules]\npacks = ["keys"]\n')
    assert said() == f"{folder}: it was searched with other rules"
    (cursor,) = (tmp_path / "state" / "histories").iterdir()
    cursor.write_text("[]")
    assert said() == f"{folder}: {cursor} cannot be read"
