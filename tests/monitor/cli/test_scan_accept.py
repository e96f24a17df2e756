from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from detectors.rules.template import expand
from monitor.cli.common import with_store
from monitor.config.config import load
from monitor.scan.accepted import FILE
from monitor.store import Store
from tests.fakes.forks import Forks
from tests.fakes.repository import Repository
from tests.fakes.shell import in_process

Answer = subprocess.CompletedProcess[str]
Command = Callable[..., Answer]
pytestmark = pytest.mark.usefixtures("config")
WHY = ("--for", "90d", "--reason", "a key of the sandbox")


@pytest.fixture
def monitor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    return in_process(tmp_path, monkeypatch)


def token(n: int) -> str:
    return expand("ghp_{alnum:30}{crc32}", n)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    repository = Repository(tmp_path / "r")
    repository.git("config", "user.name", "Ann")
    repository.git("config", "user.email", "ann@example.org")
    return repository


def test_what_is_accepted_stays_so_through_a_squash_a_move_and_a_clone(
    monitor: Command, repository: Repository, tmp_path: Path
) -> None:
    repository.commit({"first": "x\n"})
    repository.git("checkout", "-q", "-b", "topic")
    repository.write({"a.py": f"\nk = '{token(1)}'\n"})
    answer = monitor("scan", "--staged", "-C", "r", "--accept", "a.py:2", *WHY)
    assert answer.returncode == 0
    assert f"{repository.folder}/{FILE}: accepts this value of github-pat until " in answer.stderr
    text = (repository.folder / FILE).read_text()
    assert 'reason = "a key of the sandbox"' in text
    assert 'author = "Ann <ann@example.org>"' in text
    assert token(1)[6:14] not in text + answer.stdout + answer.stderr
    assert monitor("scan", "--staged", "-C", "r").returncode == 0
    repository.commit({FILE: text})
    repository.commit({"a.py": "none\n", "moved/b.py": f"key: {token(1)}\n"})
    repository.git("checkout", "-q", "main")
    repository.git("merge", "-q", "--squash", "topic")
    repository.commit()
    repository.git("branch", "-q", "-D", "topic")
    repository.git("clone", "-q", "--bare", str(repository.folder), str(tmp_path / "bare"))
    (tmp_path / "state/fingerprint.key").unlink()  # as elsewhere
    for arguments in (("r",), ("--git", "-C", "r"), ("--git", "-C", "bare"), ("r/moved/b.py",)):
        answer = monitor("scan", *arguments)
        assert (answer.returncode, answer.stdout) == (0, ""), arguments
        assert "1 accepted in .exposure-suppressions" in answer.stderr
    assert monitor("scan", "--no-suppressions", *arguments).returncode == 1


def test_the_hooks_go_by_what_goes_along(monitor: Command, repository: Repository, tmp_path: Path) -> None:
    where = {"GIT_DIR": str(repository.folder / ".git"), "GIT_WORK_TREE": str(repository.folder)}
    repository.write({"a.py": f"{token(1)}\n"})
    monitor("scan", "--staged", "-C", "r", "--accept", "a.py", *WHY)
    name = repository.commit()
    line = f"refs/heads/main {name} refs/heads/main {'0' * 40}\n"
    answer = monitor("hooks", "run", "pre-push", "origin", stdin=line, env=where)
    assert answer.returncode == 1  # the file is not part of what is pushed
    name = repository.commit({FILE: (repository.folder / FILE).read_bytes()})
    line = f"refs/heads/main {name} refs/heads/main {'0' * 40}\n"
    assert monitor("hooks", "run", "pre-push", "origin", stdin=line, env=where).returncode == 0
    line = f"{'0' * 40} {name} refs/heads/main\n"
    repository.git("update-ref", "-d", "refs/heads/main")
    assert monitor("hooks", "run", "pre-receive", stdin=line, env=where).returncode == 0
    repository.git("update-ref", "refs/heads/main", name)
    name = repository.commit({FILE: "version = 9\n"})
    answer = monitor("hooks", "run", "pre-push", "origin", stdin=f"r {name} r {'0' * 40}\n", env=where)
    assert answer.returncode == 78
    assert f"{FILE} of {name[:12]}: version: must be 1" in answer.stderr


