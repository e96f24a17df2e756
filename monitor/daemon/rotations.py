"""Rotation beside the rest: what is overdue becomes an incident, what is due soon is told, and steps are seen done."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from monitor.config.config import Config
from monitor.rotation.automatic import Automatic
from monitor.rotation.work import sweep
from monitor.store import Store, StoreError

__all__ = ["Rotations"]

log = structlog.get_logger(__name__)


class Rotations:
    """`config`: the one in force, asked each time. `again`: see Automatic."""

    def __init__(self, store: Store, key: bytes, config: Callable[[], Config], again: Callable[[str], object]) -> None:
        self._store = store
        self._key = key
        self._config = config
        self._automatic = Automatic(store, key, config, again)

    async def sweep(self) -> None:
        """Once, if there is an inventory."""
        if not self._config().inventory:
            return
        try:
            providers = await self._automatic.sweep()
            await sweep(self._store, self._config().rotation, self._key, providers)
        except (StoreError, LookupError) as error:  # trouble that the database tells of; or an incident has just gone
            log.debug("rotations are looked at again soon", reason=type(error).__name__)
