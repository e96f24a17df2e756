from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from detectors.match.engine import Engine
from monitor.audit.formats import UnreadError
from monitor.audit.tree import Tree
from monitor.clients.git import GitError
from tests.monitor.audit.conftest import KEY, git, repository, write
from tests.monitor.audit.test_images import saved

Token = Callable[[int], str]


def test_code_is_what_git_tracks_or_would(engine: Engine, tmp_path: Path) -> None:
    folder = repository(tmp_path / "r", {"a.py": "x", "gone.py": "x", "sub/b.py": "x", ".gitignore": "*.log\n.env\n"})
    write(folder, {"new.py": "x", "x.log": "x", ".env": "A=b", "forced.log": "x", "hidden.py": "x"})
    (folder / ".git/info/exclude").write_text("hidden.py\n")  # nobody else's, so it does not count
    git(folder, "add", "-f", "forced.log")
    (folder / "gone.py").unlink()
    (folder / "link.py").symlink_to("/etc/passwd")
    tree = Tree(folder, engine, KEY, 1)
    assert tree.code == [".gitignore", "a.py", "forced.log", "hidden.py", "new.py", "sub/b.py"]
    assert tree.environment == [".env"]
    assert tree.problems == []


def test_without_git_code_is_all_but_env_files(engine: Engine, tmp_path: Path) -> None:
    write(tmp_path, {"a.py": "x", ".env.production": "A=b", ".env.example": "A=b"})
    tree = Tree(tmp_path, engine, KEY, 1)
    with pytest.raises(GitError):
        _ = tree.git
    assert sorted(tree.code) == [".env.example", "a.py"]
    assert tree.examples == [".env.example"]


@pytest.mark.parametrize("content", ["rubbish", "gitdir: /nowhere\n", "gitdir: ../r/.git\n"])
def test_a_git_that_is_a_file(content: str, engine: Engine, tmp_path: Path) -> None:
    repository(tmp_path / "r", {"a": "x"})
    folder = write(tmp_path / "f", {".git": content, "b.py": "x"})
    tree = Tree(folder, engine, KEY, 1)
    assert "b.py" in tree.code


def test_a_repository_inside_is_told(engine: Engine, tmp_path: Path) -> None:
    folder = repository(tmp_path / "r", {"a": "x"})
    repository(folder / "inner", {"b": "x"})
    tree = Tree(folder, engine, KEY, 1)
    assert tree.code
    assert [name for name, _ in tree.problems] == ["inner"]


def test_names_of_env_files_and_of_their_examples() -> None:
    for name in (".env", "a/.env.local", ".env.production", "web.env", ".envrc"):
        assert Tree.is_environment(name), name
    for name in (".env.example", "a/.env.sample", ".env.dist", "environment.py", "env.ts", "venv"):
        assert not Tree.is_environment(name), name


def test_what_the_rules_find_is_by_file_and_what_is_silenced_is_counted(
    engine: Engine, token: Token, tmp_path: Path
) -> None:
    write(tmp_path, {"a": f"x\n{token(1)}\n", "b": f"{token(2)}  # gitleaks:allow\n"})
    scanned = Tree(tmp_path, engine, KEY, 1).scanned
    assert {name: [one.line for one in found] for name, found in scanned.findings.items()} == {"a": [2]}
    assert scanned.silenced == 1


def test_a_text_is_bounded_and_no_link_is_followed(engine: Engine, tmp_path: Path) -> None:
    write(tmp_path, {"a": "x", "big": b"x" * ((1 << 20) + 1)})
    (tmp_path / "link").symlink_to("a")
    os.mkfifo(tmp_path / "pipe")
    tree = Tree(tmp_path, engine, KEY, 1)
    assert tree.text("a") == "x"
    for name in ("big", "link", "gone", "a\0b"):
        with pytest.raises(UnreadError):
            tree.text(name)
    assert tree.text("pipe") == ""


def test_an_image_is_no_code(engine: Engine, tmp_path: Path) -> None:
    write(tmp_path, {"a.py": "x"})
    saved(tmp_path / "app.tar", [{"etc/x": b"y"}])
    write(tmp_path, {"other.tar": b"no archive"})
    tree = Tree(tmp_path, engine, KEY, 1)
    assert tree.images == ["app.tar"]
    assert sorted(tree.code) == ["a.py", "other.tar"]
    assert not tree.is_image
    assert Tree(tmp_path / "app.tar", engine, KEY, 1).is_image
