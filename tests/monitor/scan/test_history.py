from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from detectors.match.engine import Engine
from detectors.rules.template import expand
from monitor.clients.git import Git
from monitor.scan.commits import CommitSearch
from monitor.scan.history import GitHistory, Range, gathered, placed, staged, stashed
from monitor.scan.search import Hit, ScanOptions
from tests.fakes.repository import Repository
from tests.monitor.scan.conftest import KEY

Token = Callable[[int], str]
ALL = Range(("--all",), whole=True)


def look(engine: Engine, folder: Path, wanted: Range = ALL) -> tuple[list[Hit], list[str]]:
    git = Git(folder)
    with git.blobs() as blobs:
        problems: list[str] = []
        search = CommitSearch(engine, ScanOptions(KEY), blobs, lambda _, what: problems.append(what), everything=False)
        history = GitHistory(git, wanted)
        hits = list(placed(git, gathered(history.search(search)), search, str))
    return hits, [*history.problems, *problems, *filter(None, [search.passed.gone()])]


def paths(hits: list[Hit]) -> list[str]:
    return [hit.finding.path for hit in hits]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """Two commits with a secret each, a third without: one is gone from HEAD, one stands on a branch of its own."""
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


def test_owners_of_a_file_whose_name_is_no_utf_8(engine: Engine, token: Token, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "r")
    name = os.fsdecode("caf\xe9".encode("latin-1"))
    owners = os.fsencode(f"* @all\n/{name}.py @team\n")
    repository.commit({"CODEOWNERS": owners, f"{name}.py": token(1), f"src/{name}.py": token(2)})
    hits, problems = look(engine, repository.folder)
    assert problems == []
    assert {hit.finding.path: (hit.git or {})["owner"] for hit in hits} == {
        f"{name}.py": "@team", f"src/{name}.py": "@all"
    }  # fmt: skip


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


def test_treeless_counts_what_is_not_there_and_fetches_nothing(
    engine: Engine, source: Repository, tmp_path: Path
) -> None:
    source.git("clone", "-q", "--filter=tree:0", f"file://{source.folder}", str(tmp_path / "r"))
    hits, problems = look(engine, tmp_path / "r")
    assert paths(hits) == ["src/a.py"]
    assert problems[-1] == "2 objects are missing or damaged, so what is in them was not scanned"  # folders


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Repository, dict[str, str]]:
    """A secret in each kind of object, with its place; and what of that is the second commit's."""
    token = [expand("ghp_{alnum:30}{crc32}", n) for n in range(6)]
    repository = Repository(tmp_path_factory.mktemp("whole") / "r")
    repository.commit({"first": f"{token[0]}\n"})
    files = {"blob": f"{token[1]}\n", "opaque": f"{token[2]}\n", ".gitattributes": "opaque -diff\n"}
    second = repository.commit(files, f"a key: {token[3]}")
    repository.commit({"last": f"{token[4]}\n"})
    repository.git("tag", "-a", "v1", "-m", f"key {token[5]}")
    asked = {"blob": ":blob", "opaque": ":opaque", "tree": f"{second}^{{tree}}", "commit": second, "tag": "v1"}
    return repository, {what: repository.git("rev-parse", name) for what, name in asked.items()}


