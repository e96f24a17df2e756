"""The other side of each sink, and the way into each source, as the test of that component has them.

`PEERS` in the test of a sink: name → what opens the other side of it, with a credential to log in and a folder of its
own. `way_in` in the test of a source: what opens the place that it reads, with a folder. Both are found by the tables
of sinks and sources; the tests for leaks and canaries run over all.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from monitor.sources import SOURCES
from sinks import SINKS
from tests.fakes.server import FAULTS, FakeServer, Fault

__all__ = ["Open", "OpenWay", "Peer", "Way", "peers", "served", "table", "test_of", "ways"]


@dataclass
class Peer:
    """`keys` of a sink's table lead to it; `environment`: what their references name. `faults`: by name, what makes the
    next notification fail; each is given the sink. `received`: all that came; None: it is no system of its own."""

    keys: Mapping[str, Any]
    faults: Mapping[str, Callable[[Any, pytest.MonkeyPatch], Any]]
    environment: Mapping[str, str] = field(default_factory=dict)
    received: Callable[[], list[bytes]] | None = None


@dataclass
class Way:
    """`keys` of a source's table lead to where `feed` puts lines."""

    keys: Mapping[str, Any]
    feed: Callable[[Sequence[str]], Awaitable[None]]
    environment: Mapping[str, str] = field(default_factory=dict)


Open = Callable[[str, Path], AbstractAsyncContextManager[Peer]]
OpenWay = Callable[[Path], AbstractAsyncContextManager[Way]]


def test_of(target: str) -> str:
    """The test of what a table names as "package.module:Class"."""
    package, _, module = target.partition(":")[0].rpartition(".")
    return f"tests.{package}.test_{module}"


test_of.__test__ = False  # type: ignore[attr-defined]


def _declared(target: str, name: str) -> Any:
    there = test_of(target)
    return getattr(import_module(there), name, None) if find_spec(there) else None


def peers() -> Iterator[tuple[str, str, Open]]:
    """Names of peers with the type of their sink."""
    for kind, target in SINKS.items():
        for name, opened in (_declared(target, "PEERS") or {}).items():
            yield name, kind, opened


def ways() -> Iterator[tuple[str, OpenWay]]:
    """By the type of the source."""
    for kind, target in SOURCES.items():
        if opened := _declared(target, "way_in"):
            yield kind, opened


def served(
    make: Callable[[str], FakeServer], reach: Callable[[Any, str], tuple[dict[str, Any], dict[str, str]]]
) -> Open:
    """A peer that speaks HTTP, with all the faults of a server; `reach`: keys and environment that lead there."""

    @asynccontextmanager
    async def opened(credential: str, folder: Path) -> Any:
        async with make(credential) as fake:
            keys, environment = reach(fake, credential)
            bodies = (f'{{"ok":false,"error":"{credential}"}}', f'{{"errors":["bad {credential}"]}}', credential)
            faults = FAULTS | {f"echo {number}": Fault(400, body=body) for number, body in enumerate(bodies)}
            yield Peer(
                keys,
                {name: lambda sink, patch, fault=fault: fake.faults.append(fault) for name, fault in faults.items()},
                environment,
                lambda: [f"{r.method} {r.path} {dict(r.headers)}".encode() + r.body for r in fake.requests],
            )

    return opened


def table(chapter: str, name: str, kind: str, keys: Mapping[str, Any]) -> str:
    """A component's table of the configuration."""
    rows = [
        f"[[{chapter}]]",
        *(f"{key} = {_toml(value)}" for key, value in {"name": name, "type": kind, **keys}.items()),
    ]
    return "\n".join(rows) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_toml(one)}" for key, one in value.items()) + " }"
    return json.dumps(value, default=str)
