from __future__ import annotations

import asyncio

from monitor.common.tasks import cancel


async def test_a_task_has_ended_when_cancel_returns_also_one_that_fails_at_its_end() -> None:
    ended: list[str] = []

    async def work(fails: bool) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append("fails" if fails else "ends")
            if fails:
                raise RuntimeError

    for fails in (False, True):
        task = asyncio.create_task(work(fails))
        await asyncio.sleep(0)
        await cancel(task)
        assert task.done()
    assert ended == ["ends", "fails"]
