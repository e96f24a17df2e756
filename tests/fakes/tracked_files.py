"""What befalls files while nobody looks at them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from monitor.sources.file.source import FileSource
from monitor.sources.file.tracked_file import TrackedFile
from tests.fakes.logs import append, compress, line


def held(monkeypatch: pytest.MonkeyPatch, wanted: Callable[[TrackedFile], bool]) -> asyncio.Event:
    """No turn for these lives before this is set."""
    going_on, turn = asyncio.Event(), FileSource._turn

    async def late(source: FileSource, tracked: TrackedFile, *args: Any) -> None:
        if wanted(tracked):
            await going_on.wait()
        await turn(source, tracked, *args)

    monkeypatch.setattr(FileSource, "_turn", late)
    return going_on


async def rotated(log: Path, mark: int, number: int, suffix: str = "") -> None:
    """A file that came and went while nobody looked."""
    await asyncio.sleep(0.02)  # each has a time of its own
    append(log.with_name(f"app.log.{number}"), line(mark))
    if suffix:
        compress(log.with_name(f"app.log.{number}"), suffix)
