from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from detectors.match.engine import Engine
from detectors.rules.template import expand
from monitor.audit.check import Evidence, Subject
from monitor.audit.settings import AuditConfig
from monitor.audit.tree import Tree
from monitor.config.config import Config, load
from tests.detectors import texts
from tests.fakes.github import FakeGitHub

KEY = b"k" * 32
# Passwords without a format of their own
ONE, TWO, THREE, FOUR, FIVE = (expand("{alnum:14}", seed) for seed in range(11, 16))
Make = Callable[..., Subject]
Configured = Callable[..., Subject]


@pytest.fixture(scope="session")
def engine() -> Engine:
    return texts.engine("vcs/github", "keys", "database/supabase")


@pytest.fixture
def token() -> Callable[[int], str]:
    """The nth synthetic GitHub token."""
    return lambda n: expand("ghp_{alnum:30}{crc32}", n)


@pytest.fixture
def make(engine: Engine) -> Make:
    """A subject of these folders: `make(folder, gateway=("a",), now=…)`."""

    def subject(*roots: Path, images: tuple[Path, ...] = (), now: float = 1.8e9, **audit: Any) -> Subject:
        config = Config(audit=AuditConfig(**audit))
        trees = tuple(Tree(root, engine, KEY, 1) for root in roots)
        return Subject(trees, images, config, engine, KEY, None, "there is no database", now)

    return subject


@pytest.fixture
async def github() -> AsyncIterator[FakeGitHub]:
    async with FakeGitHub() as fake:
        yield fake
        assert fake.violations == []


@pytest.fixture
def configured(make: Make, github: FakeGitHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Configured:
    monkeypatch.setenv("GITHUB_TOKEN", FakeGitHub.token)

    def subject(more: str = "", login: str = 'token = "env:GITHUB_TOKEN"', *roots: Path) -> Subject:
        (tmp_path / "config.toml").write_text(
            f'[[sources]]\nname = "gh"\ntype = "github"\norg = "acme"\nbase_url = "{github.url}"\n{login}\n{more}'
        )
        return replace(make(*roots), config=load(tmp_path / "config.toml"))

    return subject


async def verdicts(found: AsyncIterator[Evidence]) -> list[tuple[str, str]]:
    return [(one.verdict, one.text) async for one in found]


def write(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def git(folder: Path, *arguments: str) -> None:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True)


def repository(folder: Path, files: dict[str, str | bytes]) -> Path:
    """A repository with one commit of these files."""
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "-q", "-b", "main")
    write(folder, files)
    git(folder, "add", "-A", "-f")
    git(folder, "commit", "-q", "-m", "first")
    return folder