def damage(repository: Repository, name: str, how: str) -> None:
    path = repository.folder / ".git/objects" / name[:2] / name[2:]
    path.chmod(0o644)
    raw = path.read_bytes()
    if how == "removed":
        path.unlink()
    elif how == "of another kind":
        text = zlib.decompress(raw).partition(b"\0")[2]
        path.write_bytes(zlib.compress(b"tree %d\0" % len(text) + text))
    else:
        path.write_bytes({"cut": raw[: len(raw) // 2], "emptied": b"", "overwritten": b"damaged"}[how])


@pytest.mark.parametrize(
    ("what", "how", "lost"),
    [
        ("blob", "removed", {"blob"}),
        ("blob", "emptied", {"blob"}),
        ("blob", "of another kind", {"blob"}),
        ("opaque", "cut", {"opaque"}),
        ("opaque", "of another kind", {"opaque"}),
        ("tree", "removed", set()),
        ("tree", "overwritten", set()),
        ("commit", "removed", {"(commit message)"}),
        ("commit", "cut", {"(commit message)"}),
        ("tag", "removed", {"(tag message)"}),
        ("tag", "cut", {"(tag message)"}),
    ],
)
def test_what_is_behind_a_damaged_object_is_read_all_the_same(
    engine: Engine,
    whole: tuple[Repository, dict[str, str]],
    tmp_path: Path,
    what: str,
    how: str,
    lost: set[str],
) -> None:
    there = {hit.finding.path: hit.finding.fingerprint for hit in look(engine, whole[0].folder)[0]}
    assert set(there) == {"first", "blob", "opaque", "last", "(commit message)", "(tag message)"}
    shutil.copytree(whole[0].folder, tmp_path / "r")
    damage(Repository(tmp_path / "r"), whole[1][what], how)
    hits, problems = look(engine, tmp_path / "r")
    assert {there[path] for path in lost} == set(there.values()) - {hit.finding.fingerprint for hit in hits}
    assert any("missing or damaged" in problem or "could not be listed" in problem for problem in problems)


def test_a_pack_with_a_wrong_byte_loses_nothing_in_silence(
    engine: Engine, whole: tuple[Repository, dict[str, str]], tmp_path: Path
) -> None:
    there = {hit.finding.fingerprint for hit in look(engine, whole[0].folder)[0]}
    shutil.copytree(whole[0].folder, tmp_path / "r")
    repository = Repository(tmp_path / "r")
    repository.git("repack", "-adq")
    (pack,) = (repository.folder / ".git/objects/pack").glob("*.pack")
    pack.chmod(0o644)
    raw = pack.read_bytes()
    for at in range(12, len(raw) - 20, len(raw) // 6):
        pack.write_bytes(raw[:at] + bytes([raw[at] ^ 0x41]) + raw[at + 1 :])
        hits, problems = look(engine, repository.folder)
        assert problems or {hit.finding.fingerprint for hit in hits} == there, at


def test_what_is_behind_a_commit_that_is_gone_is_found_without_it(
    engine: Engine, source: Repository, tmp_path: Path
) -> None:
    """Nothing leads there: that branch had one commit of its own."""
    shutil.copytree(source.folder, tmp_path / "r")
    damage(Repository(tmp_path / "r"), source.git("rev-parse", "topic"), "removed")
    hits, problems = look(engine, tmp_path / "r")
    assert len(hits) == 3
    # A git such as 2.39 lists nothing where a ref leads nowhere, so that is said in place of how many are missing.
    unlisted = "its objects could not be listed (bad object refs/heads/topic); those that are there are scanned"
    assert problems[-1] in ("1 object is missing or damaged, so what is in them was not scanned", unlisted)


def lying(graph: bytes, name: str) -> bytes:
    """A commit-graph that says of this commit that it has no parents."""
    chunks = {graph[at : at + 4]: int.from_bytes(graph[at + 4 : at + 12]) for at in range(8, 8 + 12 * graph[6], 12)}
    count = (chunks[b"CDAT"] - chunks[b"OIDL"]) // 20
    names = [graph[chunks[b"OIDL"] + 20 * number :][:20].hex() for number in range(count)]
    at = chunks[b"CDAT"] + 36 * names.index(name) + 20
    body = graph[:at] + (0x70000000).to_bytes(4) + graph[at + 4 : -20]
    return body + hashlib.sha1(body).digest()


def test_what_says_that_there_was_nothing_before_is_not_believed(engine: Engine, token: Token, tmp_path: Path) -> None:
    """Replacements, grafts, and a commit-graph; git itself believes each."""
    repository = Repository(tmp_path / "r")
    repository.commit({"a": f"{token(1)}\n"})
    last = repository.commit({"a": "gone\n"})
    repository.git("commit-graph", "write", "--reachable")
    graph = repository.folder / ".git/objects/info/commit-graph"
    graph.chmod(0o644)
    graph.write_bytes(lying(graph.read_bytes(), last))
    assert repository.git("rev-list", "--count", "main") == "1"
    assert paths(look(engine, repository.folder)[0]) == ["a"]
    graph.unlink()
    repository.git("replace", "--graft", last)
    assert repository.git("rev-list", "--count", "main") == "1"
    assert paths(look(engine, repository.folder)[0]) == ["a"]
    repository.git("replace", "-d", last)
    (repository.folder / ".git/info/grafts").write_text(f"{last}\n")
    assert repository.git("rev-list", "--count", "main") == "1"
    assert look(engine, repository.folder)[1] == []
    assert paths(look(engine, repository.folder)[0]) == ["a"]


def test_symlinks(engine: Engine, token: Token, tmp_path: Path) -> None:
    """Where one leads is its content; what lies there is no part of the history."""
    repository = Repository(tmp_path / "r")
    (tmp_path / "outside").write_text(f"{token(1)}\n")
    (repository.folder / "out").symlink_to(tmp_path / "outside")
    (repository.folder / "key").symlink_to(token(2))
    repository.git("add", "out", "key")
    repository.commit()
    hits, problems = look(engine, repository.folder)
    assert (paths(hits), problems) == (["key"], [])


def test_tags_and_their_messages(engine: Engine, token: Token, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "r")
    repository.commit({"a": "x\n"})
    repository.git("tag", "-a", "v1", "-m", f"key {token(1)}")
    (hit,), _ = look(engine, repository.folder)
    assert (hit.finding.path, hit.finding.line) == ("(tag message)", 1)
    assert hit.git is not None
    assert (hit.git["tags"], hit.git["first"]["author"]) == (["v1"], "Ann Author")


def test_what_no_branch_leads_to(engine: Engine, token: Token, tmp_path: Path) -> None:
    """A content that a tag names, and all that was put aside."""
    repository = Repository(tmp_path / "r")
    repository.commit({"a": "x\n"})
    name = repository.git("hash-object", "-w", "--stdin", stdin=f"key {token(1)}\n".encode())
    repository.git("tag", "-a", "key", "-m", "a key", name)
    for number in (2, 3):
        repository.write({"a": f"{token(number)}\n"})
        repository.git("stash")
    hits, problems = look(engine, repository.folder, Range(("--all",), stashed(Git(repository.folder)), whole=True))
    assert sorted(paths(hits)) == ["a", "a", "refs/tags/key"]
    assert problems == []
    assert stashed(Git(Repository(tmp_path / "none").folder)) == ()


def test_a_file_whose_name_is_masked_is_found_in_head(engine: Engine, token: Token, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "r")
    repository.commit({f"{token(1)}.py": f"{token(2)}\n", "a.gz": gzip.compress(token(3).encode())})
    hits, _ = look(engine, repository.folder)
    assert len(hits) == 2
    assert all(hit.git and hit.git["in_head"] for hit in hits)
    assert not any(token(1)[8:] in path for path in paths(hits))


def test_what_is_staged(engine: Engine, token: Token, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "r")
    lines = "line\n" * 50

    def rows() -> list[tuple[str, int | None]]:
        git = Git(repository.folder)
        with git.blobs() as blobs:
            search = CommitSearch(engine, ScanOptions(KEY), blobs, lambda *_: None, everything=True)
            return [(one.hit.finding.path, one.hit.finding.line) for one in staged(git, search)]

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


def test_encodings(engine: Engine, token: Token, tmp_path: Path) -> None:
    """Of a message, a path and an author that are Latin-1, and of text in UTF-16 of which a line changes."""
    repository = Repository(tmp_path / "r")
    latin = os.fsdecode("é".encode("latin-1"))
    wide = [f"line {n}" for n in range(30)]
    repository.commit({"wide": "\n".join(wide).encode("utf-16")})
    wide[20] = f"key = {token(1)}"
    repository.commit({"wide": "\n".join(wide).encode("utf-16"), f"{latin}.py": f"# {latin}\nk = '{token(2)}'\n".encode(
        "utf-8", "surrogateescape")})  # fmt: skip
    repository.git("config", "i18n.commitEncoding", "ISO-8859-1")
    message = os.fsencode(f"caf{latin} {token(3)}")
    repository.git("commit", "-q", "--allow-empty", "-F", "-", stdin=message, GIT_AUTHOR_NAME=latin)
    hits, problems = look(engine, repository.folder)
    assert problems == []
    assert [(hit.finding.path, hit.finding.line) for hit in hits] == [
        ("(commit message)", 1), ("wide", 21), (f"{latin}.py", 2)
    ]  # fmt: skip
    assert hits[0].git is not None
    assert hits[0].git["first"]["author"] == "é"


def test_a_sparse_work_tree_has_its_whole_history(engine: Engine, source: Repository, tmp_path: Path) -> None:
    source.git("clone", "-q", "--sparse", str(source.folder), str(tmp_path / "r"))
    hits, _ = look(engine, tmp_path / "r")
    assert len(hits) == 3
    assert not (tmp_path / "r/src").exists()
    assert [hit.finding.path for hit in hits if hit.git and hit.git["in_head"]] == ["src/a.py"]


@pytest.mark.campaign
def test_ten_thousand_branches(engine: Engine, source: Repository, tmp_path: Path) -> None:
    source.git("clone", "-q", str(source.folder), str(tmp_path / "r"))
    repository = Repository(tmp_path / "r")
    name = repository.git("rev-parse", "HEAD")
    lines = "".join(f"create refs/heads/b{number:05} {name}\n" for number in range(10_000))
    repository.git("update-ref", "--stdin", stdin=lines.encode())
    hits, problems = look(engine, repository.folder)
    told = {hit.finding.path: hit.git or {} for hit in hits}
    assert problems == []
    assert (len(told["old.py"]["branches"]), told["old.py"]["refs"] > 10_000) == (50, True)


@pytest.mark.campaign
def test_a_blob_of_100_mb_is_read_in_pieces(token: Token, tmp_path: Path) -> None:
    """As text and, with an attribute, as none; in a process of its own, whose memory is measured."""
    repository = Repository(tmp_path / "r")
    line = b"a line of a log that says nothing at all\n"
    repository.commit({"log": line * (100_000_000 // len(line)) + f"key {token(1)}\n".encode()})
    repository.commit(
        {"log": b"0\n" + line * (100_000_000 // len(line)) + f"key {token(1)}\nkey {token(2)}\n".encode()}
    )
    command = [sys.executable, "-m", "monitor", "scan", "--git", "-C", str(repository.folder), "-f", "jsonl"]
    program = "import resource, subprocess, sys; print(subprocess.run(sys.argv[1:], stdout=2).returncode, " \
        "resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10)"  # fmt: skip
    answer = subprocess.run(
        [sys.executable, "-c", program, *command], capture_output=True, text=True, check=True,
        env={**os.environ, "HOME": str(tmp_path)},
    )  # fmt: skip
    code, memory = answer.stdout.split()
    lines = sorted(json.loads(row)["line"] for row in answer.stderr.splitlines())
    assert (code, lines) == ("1", [100_000_000 // len(line) + 1, 100_000_000 // len(line) + 3])
    assert int(memory) < 600
