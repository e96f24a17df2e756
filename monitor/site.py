"""The one composition root: what a configuration is made into — rules, engine, key, scanner, store.

The daemon builds on it, and commands use it without the daemon. What is heavy is imported where it is made, as commands
that need rules only start in a moment.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from monitor.common.backoff import backoff
from monitor.common.problems import Problem
from monitor.common.severity import Severity
from monitor.config import state
from monitor.config.config import Config
from monitor.config.locate import ConfigError

if TYPE_CHECKING:
    import asyncio

    from detectors.match.engine import Engine
    from detectors.rules.rule import Rule
    from monitor.scanning.redact import Redactor
    from monitor.scanning.scanner import Scanner
    from monitor.snapshot import Snapshot
    from monitor.store import Store
    from monitor.store.crash_mark import BlockMarks

__all__ = [
    "Site",
    "Tell",
    "build_engine",
    "check_books",
    "make_redactor",
    "make_scanner",
    "open_site",
    "open_store",
    "present_store",
    "read_rules",
    "rule_errors",
]

_T = TypeVar("_T")

_FULL_FIRST, _FULL_LONGEST = 0.5, 10.0  # seconds between looks whether a full disk has room again
_CLOSING = 3.0  # seconds that the store may take to write what it has


class Tell(Protocol):
    """How trouble of the monitor itself is told: at most once `every` seconds for one `key`. Returns what is done once
    somebody was told; None: it was told not long ago."""

    def __call__(
        self,
        title: str,
        text: str = "",
        severity: Severity = "high",
        key: str | None = None,
        *,
        every: float = 3600.0,
    ) -> asyncio.Future[None] | None: ...


@dataclass(frozen=True, slots=True)
class Site:
    """What sources live in: in the daemon, or in a command that runs one of them (see monitor.host)."""

    scanner: Scanner
    store: Store
    snapshot: Snapshot
    tell: Tell


@contextmanager
def rule_errors(config: Config) -> Iterator[None]:
    """Turns RuleError into ConfigError: a bad rule file is a bad configuration."""
    from detectors.rules.rule import RuleError

    try:
        yield
    except RuleError as error:
        problems = []
        for text in error.problems:
            # `rules.packs: …` names its own key; the others name the rule's file.
            key, _, rest = text.partition(": ") if text.startswith("rules.") else ("rules", "", text)
            problems.append(Problem(key, rest))
        raise ConfigError(config.path, problems) from None


def read_rules(config: Config, *, cached: bool = True) -> list[Rule]:
    """The rules the configuration asks for. Blocking. Raises ConfigError with everything wrong about them.

    Without `cached` nothing is read or made in the state folder, which may be the wrong one.
    """
    from detectors.rules.load import load_rules

    cache = config.state_dir / "cache" if cached else None
    with rule_errors(config):
        asked = config.rules
        names = {"identifiers": asked.identifiers, "credentials": asked.credentials}
        return load_rules(asked.packs, asked.paths, asked.disable, cache, **names)


def build_engine(config: Config) -> Engine:
    """These rules, compiled; one's own are held against their examples first. Blocking. Raises ConfigError."""
    from detectors.match.engine import Engine
    from detectors.rules.rule import RuleError

    rules = read_rules(config)
    with rule_errors(config):
        engine = Engine.build(rules, config.state_dir / "cache")
        own = [rule for rule in rules if rule.family == "custom"]  # shipped ones are checked by our tests
        if own:
            from detectors.author.check import check_rules

            problems = check_rules(engine, own)
            if problems:
                raise RuleError(problems)
    return engine


def make_redactor(config: Config) -> Redactor:
    """What masks texts that people type. With the shipped rules alone where one's own cannot be read: a note about an
    incident must not wait for a mended rule file. Blocking."""
    from detectors.match.engine import Engine
    from detectors.rules.load import load_rules
    from monitor.scanning.redact import Redactor

    try:
        rules = read_rules(config)
    except ConfigError:
        rules = load_rules()
    return Redactor(Engine.build(rules, config.state_dir / "cache").worker())


def check_books(config: Config) -> None:
    """Raises ConfigError with everything wrong about runbooks of one's own. Blocking."""
    runbook_store = config.runbook_store
    problems = []
    for path in sorted(runbook_store.own.glob("*.toml")) if runbook_store.own else ():
        problems += [
            Problem("runbook.folder", ": ".join(filter(None, (path.name, wrong.key, wrong.message))))
            for wrong in runbook_store.parse(path)[1]
        ]
    if runbook_store.own is not None and not runbook_store.own.is_dir():
        problems.append(Problem("runbook.folder", "there is no such folder"))
    if problems:
        raise ConfigError(config.path, problems)


