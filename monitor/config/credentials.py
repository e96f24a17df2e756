"""The references to credentials that a configuration holds, and which of them cannot be resolved here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from pydantic import BaseModel

from monitor.common.credential import Credential, CredentialError

if TYPE_CHECKING:
    from monitor.config.config import Config
    from sinks.base import SinkConfig

__all__ = ["credentials", "unresolved"]

_TABLES = ("monitor", "http", "console", "sources", "sinks", "verify", "actions", "inventory")


def credentials(config: Config) -> Iterator[tuple[str, Credential]]:
    """Every reference with its key."""
    for table in _TABLES:
        yield from _within(table, getattr(config, table))


def unresolved(sinks: Iterable[SinkConfig]) -> dict[str, str]:
    """Key → why its reference cannot be resolved by this process. Blocking."""
    found = {}
    for index, sink in enumerate(sinks):
        for key, credential in _within(f"sinks[{index}]", sink):
            try:
                credential.resolve()
            except CredentialError as error:
                found[key] = f'sink "{sink.name}": {error}'
    return found


def _within(path: str, value: object) -> Iterator[tuple[str, Credential]]:
    if isinstance(value, Credential):
        yield path, value
    elif isinstance(value, BaseModel):
        for name, inner in value:
            yield from _within(f"{path}.{name.rstrip('_')}", inner)
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _within(f"{path}.{name}", inner)
    elif isinstance(value, tuple):
        for index, inner in enumerate(value):
            yield from _within(f"{path}[{index}]", inner)