def test_files_by_fingerprint_and_what_is_left(monitor: Command, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/a").write_text(f"{token(1)}\n{token(2)}\n")
    found = [json.loads(line) for line in monitor("scan", "src", "-f", "jsonl").stdout.splitlines()]
    answer = monitor("scan", "src", "--accept", found[0]["fingerprint"][:10], *WHY)
    assert answer.returncode == 0
    assert "src/a:2:1: critical" in answer.stdout  # the other is told as before
    answer = monitor("scan", "src", "-f", "jsonl")
    assert [json.loads(line)["line"] for line in answer.stdout.splitlines()] == [2]
    assert (tmp_path / FILE).exists()  # no repository: here
    answer = monitor("scan", "src/a", "--accept", "src/a:2", *WHY)
    assert answer.returncode == 0
    assert monitor("scan", "src").returncode == 0
    assert monitor("scan", FILE, "--no-suppressions").returncode == 0  # nothing in it is one
    assert (tmp_path / FILE).read_text().count("salt =") == 1


@pytest.mark.campaign
def test_a_value_that_could_be_guessed(monitor: Command, tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text(
        '[[rule]]\nid = "door"\nname = "Code"\nseverity = "high"\npattern = "door:(?P<secret>[0-9]{6})"\n'
        'examples = ["door:837461"]\nnegative_examples = ["door:1"]\n'
    )
    (tmp_path / "config.toml").write_text(
        "[monitor]\nstate_dir='state'\n[rules]\npacks=['vcs/github']\npaths=['rules.toml']\n"
    )
    (tmp_path / "a").write_text("door:918273\n")
    answer = monitor("scan", "a", "--accept", "a:1", *WHY)
    assert "accepts door in a (the value could be guessed) until" in answer.stderr
    assert 'path = "a"' in (tmp_path / FILE).read_text()
    assert "scrypt" not in (tmp_path / FILE).read_text()
    (tmp_path / "a").write_text("door:555172\n")
    assert monitor("scan", "a").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--accept", "a"], "--accept needs --reason"),
        (["--accept", "a", "--reason", " ", "--for", "1d"], "--accept needs --reason"),
        (["--accept", "a", "--reason", "x", "--for", "0d"], "--accept needs --reason"),
        (["--accept", "a", "--reason", "x", "--for", "9000d"], "at most 400 days"),
        (["--reason", "x"], "--reason and --for go with --accept"),
        (["--accept", "b:1", "--reason", "x", "--for", "1d"], "nothing was found at b:1: name PATH:LINE"),
    ],
)
def test_what_makes_no_sense(monitor: Command, tmp_path: Path, arguments: list[str], says: str) -> None:
    (tmp_path / "a").write_text(token(1))
    answer = monitor("scan", "a", *arguments)
    assert answer.returncode == 2
    assert says in answer.stderr
    assert not (tmp_path / FILE).exists()


def test_a_damaged_file_is_no_empty_one(monitor: Command, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    (tmp_path / FILE).write_text("version = 1\n")
    answer = monitor("scan", "a")
    assert (answer.returncode, answer.stdout) == (78, "")
    assert f"{FILE}: salt: must be 32 hex digits" in answer.stderr


def test_a_secret_in_a_reason_or_a_place_is_masked(monitor: Command, tmp_path: Path) -> None:
    (tmp_path / "a").write_text(token(1))
    answer = monitor("scan", "a", "--accept", "a", "--for", "1d", "--reason", f"was {token(2)}")
    written = (tmp_path / FILE).read_text()
    assert "was ghp_" in written
    assert token(2)[8:] not in written + answer.stdout + answer.stderr
    answer = monitor("scan", "a", "--accept", token(3), "--for", "1d", "--reason", "x")
    assert token(3)[8:] not in answer.stderr


async def _nothing(_store: Store) -> None:
    pass


def test_on_the_host_of_the_logs_it_is_the_same_incident(monitor: Command, tmp_path: Path, forks: Forks) -> None:
    (tmp_path / "a").write_text(f"{token(1)}\n")
    monitor("scan", "a", "--accept", "a", *WHY)
    with_store(load(tmp_path / "config.toml"), _nothing, make=True)
    variables = {**forks.environment(), "MONITOR_CONFIG": "config.toml"}
    answer = forks.run("mask", "--report", cwd=tmp_path, env=variables, stdin=f"log {token(1)}\n")
    assert answer.returncode == 0
    (row,) = (json.loads(line) for line in monitor("scan", "--no-suppressions", "-f", "jsonl", "a").stdout.splitlines())
    (incident,) = (json.loads(line) for line in monitor("incidents", "list", "-f", "jsonl").stdout.splitlines())
    assert row["fingerprint"] == incident["fingerprint"]
