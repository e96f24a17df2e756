"""A monitor that is killed again and again, and the marks that it has to find."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from monitor.sources.file.source import FileConfig, FileSource
from tests.fakes.intake import MortalIntake

__all__ = ["Mortal"]

PATIENCE = 60.0  # seconds, however busy the machine is


class Mortal:
    """Follows `include` until its intake dies, and is started again by whoever waits for it."""

    def __init__(self, include: Sequence[str], intake: MortalIntake) -> None:
        self.include = include
        self.intake = intake
        self.planted: list[int] = []
        self.task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self.intake.revive()
        keys = {"include": self.include, "start_at": "beginning", "reconcile": "40ms", "quiet": "60ms"}
        config = FileConfig.model_validate({"name": "services", "type": "file", **keys})
        self.task = asyncio.create_task(FileSource(config, self.intake, b"k" * 32).run(False))

    async def stop(self) -> None:
        task, self.task = self.task, None
        if task is None:
            return
        if task.done():
            task.result()
        task.cancel()
        await asyncio.wait([task])

    async def tick(self) -> None:
        """Whoever waits for a monitor that was killed starts it again."""
        if self.intake.dead.is_set():
            await self.stop()
        if self.task is None:
            self.start()
        elif self.task.done():
            self.task.result()

    async def waits(self, condition: Callable[[], bool], what: Callable[[], str]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, what()
            await self.tick()
            await asyncio.sleep(0.005)

    async def all_found(self) -> None:
        await self.waits(
            lambda: set(self.intake.marks) >= set(self.planted),
            lambda: f"missing {sorted(set(self.planted) - set(self.intake.marks))}",
        )

    def mark(self) -> bytes:
        self.planted.append(len(self.planted))
        return b"<%d>" % self.planted[-1]