async def open_store(config: Config, *, repairs: bool = True, waiting: Callable[[str], None] | None = None) -> Store:
    """The configured database; see `Store.open`. Raises ConfigError and StoreError."""
    import asyncio

    from monitor.store import DriverError, Store

    url, node = state.database(config), config.monitor.node
    secret = await asyncio.to_thread(state.key, config)
    try:
        store = await Store.open(
            url,
            config.policy,
            procedure=config.procedure,
            node=node,
            secret=secret,
            access_rules=config.access_rules,
            repairs=repairs,
            waiting=waiting,
            folder=config.state_dir,
        )
    except DriverError as error:
        raise ConfigError(config.path, [Problem("monitor.database", str(error))]) from None
    try:
        await store.claim()
    except BaseException:
        await store.close(0.0)
        raise
    return store


@asynccontextmanager
async def present_store(config: Config) -> AsyncIterator[tuple[Store | None, str]]:
    """The configured database, or None and why there is none. It is neither made nor mended here."""
    from monitor.store import StoreError

    async with contextlib.AsyncExitStack() as stack:
        store, why = None, ""
        try:
            url = state.database(config)
            if isinstance(url, Path) and not url.exists():
                why = f"there is no database at {url} yet; `monitor run` makes it"
            else:
                store = await stack.enter_async_context(await open_store(config, repairs=False))
        except (ConfigError, StoreError) as error:
            why = str(error)
        yield store, why


def make_scanner(engine: Engine, key: bytes, workers: int = 1, marks: BlockMarks | None = None) -> Scanner:
    """A scanner; close it. For commands that scan without a store."""
    from monitor.scanning.scanner import Scanner

    return Scanner(engine, key, workers, marks)


@asynccontextmanager
async def open_site(
    config: Config,
    tell: Tell,
    snapshot: Snapshot | None = None,
    *,
    alone: bool = False,
    waiting: Callable[[str], None] | None = None,
) -> AsyncIterator[Site]:
    """The whole of it, until the block ends. Raises ConfigError and StoreError.

    `alone`: as the one daemon of this state, which also marks the blocks it works at. `waiting`: see `Store.open`.
    """
    import asyncio

    from monitor.common.process import mask_logs
    from monitor.snapshot import Snapshot
    from monitor.store.crash_mark import BlockMarks

    snapshot = snapshot or Snapshot()
    await _with_room(lambda: state.make_folder(config), waiting)
    key = await _with_room(lambda: state.key(config), waiting)
    engine = await asyncio.to_thread(build_engine, config)
    with contextlib.ExitStack() as stack:
        if alone:  # first of all: the marks are those of whoever is running
            await _with_room(lambda: stack.enter_context(_alone(config)), waiting)
        marks = BlockMarks(config.state_dir / "blocks.mark") if alone else None
        if marks is not None:
            stack.callback(marks.close)
        scanner = make_scanner(engine, key, config.workers, marks)
        stack.callback(scanner.close)
        mask_logs(scanner.redact)
        snapshot.scanner, snapshot.rules = scanner.stats, len(engine.rules)

        store = await open_store(config, waiting=waiting)
        try:
            yield Site(scanner, store, snapshot, tell)
        finally:
            await store.close(_CLOSING)


async def _with_room(work: Callable[[], _T], waiting: Callable[[str], None] | None) -> _T:
    """What the first start makes, a full disk must not end: no supervisor tries a bad configuration twice."""
    import asyncio

    failures = 0
    while True:
        try:
            return await asyncio.to_thread(work)
        except state.NoRoomError as error:
            if waiting is None:
                raise
            waiting(error.problems[0].message)
            failures += 1
            await asyncio.sleep(backoff(failures, _FULL_FIRST, _FULL_LONGEST))


@contextmanager
def _alone(config: Config) -> Iterator[None]:
    """Keep a second daemon away from the state of this one. Raises StoreError, and NoRoomError where the disk is full;
    the lock ends with the process."""
    from monitor.store import StoreError

    folder = config.state_dir
    try:
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        state.check_room(config.path, folder / "lock", error)
        yield  # the store tells what is wrong with the place
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno == errno.EWOULDBLOCK:  # others: a file system without locks
            os.close(descriptor)
            raise StoreError(
                f"{folder}: a monitor is running on this state already; stop it, or set another monitor.state_dir"
            ) from None
    try:
        yield
    finally:
        os.close(descriptor)
