from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from detectors.match.engine import Engine
from monitor.clients.git import Git
from monitor.scan.commits import CommitSearch
from monitor.scan.history import GitHistory, Range, gathered
from monitor.scan.search import ScanOptions
from tests.fakes.repository import Repository
from tests.monitor.scan.conftest import KEY

Token = Callable[[int], str]
Row = tuple[str, int | None, str]  # path, line, subject of the commit


def look(
    engine: Engine, repository: Repository, *options: str, everything: bool = False, skip_binary: bool = False
) -> tuple[list[Row], CommitSearch, list[str]]:
    problems: list[str] = []
    git = Git(repository.folder)
    with git.blobs() as blobs:
        settings = ScanOptions(KEY, skip_binary=skip_binary)
        search = CommitSearch(engine, settings, blobs, lambda _, what: problems.append(what), everything=everything)
        seen = list(GitHistory(git, Range(options or ("--all",))).search(search))
    rows = [(one.hit.finding.path, one.hit.finding.line, subject(one.commit and one.commit.message)) for one in seen]
    return rows, search, problems


def subject(message: bytes | None) -> str:
    return (message or b"?").split(b"\n")[0].decode()


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> tuple[Repository, list[str]]:
    """One repository for all that commits bring. A day's work, its secrets by number."""
    from detectors.rules.template import expand

    token = [expand("ghp_{alnum:30}{crc32}", n) for n in range(40)]
    repository = Repository(tmp_path_factory.mktemp("commits") / "r")
    lines = "".join(f"line {n}\n" for n in range(20))
    repository.commit({"app.py": f"{lines}key = '{token[0]}'\n{lines}"}, "first")
    repository.commit({"app.py": f"{lines}# a comment\nkey = '{token[0]}'\n{lines}"}, "beside it")
    repository.commit({"app.py": f"{lines}# a comment\nkey = '{token[0]}'\n{lines}key = '{token[1]}'\n"}, "another")
    repository.commit({"app.py": lines}, "gone")
    repository.commit({"app.py": f"{lines}key = '{token[0]}'\n"}, "back")
    repository.commit({"moved.py": f"key = '{token[2]}'\n"}, "a file")
    repository.git("mv", "moved.py", "new.py")
    repository.commit({}, "moved")
    repository.commit({}, f"a message\n\nwith {token[3]} in it\n")
    pem = expand("{pem:RSA PRIVATE KEY}", 1)
    repository.commit({"key.pem": f"intro\n{pem}\n"}, "a key")
    with zipfile.ZipFile(data := io.BytesIO(), "w") as packed:
        packed.writestr("inner.txt", f"token={token[4]}\n")
    repository.commit({"a.zip": data.getvalue(), "b.gz": gzip.compress(token[5].encode())}, "archives")
    repository.commit({"bin": b"\0\1" + token[6].encode(), "wide": f"key {token[7]}\n".encode("utf-16")}, "binary")
    repository.commit({"package-lock.json": f'"{token[8]}"\n', "x.min.js": f"a='{token[9]}'\n"}, "made by programs")
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 12\n"
    repository.commit({"big.bin": pointer, ".gitattributes": "*.env -diff\n", "x.env": f"K={token[10]}\n"}, "odd")
    repository.commit({"silenced.py": f"key = '{token[11]}'  # gitleaks:allow\n"}, "silenced")
    (repository.folder / "link").symlink_to(token[12])
    repository.git("add", "link")
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},module")
    repository.commit({}, "a link and a module")
    repository.git("checkout", "-q", "-b", "side", "HEAD~1")
    repository.commit({"m": "base\none\nend\n"}, "left")
    repository.git("checkout", "-q", "main")
    repository.commit({"m": "base\ntwo\nend\n"}, "right")
    repository.git("merge", "-q", "--no-commit", "side", fine=False)
    repository.commit({"m": f"base\n{token[13]}\nend\n"}, "merge")
    return repository, token


def test_each_commit_tells_what_it_brought(engine: Engine, history: tuple[Repository, list[str]]) -> None:
    rows, search, problems = look(engine, history[0])
    assert rows == [
        ("m", 2, "merge"),
        ("link", 1, "a link and a module"),
        ("silenced.py", 1, "silenced"),
        ("x.env", 1, "odd"),
        ("bin", 1, "binary"),
        ("wide", 1, "binary"),
        ("a.zip!inner.txt", 1, "archives"),
        ("b.gz", 1, "archives"),
        ("key.pem", 2, "a key"),
        ("(commit message)", 3, "a message"),
        ("new.py", 1, "moved"),
        ("moved.py", 1, "a file"),
        ("app.py", 21, "back"),
        ("app.py", 43, "another"),
        ("app.py", 21, "first"),
    ]
    assert problems == []
    assert search.passed.generated == {"package-lock.json", "x.min.js"}
    assert search.passed.pointers == {"big.bin"}
    assert search.passed.links == {"module"}
    assert [what for _, what in search.passed.words()] == [
        "generated or lock files passed over", "pointers of Git LFS, whose files were not scanned",
        "submodules not scanned",
    ]  # fmt: skip
    assert search.prefilter.commits == 18


