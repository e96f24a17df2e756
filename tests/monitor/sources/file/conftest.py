from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from monitor.sources.file import source
from monitor.sources.file.source import FileConfig, FileSource
from tests.fakes.intake import FakeIntake


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits half a minute for the last word of an open line."""
    monkeypatch.setattr(source, "OPEN", 0.3)


@pytest.fixture
def folders(monkeypatch: pytest.MonkeyPatch) -> Event:
    """Cleared, descriptors are short: no folder can be read."""
    readable, real = Event(), os.scandir
    readable.set()

    def scandir(path: Any = ".") -> Any:
        if not readable.is_set():
            raise OSError(errno.EMFILE, "Too many open files")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    return readable


@pytest.fixture
def intake() -> FakeIntake:
    return FakeIntake()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / "logs").mkdir()
    return tmp_path / "logs/app.log"


@pytest.fixture
def make(intake: FakeIntake, log: Path) -> Callable[..., FileSource]:
    def new(**keys: Any) -> FileSource:
        keys = {"include": [str(log)], "reconcile": "50ms", "quiet": "150ms", "start_at": "beginning"} | keys
        return FileSource(FileConfig(name="services", type="file", **keys), intake, b"k" * 32)

    return new
