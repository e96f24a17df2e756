from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from detectors.match.engine import Engine
from monitor.clients.git import Git
from monitor.scan.commits import CommitSearch
from monitor.scan.history import History, Range, gathered, placed, staged
from monitor.scan.run import Options
from monitor.scan.search import Hit
from tests.fakes.repository import Repository
from tests.monitor.scan.conftest import KEY

Token = Callable[[int], str]
ALL = Range(("--all",), whole=True)


def look(engine: Engine, folder: Path, wanted: Range = ALL) -> tuple[list[Hit], list[str]]:
    git = Git(folder)
    with git.blobs() as blobs:
        problems: list[str] = []
        search = CommitSearch(engine, Options(KEY), blobs, lambda _, what: problems.append(what), everything=False)
        history = History(git, wanted)
        hits = list(placed(git, gathered(history.search(search)), search, str))
    return hits, history.problems + problems


def paths(hits: list[Hit]) -> list[str]:
    return [hit.finding.path for hit in hits]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """Two commits with a secret each, a third without: one is gone from HEAD, one stands on a branch of its own."""
    from detectors.rules.template import expand

    token = [expand("ghp_{alnum:30}{crc32}", n) for n in range(4)]
    repository = Repository(tmp_path_factory.mktemp("history") / "source")
    repository.git("config", "uploadpack.allowFilter", "true")
    repository.commit({"old.py": f"k = '{token[0]}'\n", "CODEOWNERS": "* @all\n/src/ @team @lead # why\nsrc/free\n"})
    repository.git("tag", "v1")
    repository.commit({"src/a.py": f"k = '{token[1]}'\n", "old.py": "none\n"})
    repository.git("checkout", "-q", "-b", "topic")
    repository.commit({"src/free": f"k = '{token[2]}'\n"}, GIT_AUTHOR_NAME="Bo", GIT_AUTHOR_EMAIL="bo@example.org")
    repository.git("checkout", "-q", "main")
    return repository


def test_where_a_secret_is_and_whose_it_may_be(engine: Engine, source: Repository, tmp_path: Path) -> None:
    clone = Repository(tmp_path / "x").folder.parent / "clone"
    source.git("clone", "-q", "-b", "main", str(source.folder), str(clone))
    Repository(clone).git("branch", "-q", "mine", "v1")
    hits, problems = look(engine, clone)
    told = {hit.finding.path: hit.git or {} for hit in hits}
    assert problems == []
    assert told["src/free"] | {
        "in_head": False, "branches": [], "tags": [], "remotes": ["origin/topic"], "refs": 1,
        "owner": "Bo <bo@example.org>",
    } == told["src/free"]  # fmt: skip
    assert told["src/free"]["first"]["author"] == "Bo"
    assert told["src/a.py"]["owner"] == "@team @lead"
    assert told["src/a.py"]["in_head"] is True
    old = told["old.py"]
    assert (old["in_head"], old["owner"], old["tags"]) == (False, "@all", ["v1"])
    assert old["branches"] == ["main", "mine"]
    assert set(old["remotes"]) == {"origin/HEAD", "origin/main", "origin/topic"}
    assert old["first"] == old["last"]
    assert old["first"]["date"] == "2026-01-02T01:04:05Z"


def test_ranges(engine: Engine, source: Repository) -> None:
    assert paths(look(engine, source.folder, Range((), ("main..topic",)))[0]) == ["src/free"]
    assert paths(look(engine, source.folder, Range(("--not", "--all"), ("main",)))[0]) == []


def test_bare(engine: Engine, source: Repository, tmp_path: Path) -> None:
    source.git("clone", "-q", "--bare", str(source.folder), str(tmp_path / "bare"))
    assert len(look(engine, tmp_path / "bare")[0]) == 3


def test_a_worktree_and_a_submodule_have_the_history_of_their_repository(
    engine: Engine, source: Repository, tmp_path: Path
) -> None:
    source.git("worktree", "add", "-q", "--detach", str(tmp_path / "tree"), "v1")
    hits, _ = look(engine, tmp_path / "tree")
    assert len(hits) == 3
    assert {hit.finding.path for hit in hits if hit.git and hit.git["in_head"]} == {"old.py"}
    source.git("worktree", "remove", str(tmp_path / "tree"))
    outer = Repository(tmp_path / "outer")
    outer.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(source.folder), "inner")
    outer.commit()
    assert look(engine, tmp_path / "outer")[0] == []
    assert len(look(engine, tmp_path / "outer/inner")[0]) == 3


