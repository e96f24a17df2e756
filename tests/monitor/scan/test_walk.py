from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from monitor.scan.walk import walk


def tree(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")


def found(folder: Path, *paths: str, **options: bool) -> list[str]:
    problems: list[tuple[str, str]] = []
    paths = paths or (str(folder),)
    out = [os.path.relpath(e.path, folder) for e in walk(paths, lambda p, m: problems.append((p, m)), **options)]
    assert not problems
    return out


def test_files_come_sorted_folder_by_folder_without_git_and_empty_files(tmp_path: Path) -> None:
    tree(tmp_path, "b", "a/2", "a/1/z", "c/q", ".git/config", ".hidden", "sub/.git/config")
    (tmp_path / "empty").touch()
    assert found(tmp_path) == [".hidden", "b", "a/2", "a/1/z", "c/q"]
    assert ".git/config" in found(tmp_path, git=True)
    assert found(tmp_path, str(tmp_path / ".git")) == [".git/config"]


def test_links_inside_are_never_followed_but_a_link_that_is_asked_for_is(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    tree(outside, "secret", "deep/secret")
    inside = tmp_path / "inside"
    tree(inside, "plain")
    (inside / "file").symlink_to(outside / "secret")
    (inside / "folder").symlink_to(outside)
    (inside / "loop").symlink_to(inside)
    (inside / "gone").symlink_to("nowhere")
    assert found(inside) == ["plain"]
    assert found(inside, str(inside / "file")) == ["file"]
    assert found(inside, str(inside / "folder")) == ["folder/secret", "folder/deep/secret"]


def test_pipes_and_devices_are_left_out_of_trees(tmp_path: Path) -> None:
    tree(tmp_path, "plain")
    os.mkfifo(tmp_path / "pipe")
    assert found(tmp_path) == ["plain"]
    assert [e.size for e in walk([str(tmp_path / "pipe")], print)] == [None]


def test_size_limit_and_unreadable_folder(tmp_path: Path) -> None:
    tree(tmp_path, "small", "locked/file")
    (tmp_path / "large").write_bytes(b"x" * 100)
    skipped: list[str] = []
    problems: list[tuple[str, str]] = []
    locked = tmp_path / "locked"
    locked.chmod(0)
    try:
        entries = list(
            walk(
                [str(tmp_path), str(tmp_path / "none")],
                lambda *p: problems.append(p),
                max_size=50,
                skipped=skipped.append,
            )
        )
    finally:
        locked.chmod(0o755)
    assert [Path(e.path).name for e in entries if Path(e.path).parent == tmp_path] == ["small"]
    assert skipped == [str(tmp_path / "large")]
    assert (str(tmp_path / "none"), "No such file or directory") in problems
    if os.geteuid():
        assert (str(locked), "Permission denied") in problems


def test_gitignore_as_git_reads_it(tmp_path: Path) -> None:
    tree(tmp_path, "a.log", "keep.log", "build/x", "src/build/x", "src/deep/b.log", "src/deep/c.tmp", "src/q", "ex")
    (tmp_path / ".gitignore").write_text("*.log\n!keep.log\n/build/\n")
    (tmp_path / "src" / "deep" / ".gitignore").write_text("!b.log\n*.tmp\n")
    (tmp_path / ".git" / "info").mkdir(parents=True)
    (tmp_path / ".git" / "info" / "exclude").write_text("ex\n")
    everything = [".gitignore", "keep.log", "src/q", "src/build/x", "src/deep/.gitignore", "src/deep/b.log"]
    assert found(tmp_path, gitignore=True) == everything
    # A scan of a folder inside the repository still obeys the repository's own file.
    assert found(tmp_path, str(tmp_path / "src"), gitignore=True) == everything[2:]
    assert "a.log" in found(tmp_path)


def test_gitignore_above_a_folder_that_is_in_no_repository_has_no_say(tmp_path: Path) -> None:
    tree(tmp_path, "a/x.log", "a/b/y.log")
    (tmp_path / ".gitignore").write_text("*.log\n")
    (tmp_path / "a" / "b" / ".gitignore").write_text("y.log\n")
    assert found(tmp_path, str(tmp_path / "a"), gitignore=True) == ["a/x.log", "a/b/.gitignore"]


@pytest.mark.slow
def test_a_tree_deeper_than_python_recurses(tmp_path: Path) -> None:
    folder = tmp_path
    here = os.getcwd()
    try:
        os.chdir(tmp_path)
        for _ in range(1200):  # paths longer than PATH_MAX would be another story
            os.mkdir("d")
            os.chdir("d")
        Path("leaf").write_text("x")
    finally:
        os.chdir(here)
    try:
        assert [Path(e.path).name for e in walk([str(folder)], print)] == ["leaf"]
    finally:  # pytest could not
        subprocess.run(["rm", "-rf", str(folder / "d")], check=True)


def test_gitignore_takes_names_that_are_not_utf8(tmp_path: Path) -> None:
    for name in (b"a\xff.txt", b"b\xfe.log"):
        (tmp_path / os.fsdecode(name)).write_text("x")
    (tmp_path / ".gitignore").write_bytes(b"*.log\n")
    assert found(tmp_path, gitignore=True) == [".gitignore", os.fsdecode(b"a\xff.txt")]
