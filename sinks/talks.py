"""Work in threads that cannot be called back: who gives up waiting finds it again, so that nothing is sent twice."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from monitor.common.http import RemoteError

__all__ = ["TALKS", "Talks"]

TALKS = 8  # at a time: who waits for them gives up before some servers answer
REMEMBERED = 100  # outcomes that nobody has come back for

_T = TypeVar("_T")


class Talks(Generic[_T]):
    """`name` of their threads; `who` has not answered, where too many are under way."""

    def __init__(self, name: str, who: str) -> None:
        self._name, self._who = name, who
        self._talks: dict[str, asyncio.Future[_T | RemoteError]] = {}  # by notification

    async def outcome(self, id_: str, prepare: Callable[[], Callable[[], _T | RemoteError]]) -> _T:
        """What came of the talk about this notification. `prepare` gives what is done in the thread, unless that is
        under way; a failure is returned by it, so that no traceback passes through what it knows. Raises RemoteError.
        """
        talk = self._talks.get(id_)
        if talk is None:
            talk = self._talks[id_] = self._begin(prepare())
        outcome = await asyncio.shield(talk)
        self._talks.pop(id_, None)
        if isinstance(outcome, RemoteError):
            raise outcome
        return outcome

    def _begin(self, work: Callable[[], _T | RemoteError]) -> asyncio.Future[_T | RemoteError]:
        for id_ in [id_ for id_, talk in self._talks.items() if talk.done()][:-REMEMBERED]:
            del self._talks[id_]  # nobody came back for it
        if sum(not talk.done() for talk in self._talks.values()) >= TALKS:
            raise RemoteError(f"{self._who} has not answered to {TALKS} messages yet", retry=True)

        loop = asyncio.get_running_loop()
        talk: asyncio.Future[_T | RemoteError] = loop.create_future()

        def run() -> None:
            outcome: _T | RemoteError
            try:
                outcome = work()
            except Exception as error:  # noqa: BLE001 # else everybody waits for ever; its text may show a login
                outcome = RemoteError(f"unexpected {type(error).__name__} in the conversation", retry=True)
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(talk.set_result, outcome)

        threading.Thread(target=run, name=self._name, daemon=True).start()
        return talk
