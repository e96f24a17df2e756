from __future__ import annotations

import os
from pathlib import Path

import pytest

from monitor.sources.file.globs import Globs


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def found(root: Path, globs: Globs) -> set[str]:
    return {os.path.relpath(path, root) for path in globs.paths()}


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        (["*.log"], [], {"a.log", "b.log"}),
        (["a.log"], [], {"a.log"}),
        (["?.log"], ["b.*"], {"a.log"}),
        (["[!a].log"], [], {"b.log"}),
        (["*/x.log"], [], {"d/x.log", "e/x.log"}),
        (["**/*.log"], [], {"a.log", "b.log", "d/x.log", "e/x.log", "d/deep/er/y.log"}),
        (["**/*.log"], ["d/**"], {"a.log", "b.log", "e/x.log"}),
        (["**/*.log"], ["x.log"], {"a.log", "b.log", "d/deep/er/y.log"}),
        (["**/*.log"], ["*/x.log"], {"a.log", "b.log", "d/deep/er/y.log"}),
        (["d/**/y.log"], [], {"d/deep/er/y.log"}),
        (["d/**"], [], {"d/x.log", "d/notes", "d/deep/er/y.log"}),
        (["a.log", "*.log"], [], {"a.log", "b.log"}),
        ([".*.log"], [], {".hidden.log"}),
    ],
)
def test_what_matches(tmp_path: Path, include: list[str], exclude: list[str], expected: set[str]) -> None:
    touch(tmp_path, "a.log", "b.log", ".hidden.log", "d/x.log", "e/x.log", "d/deep/er/y.log", "d/notes", ".git/z.log")
    touch(tmp_path, "d/old.log.1.gz", "a.txt.gz")
    globs = Globs(
        [str(tmp_path / pattern) for pattern in include],
        [str(tmp_path / pattern) if "/" in pattern else pattern for pattern in exclude],
    )
    assert found(tmp_path, globs) == expected
    everything = [os.path.join(base, name) for base, _, names in os.walk(tmp_path) for name in names]
    assert {os.path.relpath(path, tmp_path) for path in everything if globs.matches(path)} == expected


def test_changes_are_seen_at_once_even_within_one_clock_tick(tmp_path: Path) -> None:
    globs = Globs([str(tmp_path / "**/*.log")])
    for index in range(50):
        touch(tmp_path, f"s{index % 5}/{index}.log")
        assert len(globs.paths()) == index + 1
    (tmp_path / "s0/0.log").rename(tmp_path / "s0/0.old")
    assert len(globs.paths()) == 49


def test_an_unchanged_tree_is_not_listed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "d/a.log", "d/b.log")
    for folder in (tmp_path, tmp_path / "d"):
        os.utime(folder, (1_000_000_000, 1_000_000_000))
    globs = Globs([str(tmp_path / "**/*.log")])
    first = globs.paths()
    monkeypatch.setattr(os, "scandir", lambda _: pytest.fail("listed again"))
    assert globs.paths() is first


def test_folders_to_watch(tmp_path: Path) -> None:
    touch(tmp_path, "d/x.log", "e/x.log", "t/u/v.log")
    globs = Globs([str(tmp_path / "*/x.log"), str(tmp_path / "t/**/*.log"), str(tmp_path / "gone/*.log")])
    globs.paths()
    assert globs.folders == {
        str(folder): folder.stat().st_ino
        for folder in (tmp_path, tmp_path / "d", tmp_path / "e", tmp_path / "t", tmp_path / "t/u")
    }


def test_missing_and_unreadable_folders_are_named_until_they_work(tmp_path: Path) -> None:
    globs = Globs([str(tmp_path / "later/*.log"), str(tmp_path / "file/*.log")])
    touch(tmp_path, "file")
    assert globs.paths() == []
    assert globs.problems == {
        str(tmp_path / "later"): "folder does not exist; waiting for it",
        str(tmp_path / "file"): "folder cannot be read: Not a directory",
    }
    touch(tmp_path, "later/a.log")
    assert found(tmp_path, globs) == {"later/a.log"}
    assert str(tmp_path / "later") not in globs.problems


def test_linked_folders_are_entered_when_named_but_not_by_depth(tmp_path: Path) -> None:
    touch(tmp_path, "real/a.log")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "real/loop").symlink_to(tmp_path)
    assert found(tmp_path, Globs([str(tmp_path / "*/a.log")])) == {"real/a.log", "link/a.log"}
    assert found(tmp_path, Globs([str(tmp_path / "**/a.log")])) == {"real/a.log"}


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/caf\xe9.log"
    with open(name, "wb"):
        pass
    globs = Globs([str(tmp_path / "*.log")])
    assert [os.fsencode(path) for path in globs.paths()] == [name]
    assert globs.matches(os.fsdecode(name))


def test_what_the_configuration_names_by_itself() -> None:
    globs = Globs(["/logs/web", "/logs/web.*", "/logs/[a]"], ["/logs/web.2"])
    assert [globs.names(path) for path in ("/logs/web", "/logs/web.1", "/logs/web.2", "/logs/a")] == [True] + [
        False
    ] * 3