def test_sha256(engine: Engine, token: Token, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "r", "--object-format=sha256")
    repository.commit({"a": f"{token(1)}\n"})
    (hit,), problems = look(engine, repository.folder)
    assert hit.git is not None
    assert len(hit.git["first"]["commit"]) == 64
    assert (hit.finding.path, problems) == ("a", [])


def test_shallow(engine: Engine, source: Repository, tmp_path: Path) -> None:
    """What is there is read whole; that there was more is said."""
    source.git("clone", "-q", "--depth=1", f"file://{source.folder}", str(tmp_path / "r"))
    hits, problems = look(engine, tmp_path / "r")
    assert paths(hits) == ["src/a.py"]
    assert problems == ["the repository is shallow: commits before its oldest ones are not there, and were not scanned"]


def test_blobless_counts_what_is_not_there_and_fetches_nothing(
    engine: Engine, source: Repository, tmp_path: Path
) -> None:
    source.git("clone", "-q", "--filter=blob:none", f"file://{source.folder}", str(tmp_path / "r"))
    before = Repository(tmp_path / "r").git("count-objects", "-v")
    hits, problems = look(engine, tmp_path / "r")
    assert paths(hits) == ["src/a.py"]  # that was checked out
    assert hits[0].git is not None
    assert hits[0].git["first"]["date"] == "2026-01-02T02:04:05Z"
    assert problems == ["2 objects are missing or damaged, so what is in them was not scanned"]
    assert Repository(tmp_path / "r").git("count-objects", "-v") == before


def corrupt(repository: Repository, name: str) -> None:
    path = repository.folder / ".git/objects" / name[:2] / name[2:]
    path.chmod(0o644)
    path.write_bytes(b"damaged")


@pytest.mark.parametrize("how", ["removed", "damaged"])
@pytest.mark.parametrize("what", ["blob", "tree", "commit"])
def test_what_is_behind_a_damaged_object_is_read_all_the_same(
    engine: Engine, source: Repository, tmp_path: Path, what: str, how: str
) -> None:
    """The one of the second commit, of three with a secret each."""
    shutil.copytree(source.folder, tmp_path / "r")
    repository = Repository(tmp_path / "r")
    name = repository.git("rev-parse", {"blob": "main:src/a.py", "tree": "main^{tree}", "commit": "main"}[what])
    corrupt(repository, name)
    if how == "removed":
        (repository.folder / ".git/objects" / name[:2] / name[2:]).unlink()
    hits, problems = look(engine, repository.folder)
    assert problems
    assert any("missing or damaged" in problem or "could not be" in problem for problem in problems)
    found = {hit.finding.fingerprint for hit in hits}
    whole = {hit.finding.path: hit.finding.fingerprint for hit in look(engine, source.folder)[0]}
    assert {whole["old.py"], whole["src/free"]} - found == set()
    assert (whole["src/a.py"] in found) is (what != "blob")


def test_tags_and_their_messages(engine: Engine, token: Token, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "r")
    repository.commit({"a": "x\n"})
    repository.git("tag", "-a", "v1", "-m", f"key {token(1)}")
    (hit,), _ = look(engine, repository.folder)
    assert (hit.finding.path, hit.finding.line) == ("(tag message)", 1)
    assert hit.git is not None
    assert (hit.git["tags"], hit.git["first"]["author"]) == (["v1"], "Ann Author")


def test_what_is_staged(engine: Engine, token: Token, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "r")
    lines = "line\n" * 50

    def rows() -> list[tuple[str, int | None]]:
        git = Git(repository.folder)
        with git.blobs() as blobs:
            search = CommitSearch(engine, Options(KEY), blobs, lambda *_: None, everything=True)
            return [(one.hit.finding.path, one.hit.finding.line) for one in search.search(staged(git))]

    repository.write({"a": f"{lines}{token(1)}\n{lines}", "go.sum": token(2)})
    assert rows() == [("a", 51), ("go.sum", 1)]  # before the first commit
    repository.commit()
    assert rows() == []
    (repository.folder / "a").write_text(token(3))
    assert rows() == []  # not staged
    repository.write({"a": f"first\n{lines}{token(1)}\n{lines}{token(3)}\n"})
    (repository.folder / "a").unlink()
    assert rows() == [("a", 103)]
    repository.git("rm", "-q", "--cached", "a")
    assert rows() == []
