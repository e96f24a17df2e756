"""An entry of the inventory read to its end, or as far as it goes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from monitor.clients.client import ServiceError
from monitor.common.tasks import within
from monitor.inventory.keep import Enrolled, keep
from monitor.inventory.managers import load_manager, make_rotator
from monitor.inventory.managers.base import ManagerConfig

if TYPE_CHECKING:
    from monitor.domain.model import SecretVersion
    from monitor.inventory.held import Manager, Rotator
    from monitor.store import Store
    from monitor.store.inventory import Difference

__all__ = ["faults", "read", "sync"]

Client = TypeVar("Client", "Manager", "Rotator")

_FAREWELL = 5.0  # seconds to log out


async def read(
    config: ManagerConfig, key: bytes, redact: Callable[[str], str], take: Callable[[Enrolled], object]
) -> str:
    """Hand all that the manager holds to `take`. Returns why that is not the whole of it; empty: it is."""

    async def whole(manager: Manager) -> list[str]:
        async with contextlib.aclosing(manager.held()) as holding:  # type: ignore[type-var]
            async for held in holding:
                for enrolled in keep(held, config, key, redact):
                    take(enrolled)
        return []

    return "".join(map(redact, await _asked(config, load_manager(config.type), whole)))


async def sync(
    store: Store, config: ManagerConfig, key: bytes, redact: Callable[[str], str], *, accept: bool = False
) -> tuple[Difference, str]:
    """Keep what the manager holds. Returns what is new of it, and why it is not the whole; empty: it is. `accept`: what
    it does not hold is gone, however much that is."""
    found: list[SecretVersion] = []
    error = await read(config, key, redact, lambda enrolled: found.append(enrolled[0]))
    told = await store.inventory.save(config.name, found, whole=not error, error=error, accept=accept)
    return told, error or told.doubt


async def faults(config: ManagerConfig) -> list[str]:
    """What is wrong with an entry's access, and with that of who may have new values made."""
    wrong = await _asked(config, load_manager(config.type), lambda manager: manager.doctor())
    rotator = make_rotator(config)
    if rotator is not None:
        wrong += [f"rotate: {problem}" for problem in await _asked(config, lambda _: rotator, lambda one: one.fit())]
    return wrong


async def _asked(
    config: ManagerConfig, make: Callable[[ManagerConfig], Client], what: Callable[[Client], Awaitable[list[str]]]
) -> list[str]:
    """What it says, or why it says nothing."""
    try:
        client = make(config)
        try:
            async with asyncio.timeout(config.timeout):
                return await what(client)
        finally:
            await within(_FAREWELL, client.close())  # who did not answer before need not answer now
    except TimeoutError:
        late = f"it was not read to its end within {config.timeout:.0f} s"
        why = "its manager does not answer, or holds so much that `timeout` of the entry must be longer"
        return [f"inventory {config.name}: {late}: {why}"]
    except ServiceError as error:
        return [str(error)]
    except Exception as error:  # noqa: BLE001 - a provider that answers nonsense; its text may quote a value
        return [f"inventory {config.name}: what it answered could not be read ({type(error).__name__})"]
