"""What ends and what begins is recorded together, and before anything else happens."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from monitor.common.tasks import cancel
from monitor.domain.model import Finding, Position
from monitor.sources.file.source import FileConfig, FileSource
from monitor.sources.file.tracker import WATERMARK, Tracker
from tests.fakes.intake import FakeIntake, running, until


class Recording(FakeIntake):
    """Keeps what was recorded in one go, apart from turns."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[list[Position]] = []

    async def record(self, findings: Iterable[Finding], positions: Iterable[Position]) -> int:
        self.records.append(list(positions))
        return await super().record(findings, self.records[-1])


@pytest.fixture
def intake() -> Recording:
    return Recording()


def source(intake: FakeIntake, log: Path) -> FileSource:
    keys = {"include": [str(log)], "start_at": "beginning", "reconcile": "50ms"}
    config = FileConfig.model_validate({"name": "services", "type": "file", **keys})
    return FileSource(config, intake, b"k" * 32)


async def test_the_first_look_is_one_transaction(intake: Recording, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_text("<1>\n")
    async with running(source(intake, log)):
        await until(lambda: intake.marks == [1])
    assert [{p.key == WATERMARK for p in record} for record in intake.records] == [{True, False}]


async def test_what_a_look_opened_that_was_cancelled_is_closed(
    intake: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "app.log"
    log.write_text("<1>\n")
    opened, going_on = threading.Event(), threading.Event()
    recognise = Tracker._recognise

    def slowly(*args: Any) -> object:
        found = recognise(*args)
        opened.set()
        going_on.wait(120)
        return found

    def descriptors() -> int:
        return sum(os.path.exists(one) and os.path.samefile(one, log) for one in Path("/proc/self/fd").iterdir())

    monkeypatch.setattr(Tracker, "_recognise", slowly)
    looking = asyncio.create_task(source(intake, log).run(once=False))
    await asyncio.to_thread(opened.wait, 120)
    await cancel(looking)
    assert descriptors() == 1
    going_on.set()
    await until(lambda: not descriptors())


async def test_a_rotation_while_down_is_one_transaction(intake: Recording, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_text("<1>\n")
    async with running(source(intake, log)):
        await until(lambda: intake.marks == [1])
    log.rename(tmp_path / "app.log.2")
    (tmp_path / "app.log.1").write_text("<2>\n")
    log.write_text("<3>\n")
    intake.records.clear()
    async with running(source(intake, log)):
        await until(lambda: intake.marks == [1, 2, 3])
    (record,) = intake.records
    paths = {p.state["path"] for p in record if p.state}
    assert paths == {str(log), f"{log}.1", f"{log}.2"}


async def test_a_content_that_ends_and_the_one_that_follows_are_one_transaction(
    intake: Recording, tmp_path: Path
) -> None:
    log = tmp_path / "app.log"
    log.write_text("<1>\n")
    async with running(source(intake, log)):
        await until(lambda: intake.marks == [1])
        await until(lambda: any(state["offset"] for state in intake.files()))
        intake.records.clear()
        log.write_text("other <2>\n")
        await until(lambda: intake.marks == [1, 2])
    (record,) = intake.records
    assert sorted("ended" in (p.state or {}) for p in record) == [False, True]
