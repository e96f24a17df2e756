"""Forms whose answer the store does not keep: each is acted on once, and who sent it reads what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from monitor.web.console.visitor import Posted, visitor

__all__ = ["ANSWER", "FormAnswer", "FormAnswers", "RefusedError"]

ANSWER = "answer"  # the parameter of an address that names a form whose answer is shown
_MOST = 1000  # forms that are remembered


class RefusedError(Exception):
    """It was not done; the text says why."""


@dataclass(frozen=True, slots=True)
class FormAnswer:
    """`done` False: it was refused, or failed."""

    text: str
    done: bool = True


class FormAnswers:
    """Of one page. In memory: when the process ends, a page shows what is, and nothing of how it came."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], asyncio.Task[FormAnswer]] = {}

    async def once(self, form: Posted, work: Callable[[], Awaitable[str]], back: str) -> web.HTTPSeeOther:
        """Do it, unless this form was sent before; returns the way to where its answer is shown. What the store cannot
        do may be sent again. Raises StoreError. `work` goes on where the visitor goes away, and may raise
        RefusedError."""
        key = (form.by.name, form.once)
        if (task := self._known.get(key)) is None:
            task = self._known[key] = asyncio.create_task(_answer(work))
            task.add_done_callback(lambda task: task.cancelled() or task.exception())  # where the visitor went away
            while len(self._known) > _MOST:
                self._known.pop(next(iter(self._known)))
        try:
            await asyncio.shield(task)
        except Exception:
            self._known.pop(key, None)
            raise
        return web.HTTPSeeOther(f"{back}{'&' if '?' in back else '?'}{ANSWER}={form.once}")

    def shown(self, request: web.Request) -> FormAnswer | None:
        """The answer that this address names, where it is for who looks."""
        task = self._known.get((visitor(request).name, request.query.get(ANSWER, "")))
        return task.result() if task is not None and task.done() and not task.exception() else None


async def _answer(work: Callable[[], Awaitable[str]]) -> FormAnswer:
    try:
        return FormAnswer(await work())
    except RefusedError as error:
        return FormAnswer(str(error), done=False)
