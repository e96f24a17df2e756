"""A watch on folders: hints within milliseconds of what changes in them. A survey sees what it misses."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import partial

import structlog
import watchfiles

__all__ = ["Changes", "watch_folders"]

Changes = set[tuple[watchfiles.Change, str]]

_log = structlog.get_logger(__name__)


async def watch_folders(
    folders: Callable[[], Mapping[str, int]],
    on_changes: Callable[[Changes], None],
    on_gap: Callable[[], None],
    *,
    deep: bool,
    pause: float,
    source: str,
) -> None:
    """Watch until cancelled; the callbacks run in the event loop.

    `folders`: those to watch now, with their inodes: one that was made anew needs a new watch. Asked every `pause`
    seconds. `deep`: with all folders below them. `on_gap`: things may have happened unseen.
    """
    loop = asyncio.get_running_loop()

    def tell(changes: Changes) -> None:
        loop.call_soon_threadsafe(on_changes, changes)

    def end(broken: asyncio.Future[str], reason: str) -> None:
        loop.call_soon_threadsafe(broken.set_result, reason)

    while True:
        watched = folders()
        if not watched:
            await asyncio.sleep(pause)
            continue
        stop = threading.Event()
        broken: asyncio.Future[str] = loop.create_future()
        thread = threading.Thread(
            target=_watch, args=(list(watched), deep, stop, tell, partial(end, broken)), name="watch", daemon=True
        )
        thread.start()
        try:
            while not broken.done() and folders() == watched:
                await asyncio.wait([broken], timeout=pause)
            if broken.done():
                _log.info("watch restarted", source=source, error=broken.result())
                await asyncio.sleep(1.0)
        finally:
            stop.set()
        on_gap()


def _watch(
    folders: Iterable[str],
    deep: bool,
    stop: threading.Event,
    tell: Callable[[Changes], object],
    end: Callable[[str], object],
) -> None:
    """In a thread of its own. Steps of 5 ms: 8 ms from a write to the hint, 0.4 % of a core."""
    reason = "ended"
    try:
        for changes in watchfiles.watch(
            *(folder for folder in folders if os.path.isdir(folder)),
            watch_filter=None,
            debounce=10,
            step=5,
            rust_timeout=60_000,
            stop_event=stop,
            recursive=deep,
            ignore_permission_denied=True,
            raise_interrupt=False,
        ):
            tell(changes)
    except Exception as error:  # noqa: BLE001 - a hint only: a name that is not UTF-8, an exhausted limit, a vanished folder
        reason = f"{type(error).__name__}: {error}"
    if not stop.is_set():
        end(reason)
