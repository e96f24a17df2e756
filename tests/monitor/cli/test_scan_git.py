from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from detectors.rules.template import expand
from monitor.cli.common import with_store
from monitor.config.config import load
from monitor.store import Store
from tests.fakes.repository import Repository, plant
from tests.fakes.shell import in_process

ROOT = Path(__file__).parents[3]
Answer = subprocess.CompletedProcess[str]
Command = Callable[..., Answer]
pytestmark = pytest.mark.usefixtures("config")


@pytest.fixture
def monitor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    return in_process(tmp_path, monkeypatch)


def token(n: int) -> str:
    return expand("ghp_{alnum:30}{crc32}", n)


def rows(answer: Answer) -> list[dict[str, object]]:
    return [json.loads(line) for line in answer.stdout.splitlines()]


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A secret that is gone from HEAD, one that is there, and one in a message."""
    repository = Repository(tmp_path / "r")
    repository.commit({"old.py": f"k = '{token(1)}'\n", "a": "x\n"})
    repository.commit({"old.py": "none\n", "new.py": f"k = '{token(2)}'\n"})
    repository.commit({}, f"says {token(3)}", GIT_AUTHOR_NAME=token(4), GIT_AUTHOR_EMAIL=f"{token(4)}@example.org")
    return repository


def test_what_commits_brought_in_every_form(monitor: Command, repository: Repository) -> None:
    output = ""
    for form in ("text", "json", "jsonl", "sarif"):
        answer = monitor("scan", "--git", "-C", "r", "--format", form)
        assert answer.returncode == 1
        output += answer.stdout + answer.stderr
        if form == "sarif":
            schema = json.loads((ROOT / "tests/monitor/scan/sarif-schema-2.1.0.json").read_text())
            document = json.loads(answer.stdout)
            jsonschema.Draft7Validator(schema).validate(document)
            results = document["runs"][0]["results"]
            assert [result["properties"]["git"]["in_head"] for result in results] == [False, True, False]
    assert not [n for n in range(1, 5) if token(n)[8:20] in output]
    found = {row["path"]: row for row in rows(monitor("scan", "--git", "-C", "r", "-f", "jsonl"))}
    assert set(found) == {"(commit message)", "new.py", "old.py"}
    git = found["old.py"]["git"]
    assert isinstance(git, dict)
    assert git["first"] == git["last"] == {
        "commit": repository.git("rev-parse", "HEAD~2"), "author": "Ann Author", "email": "ann@example.org",
        "date": "2026-01-02T01:04:05Z",
    }  # fmt: skip
    assert git | {"commits": 1, "in_head": False, "branches": ["main"], "remotes": [], "tags": []} == git


def test_text_says_who_when_and_where_still(monitor: Command, repository: Repository) -> None:
    answer = monitor("scan", "--git", "-C", "r", "HEAD~2")
    name = repository.git("rev-parse", "HEAD~2")[:12]
    assert answer.stdout.splitlines()[2] == (
        f"    commit {name} of 2026-01-02 by Ann Author <ann@example.org>; no longer in HEAD; in main; "
        "on no known remote; owner Ann Author <ann@example.org>"
    )
    assert answer.stderr == "1 finding in 1 commit\n"


def test_ranges_and_what_is_none(monitor: Command, repository: Repository, tmp_path: Path) -> None:
    answer = monitor("scan", "--git", "-C", "r", "HEAD~2..HEAD~1", "-f", "jsonl")
    assert [row["path"] for row in rows(answer)] == ["new.py"]
    assert monitor("scan", "--git", "-C", "r", "HEAD..HEAD").returncode == 0
    for arguments, says in (
        (["--git", "-C", "r", "nowhere"], "nowhere: bad revision 'nowhere'"),
        (["--git", "-C", "r", "--", "--all"], "--all: no range of commits begins so"),
        (
            ["--git", "-C", "state"],
            "directories): .git; run this inside of one",
        ),
        (["--git", "--staged"], "--git and --staged: one of them"),
        (["--staged", "a"], "--staged takes no path"),
        (["--since-last", "r"], "--since-last goes with --git"),
        (["--git", "--since-last", "HEAD"], "--since-last takes no range"),
        (["--git", "--max-size", "1K"], "--max-size is for files, not for --git"),
        ([], "name what to scan"),
    ):
        answer = monitor("scan", *arguments, env={"GIT_CEILING_DIRECTORIES": str(tmp_path)})
        assert (answer.returncode, answer.stdout) == (2, ""), arguments
        assert says in answer.stderr
    (tmp_path / "bin").mkdir()
    answer = monitor("scan", "--git", "-C", "r", env={"PATH": str(tmp_path / "bin")})
    assert (answer.returncode, answer.stderr) == (2, "git is not installed: it is not on PATH\n")


def test_a_baseline_holds_over_history(monitor: Command, repository: Repository) -> None:
    assert monitor("scan", "--git", "-C", "r", "--write-baseline", "known.json").returncode == 0
    repository.commit({"moved.py": f"k = '{token(1)}'\n"})
    answer = monitor("scan", "--git", "-C", "r", "--baseline", "known.json")
    assert (answer.returncode, answer.stdout) == (0, "")
    assert "4 in the baseline" in answer.stderr
    repository.commit({"more.py": f"k = '{token(5)}'\n"})
    answer = monitor("scan", "--git", "-C", "r", "--baseline", "known.json", "-f", "jsonl")
    assert [row["path"] for row in rows(answer)] == ["more.py"]


def test_what_is_not_there_is_no_clean_bill(monitor: Command, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "r")
    repository.commit({"a": "x\n"})
    name = repository.git("rev-parse", "HEAD:a")
    (repository.folder / ".git/objects" / name[:2] / name[2:]).unlink()
    answer = monitor("scan", "--git", "-C", "r")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert "1 object is missing or damaged, so what is in them was not scanned" in answer.stderr


def test_what_is_staged(monitor: Command, repository: Repository) -> None:
    assert monitor("scan", "--staged", "-C", "r").returncode == 0
    repository.write({"b": f"\n{token(6)}\n"})
    answer = monitor("scan", "--staged", "-C", "r", "-f", "jsonl")
    assert (answer.returncode, [(row["path"], row["line"]) for row in rows(answer)]) == (1, [("b", 2)])
    assert "git" not in rows(answer)[0]
    assert monitor("scan", "--staged", "-C", "r").stderr == "1 finding in 1 staged file\n"


def test_lfs_pointers_are_reported_as_not_scanned_and_what_only_begins_as_one_is(
    monitor: Command, repository: Repository
) -> None:
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 12\n"
    filters = "*.bin filter=lfs diff=lfs merge=lfs -text\n"
    base = repository.commit({".gitattributes": filters, "a.bin": pointer, "f.bin": f"{pointer}x = '{token(5)}'\n"})
    history = monitor("scan", "--git", "-C", "r", "-f", "jsonl", f"{base}^..{base}")
    assert [row["path"] for row in rows(history)] == ["f.bin"]
    assert "pointers of Git LFS, whose files were not scanned" in history.stderr
    for name in ("b.bin", "g.bin"):
        (repository.folder / name).write_text(pointer if name == "b.bin" else f"{pointer}x = '{token(6)}'\n")
        repository.git("-c", "filter.lfs.clean=cat", "add", name)
    staged = monitor("scan", "--staged", "-C", "r", "-f", "jsonl")
    assert [row["path"] for row in rows(staged)] == ["g.bin"]
    assert "pointers of Git LFS, whose files were not scanned" in staged.stderr


def test_only_what_came_since_the_last_time(monitor: Command, repository: Repository, tmp_path: Path) -> None:
    answer = monitor("scan", "--git", "-C", "r", "--since-last")
    assert answer.returncode == 1
    assert "note: this history was not looked at before" in answer.stderr
    answer = monitor("scan", "--git", "-C", "r", "--since-last")
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "0 findings in 0 commits\n")
    repository.commit({"b": f"{token(7)}\n"})
    answer = monitor("scan", "--git", "-C", "r", "--since-last", "-f", "jsonl")
    assert [row["path"] for row in rows(answer)] == ["b"]
    repository.commit({"c": f"{token(8)}\n"})
    name = repository.git("rev-parse", "HEAD:c")
    lost = repository.folder / ".git/objects" / name[:2] / name[2:]
    kept = lost.read_bytes()
    lost.unlink()
    assert monitor("scan", "--git", "-C", "r", "--since-last").returncode == 2  # so it stays where it was
    lost.write_bytes(kept)
    assert monitor("scan", "--git", "-C", "r", "--since-last").returncode == 1


async def _nothing(_store: Store) -> None:
    pass


def test_what_is_found_becomes_incidents_with_a_proposed_owner(
    monitor: Command, repository: Repository, tmp_path: Path
) -> None:
    answer = monitor("scan", "--git", "-C", "r", "--report")
    assert (answer.returncode, answer.stdout) == (1, "")
    assert "there is no database" in answer.stderr
    repository.commit({"CODEOWNERS": "new.py @team\n"})
    with_store(load(tmp_path / "config.toml"), _nothing, make=True)
    for _ in range(2):
        answer = monitor("scan", "--git", "-C", "r", "--report")
        assert answer.returncode == 1
        assert answer.stderr.endswith("3 recorded\n")
    listed = [json.loads(line) for line in monitor("incidents", "list", "-f", "jsonl").stdout.splitlines()]
    told = [json.loads(monitor("incidents", "show", one["id"], "-f", "json").stdout) for one in listed]
    assert [one["occurrences"] for one in told if one["labels"].get("proposed_owner") == "@team"] == [1]
    assert len(told) == 3
    assert {one["labels"]["repository"] for one in told} == {"r"}
    assert token(1)[8:] not in json.dumps(told)
    assert token(4)[8:] not in json.dumps(told)
    assert monitor("scan", "--report", "r").returncode == 2


def test_nothing_that_a_repository_brings_along_is_run(
    monitor: Command, repository: Repository, tmp_path: Path
) -> None:
    repository.write({"staged": f"{token(6)}\n"})
    plant(repository, tmp_path / "ran")
    name = repository.git("rev-parse", "HEAD")
    assert monitor("scan", "--git", "-C", "r", "HEAD..").returncode == 0  # as of a partial clone
    where = {"GIT_DIR": str(repository.folder / ".git"), "GIT_WORK_TREE": str(repository.folder)}
    for arguments, said, env, code in (
        (["scan", "--git", "-C", "r", "-f", "jsonl"], "", {}, 1),
        (["scan", "--git", "-C", "r", "--since-last"], "", {}, 1),
        (["scan", "--staged", "-C", "r"], "", {}, 1),
        (["hooks", "run", "pre-commit"], "", where, 1),
        (["hooks", "run", "pre-push", "origin"], f"r {name} r {'0' * 40}\n", where, 1),
        (["hooks", "run", "pre-receive"], f"{'0' * 40} {name} r\n", where, 0),
        (["hooks", "install", "-C", "r"], "", {}, 0),
    ):
        answer = monitor(*arguments, stdin=said, env=env)
        assert answer.returncode == code, (arguments, answer.stderr)
        assert not (tmp_path / "ran").exists(), arguments
        repository.git("config", "--unset-all", "remote.origin.promisor", fine=False)