def test_what_is_left_out_can_be_had_and_what_is_read_left_out(
    engine: Engine, history: tuple[Repository, list[str]]
) -> None:
    rows, search, _ = look(engine, history[0], everything=True, skip_binary=True)
    paths = {path for path, _, _ in rows}
    assert {"package-lock.json", "x.min.js", "a.zip!inner.txt"} <= paths
    assert not {"bin", "wide"} & paths
    assert search.passed.binary == {"bin", "wide"}


def test_a_secret_is_gathered_by_file_with_its_first_and_last_commit(
    engine: Engine, history: tuple[Repository, list[str]]
) -> None:
    git = Git(history[0].folder)
    with git.blobs() as blobs:
        search = CommitSearch(engine, ScanOptions(KEY), blobs, lambda *_: None, everything=False)
        found = gathered(GitHistory(git, Range(("--all",))).search(search))
    app = next(one for one in found if one.hit.finding.path == "app.py" and one.commits == 2)
    assert app.first is not None
    assert app.last is not None
    assert (subject(app.first.message), subject(app.last.message)) == ("first", "back")
    assert len(found) == 14


def test_versions_told_in_full_are_those_that_scan_tells(
    engine: Engine, history: tuple[Repository, list[str]], tmp_path: Path
) -> None:
    """Of every commit the tree, scanned as files: nothing is in it that no commit is told to have brought."""
    from monitor.scan.run import scan
    from monitor.scan.walk import walk

    repository = history[0]
    git = Git(repository.folder)
    with git.blobs() as blobs:
        search = CommitSearch(engine, ScanOptions(KEY), blobs, lambda *_: None, everything=True)
        seen = {
            (one.hit.finding.path, one.hit.finding.fingerprint)
            for one in GitHistory(git, Range(("--all",))).search(search)
        }
    tree = Repository(tmp_path / "tree")
    tree.git("fetch", "-q", str(repository.folder), "main")
    found = set()
    for name in repository.git("rev-list", "main").splitlines()[::3]:
        tree.git("checkout", "-q", "-f", name, "--", ".", fine=False)
        tree.git("read-tree", "--reset", "-u", name)
        for outcome in scan(walk([str(tree.folder)], lambda *_: None), engine, ScanOptions(KEY), 1):
            found |= {
                (str(Path(hit.finding.path).relative_to(tree.folder)), hit.finding.fingerprint) for hit in outcome.hits
            }
    assert len(found) > 10
    assert found <= seen


def test_text_larger_than_is_looked_at_as_a_whole(
    engine: Engine, token: Token, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.scan.commits._WHOLE", 1000)
    repository = Repository(tmp_path / "r")
    lines = [f"line {n}\n" for n in range(400)]
    repository.commit({"f": "".join(lines)}, "one")
    lines[200] = f"key {token(1)}\n"
    repository.commit({"f": "".join(lines)}, "two")
    lines[202] = "beside\n"
    repository.commit({"f": "".join(lines)}, "three")
    assert look(engine, repository)[0] == [("f", 201, "two")]


def test_a_long_change_is_searched_in_pieces(
    engine: Engine, token: Token, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.scan.commits._WHOLE", 1000)
    monkeypatch.setattr("monitor.scan.prefilter._LONG", 2000)
    repository = Repository(tmp_path / "r")
    lines = [f"line {n}\n" for n in range(900)]
    lines[450] = f"key {token(1)}\n"
    repository.commit({"f": "".join(lines), "g": "first\n"}, "one")
    assert look(engine, repository)[0] == [("f", 451, "one")]


def test_a_secret_that_becomes_one_by_the_line_above_is_new(engine: Engine, token: Token, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "r")
    value = token(1)
    repository.commit({"f": f"a\n{value[:20]}\\\n{value[20:]}\n"}, "in halves")
    repository.commit({"f": f"a\n{value}\n"}, "whole")
    assert look(engine, repository)[0] == [("f", 2, "whole")]


def test_many_small_texts_are_one_search(engine: Engine, token: Token, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "r")
    names: Sequence[int] = range(300)
    stream = b"".join(
        b"commit refs/heads/main\ncommitter a <a> %d +0000\ndata 2\nc\nM 644 inline f%d\ndata %d\n%s\n"
        % (n, n, len(text), text)
        for n in names
        for text in [f"x\ny {token(n) if n % 100 == 7 else n}\n".encode()]
    )
    repository.git("fast-import", "--quiet", stdin=stream)
    git, searched = Git(repository.folder), []
    with git.blobs() as blobs:
        search = CommitSearch(engine, ScanOptions(KEY), blobs, lambda *_: None, everything=False)
        before = search.worker.search
        search.worker.search = lambda *a, **k: searched.append(1) or before(*a, **k)  # type: ignore[method-assign,func-returns-value]
        seen = list(GitHistory(git, Range(("--all",))).search(search))
    assert [one.hit.finding.path for one in seen] == ["f207", "f107", "f7"]
    assert len(searched) < 10
