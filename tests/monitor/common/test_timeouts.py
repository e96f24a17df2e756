from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any

import pytest

import monitor
from monitor.common.timeouts import mended


class Old(asyncio.Timeout):  # type: ignore[misc]
    """As in Python 3.11.2: told only where no request to end is left."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Any:
        try:
            return await super().__aexit__(kind, error, trace)
        except TimeoutError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                return None
            raise


async def fail() -> None:
    raise RuntimeError


async def behind_a_group(timeout: Callable[[], asyncio.Timeout]) -> str:
    """In a task that goes on behind a group of which a task failed."""
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
    except* RuntimeError:
        pass
    try:
        async with timeout():
            await asyncio.sleep(60)
    except TimeoutError:
        return "told"
    return "not told"


async def while_it_ends(timeout: Callable[[], asyncio.Timeout]) -> str:
    """In a task that was cancelled and cleans up."""
    told: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            try:
                async with timeout():
                    await asyncio.sleep(60)
            except TimeoutError:
                told.append("told")

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    return "".join(told) or "not told"


@pytest.mark.parametrize("where", [behind_a_group, while_it_ends])
@pytest.mark.parametrize("base", [asyncio.Timeout, Old])
async def test_a_timeout_is_told_in_a_task_that_was_asked_to_end_before(where: Any, base: Any) -> None:
    now = asyncio.get_running_loop().time
    assert await where(lambda: mended(base)(now() + 0.01)) == "told"


@pytest.mark.parametrize("where", [behind_a_group, while_it_ends])
async def test_what_this_python_gives_is_right_once_the_package_is_imported(where: Any) -> None:
    assert monitor
    assert await where(lambda: asyncio.timeout(0.01)) == "told"


async def test_without_it_nobody_is_told() -> None:
    left = []

    def timeout() -> asyncio.Timeout:
        left.append(task.cancelling())
        return Old(asyncio.get_running_loop().time() + 0.01)

    task = asyncio.create_task(behind_a_group(timeout))
    await asyncio.wait([task])
    assert left == [0 if sys.version_info >= (3, 13) else 1], "of later Pythons a group leaves no request to end behind"
    assert task.cancelled() is (left == [1])


async def test_an_end_that_is_asked_for_meanwhile_stays_one() -> None:
    now = asyncio.get_running_loop().time

    async def work() -> None:
        async with mended(Old)(now() + 60):
            await asyncio.sleep(60)

    task = asyncio.create_task(work())
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


def test_libraries_get_it_as_well() -> None:
    """`asyncio.timeout` and `timeout_at` make what the module holds, whoever calls them."""
    code = (
        "import asyncio; from monitor.common.timeouts import mend; old = asyncio.Timeout; mend()\n"
        "async def made(): return asyncio.timeout(1), asyncio.timeout_at(1)\n"
        "assert all(type(one) is asyncio.Timeout is not old for one in asyncio.run(made()))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
