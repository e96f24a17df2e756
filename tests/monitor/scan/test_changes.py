from __future__ import annotations

import random
from pathlib import Path

import pytest

from monitor.clients.git import DIFF, Git
from monitor.scan.changes import FORMAT, FileChange, GitCommit, changes
from tests.fakes.repository import Repository

NAMES = ("a b", "ü", 'quo"te', "tab\tand\nnewline", " lead", "b/x b/x", "\udcff", "-", "back\\slash")
SPOOF = "\ndiff --git a/x b/x\nindex 00..11\n@@ -1 +1 @@\n+forged\n\n\x01" + "0" * 40


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """Names, messages, line ends, a deletion, a mode and a merge."""
    repository = Repository(tmp_path_factory.mktemp("changes") / "r")
    repository.commit({name: f"text of {name!r}\n".encode() for name in NAMES}, "names" + SPOOF)
    repository.commit({"f": b"1\r\n2\r3\n--- a\n+++ b\n@@ -1 +1 @@\n\x01\ndiff --git a/f b/f\nend"})
    repository.git("rm", "-q", "ü")
    repository.commit({"f": b"1\r\n2\r3\n--- a\n@@ -1 +1 @@\n\x01\nnew\ndiff --git a/f b/f\nend\n"}, "rm and edit")
    (repository.folder / "f").chmod(0o755)
    repository.git("add", "f")
    repository.commit({}, "mode")
    repository.git("checkout", "-q", "-b", "side")
    repository.commit({"m": "base\none\nend\n"})
    repository.git("checkout", "-q", "main")
    repository.commit({"m": "base\ntwo\nend\n"})
    repository.git("merge", "-q", "--no-commit", "side", fine=False)
    repository.commit({"m": "base\nnobody had it\nend\n"}, "merge")
    return repository


def read(repository: Repository, *options: str, size: int = 1 << 20) -> list[GitCommit | FileChange]:
    data = b"".join(Git(repository.folder).stream("log", "-c", "-p", *DIFF, *options, FORMAT, "--all"))
    return list(changes(data[start : start + size] for start in range(0, len(data), size)))


def test_what_is_read_is_what_was_committed(made: Repository) -> None:
    items = read(made, "-U0")
    commits = [item for item in items if isinstance(item, GitCommit)]
    assert [item.message.split(b"\n")[0] for item in commits[:2]] == [b"merge", b"change"]
    assert (commits[0].author, commits[0].email, commits[0].time) == ("Ann Author", "ann@example.org", 1767337445)
    assert len(commits[0].parents) == 2
    first = commits[-1]
    assert first.message.strip() == ("names" + SPOOF).encode()
    paths = {item.path for item in items if isinstance(item, FileChange) and item.commit is first}
    assert paths == set(NAMES)


def test_rows_name_what_sections_name(made: Repository) -> None:
    def names(items: list[GitCommit | FileChange]) -> list[tuple[object, ...]]:
        changed = [item for item in items if isinstance(item, FileChange)]
        return [(one.commit and one.commit.id, one.path, one.old, one.new, one.link) for one in changed]

    data = b"".join(Git(made.folder).stream("log", "-c", "--raw", "--no-abbrev", *DIFF, FORMAT, "--all"))
    rows = list(changes([data]))
    sections = read(made)
    assert names(rows) == names(sections)
    assert [one for one in rows if isinstance(one, GitCommit)] == [
        one for one in sections if isinstance(one, GitCommit)
    ]
    assert any(len(one.old) == 2 for one in rows if isinstance(one, FileChange))


def test_how_the_output_is_cut_changes_nothing(made: Repository) -> None:
    whole = read(made, "-U3")
    for size in (1, 7, 100, 999):
        assert read(made, "-U3", size=size) == whole


def test_a_hunk_of_everything_is_the_new_version(made: Repository) -> None:
    for item in read(made, "-U100000"):
        if isinstance(item, FileChange) and item.hunks and len(item.old) == 1:
            (hunk,) = item.hunks
            blob = made.git("cat-file", "blob", item.new)
            assert hunk.text().rstrip(b"\n").strip() == blob.encode("utf-8", "surrogateescape").strip()


def test_lines_that_were_added(made: Repository) -> None:
    edits = [item for item in read(made, "-U3") if isinstance(item, FileChange) and item.path in "fm"]
    assert [(item.path, [line for hunk in item.hunks for line in hunk.added()]) for item in edits] == [
        ("m", [2]),  # of the merge: what neither side had
        ("m", [1, 2, 3]),
        ("m", [1, 2, 3]),
        ("f", [6, 8]),  # a line, and one that got its newline
        ("f", [1, 2, 3, 4, 5, 6, 7, 8]),
    ]
    merge = edits[0]
    assert merge.hunks[0].marks == 2
    assert merge.hunks[0].text() == b"base\nnobody had it\nend\n"
    assert len(merge.old) == 2


@pytest.mark.parametrize("width", [0, 1, 3])
def test_any_edit_gives_the_lines_of_the_new_version(tmp_path: Path, width: int) -> None:
    """Of a chain of random edits each hunk is a stretch of the new version, and what it lacks is in the old one."""
    chance = random.Random(width)
    repository = Repository(tmp_path / "r")
    alphabet = [b"", b"-", b"+", b" ", b"\\ No newline at end of file", b"@@ -1 +1 @@", b"\0x", b"\rx", b"word"]
    old: list[bytes] = []
    blobs, marks = [], []
    for _ in range(12):
        new = [line for line in old if chance.random() > 0.2]
        for _ in range(chance.randrange(1, 8)):
            new.insert(chance.randrange(len(new) + 1), chance.choice(alphabet[:6] + alphabet[7:]))
        blobs.append(b"\n".join(new) + chance.choice([b"", b"\n"]))
        marks.append(new)
        old = new
    stream = b"".join(
        b"commit refs/heads/main\nmark :%d\ncommitter a <a> %d +0000\ndata 1\nxM 644 inline f\ndata %d\n%s\n"
        % (number + 1, number, len(blob), blob)
        for number, blob in enumerate(blobs)
    )
    repository.git("fast-import", "--quiet", stdin=stream)
    found = [item for item in read(repository, f"-U{width}") if isinstance(item, FileChange)]
    assert found
    for item in found:
        number = int(item.commit.time) if item.commit else 0
        new = blobs[number].split(b"\n")
        before = blobs[number - 1].split(b"\n") if number else []
        covered = set()
        for hunk in item.hunks:
            text = hunk.text().split(b"\n")[:-1]
            assert new[hunk.line - 1 : hunk.line - 1 + len(text)] == text
            covered |= set(hunk.added())
        kept = [line for at, line in enumerate(new, 1) if at not in covered]
        rest = iter(before)
        assert all(line in rest for line in kept if line)
