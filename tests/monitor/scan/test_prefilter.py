from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from detectors.match.engine import Engine
from monitor.clients.git import DIFF, Git
from monitor.scan.changes import FORMAT, FileChange, changes
from monitor.scan.commits import CommitSearch
from monitor.scan.history import GitHistory, Range
from monitor.scan.prefilter import Passed, Prefilter, _Run, generated
from monitor.scan.search import ScanOptions
from tests.fakes.repository import Repository
from tests.monitor.scan.conftest import KEY

Token = Callable[[int], str]


def fill(repository: Repository, versions: list[dict[str, str]]) -> None:
    """A commit for each, of whole trees; its number is its time."""
    stream = b""
    for number, tree in enumerate(versions):
        stream += b"commit refs/heads/main\ncommitter a <a> %d +0000\ndata 1\nx\ndeleteall\n" % number
        for path, text in tree.items():
            stream += b"M 644 inline %s\ndata %d\n%s\n" % (path.encode(), len(text), text.encode())
    repository.git("fast-import", "--quiet", "--force", stdin=stream)


def found(engine: Engine, repository: Repository) -> set[tuple[int, str, str]]:
    """Number of the commit, path, and fingerprint."""
    git = Git(repository.folder)
    with git.blobs() as blobs:
        search = CommitSearch(engine, ScanOptions(KEY), blobs, lambda *_: None, everything=False)
        return {
            (one.commit.time, one.path, one.hit.finding.fingerprint)
            for one in GitHistory(git, Range(("--all",))).search(search)
            if one.commit is not None
        }


def brought(engine: Engine, versions: list[dict[str, str]]) -> set[tuple[int, str, str]]:
    """The same by searching each version whole."""
    from detectors.fingerprint import fingerprint

    worker, out = engine.worker(), set()
    before: dict[str, set[str]] = {}
    for number, tree in enumerate(versions):
        now = {
            path: {fingerprint(KEY, match.secret) for match in worker.search(text.encode()).matches}
            for path, text in tree.items()
        }
        out |= {(number, path, one) for path, prints in now.items() for one in prints - before.get(path, set())}
        before = now
    return out


def edited(text: str, other: str, chance: random.Random, token: Token) -> str:
    """One edit, such as people make."""
    lines = text.split("\n")
    at, to = chance.randrange(len(lines)), chance.randrange(len(lines))
    match chance.randrange(8):
        case 0:
            lines.insert(at, "")
        case 1:
            lines[at:at] = [f"key = {token(chance.randrange(6))}"]
        case 2:
            del lines[at : at + 3]
        case 3:
            lines[at:at] = lines[to : to + 5]
        case 4:
            lines[at] = f"changed {chance.random()}"
        case 5:
            lines = [line for line in lines if line] or [""]
        case 6:
            lines[at:at] = other.split("\n")[:20]
        case _:
            lines[at : at + 4] = ["", "", *lines[at : at + 4][::-1]]
    return "\n".join(lines)


@pytest.mark.parametrize("seed", [1, 2, pytest.param(range(3, 200), marks=pytest.mark.campaign)])
@pytest.mark.parametrize("bound", [None, "_PARTS", "_LONG", "_AT_ONCE"])
def test_each_secret_is_found_where_it_came_in(
    engine: Engine,
    token: Token,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    seed: int | range,
    bound: str | None,
) -> None:
    """Also where parts are forgotten, where they are too long, and where contents are looked at one by one."""
    if bound is not None:
        monkeypatch.setattr(f"monitor.scan.prefilter.{bound}", {"_PARTS": 5, "_LONG": 60, "_AT_ONCE": 1}[bound])
        monkeypatch.setattr("monitor.scan.commits._PRINTS", 1)
    for one in [seed] if isinstance(seed, int) else seed:
        chance = random.Random(one)
        tree = {name: "\n".join(f"{name} {n}" if n % 4 else "" for n in range(30)) for name in "abc"}
        versions = [tree]
        for _ in range(40):
            name, other = chance.choice("abc"), chance.choice("abc")
            tree = {**tree, name: edited(tree[name], tree[other], chance, token)}
            if chance.random() < 0.1:
                tree = chance.choice(versions)
            versions.append(tree)
        repository = Repository(tmp_path / str(one))
        fill(repository, versions)
        assert brought(engine, versions) <= found(engine, repository)


def test_what_was_in_another_version_is_not_searched_again(engine: Engine, token: Token, tmp_path: Path) -> None:
    parts = [f"def f{n}():\n" + "    return 'a line'\n" * 20 for n in range(50)]
    versions = []
    for number in range(20):
        parts[number * 2] += f"    # {number}\n"
        versions.append({"f.py": "\n".join(parts), "go.sum": f"{number}"})
    parts[7] += f"    # {token(1)}\n"
    versions.append({"f.py": "\n".join(parts)})
    repository = Repository(tmp_path / "r")
    fill(repository, versions)
    git, worker, sizes = Git(repository.folder), engine.worker(), []
    before = worker.search
    worker.search = lambda text: sizes.append(len(text)) or before(text)  # type: ignore[method-assign,assignment,misc,func-returns-value]
    with git.blobs() as blobs:
        passed = Passed()
        prefilter = Prefilter(worker, blobs, passed, archives=True, everything=False)
        log = git.stream("log", "--all", "-c", "--raw", "--no-abbrev", *DIFF, FORMAT)
        found = prefilter.candidates(changes(log))
    assert [(item.path, item.commit and item.commit.time) for item in found if isinstance(item, FileChange)] == [
        ("f.py", 20)
    ]
    assert sum(sizes) < 3 * len(versions[0]["f.py"])
    assert (prefilter.commits, passed.generated) == (21, {"go.sum"})


def test_what_a_new_part_makes_of_an_old_one_is_the_new_ones() -> None:
    run = _Run(b"old\n\nnew\n\nbetween\n\nnewer\n\nold", [1, 2, 3, 4, 5], {2, 4})
    assert [*run.owners((0, 4, 5, 9, 10, 18, 19, 26, 99))] == [2, 2, 2, 2, 2, 2, 4, 4, 4]
    parts = range(20_000)  # as many secrets, each a part of its own, held up a push for a minute
    run = _Run(b"\n\n".join(b"%05d" % part for part in parts), parts, {*parts})
    assert [*run.owners(part * 7 for part in parts)] == [*parts]


@pytest.mark.parametrize(
    ("path", "whether"),
    [
        ("yarn.lock", True),
        ("a/b/go.sum", True),
        ("x.min.css", True),
        ("lock", False),
        ("min.js", False),
        ("a.js", False),
    ],
)
def test_names_of_what_programs_write(path: str, whether: bool) -> None:
    assert generated(path) is whether
