"""What a function of the store is given: an open transaction; and how its repositories get one."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar

from sqlalchemy import Connection

from monitor.access.judge import Rules
from monitor.common.severity import Severity
from monitor.routing.routes import Policy
from monitor.runbook.progress import Procedure
from monitor.store.heads import Head, Heads

__all__ = [
    "Cached",
    "Counts",
    "LoadedIncident",
    "RollbackHistory",
    "StoreRepository",
    "StoreSession",
    "Transaction",
    "durably",
    "read_only",
    "writes",
]

_T = TypeVar("_T")
_P = ParamSpec("_P")


@dataclass(slots=True)
class Counts:
    """What became of findings, for rates: where one caller's mistake took its part back, it may be counted twice."""

    findings: Counter[tuple[str, Severity]] = field(default_factory=Counter)  # new, by rule and severity
    repeated: int = 0  # known by their id
    suppressed: int = 0  # of secrets that are accepted for a while
    opened: int = 0  # incidents

    def add(self, other: Counts) -> None:
        self.findings.update(other.findings)
        self.repeated += other.repeated
        self.suppressed += other.suppressed
        self.opened += other.opened


@dataclass(slots=True)
class Cached(Generic[_T]):
    """What was read last, and of which `version` of the database: while that is the same, so is the value."""

    version: object = None
    value: _T | None = None


@dataclass(frozen=True, slots=True)
class LoadedIncident:
    """How an incident was found by the transaction that changes it (monitor.store.sealing): whether it was there, was
    sealed, and the seal held; the keyed hashes of its row and its actions with whether they fitted; `end`: how many
    entries its history had, and the hash of the last."""

    existed: bool
    sealed: bool
    sound: bool
    state: tuple[str, bool] | None
    actions: tuple[str, bool] | None
    turn: int
    end: tuple[int, str]
    seal: str


@dataclass(slots=True)
class RollbackHistory:
    """How often a database has forgotten, and as of which time sources know their positions: who knows them from before
    would pass over what is forgotten."""

    number: int = 0
    _read: dict[str, int] = field(default_factory=dict)
    _apart: set[str] = field(default_factory=set)

    def read(self, source: str) -> None:
        """It has its positions from the database as that is now."""
        if not source.startswith("@"):  # a ledger of losses is never read again: what it has is the latest
            self._read[source] = self.number

    def stale(self, source: str) -> bool:
        return self._read.get(source, self.number) < self.number

    def moves_apart(self, source: str) -> None:
        """It keeps more with its positions than a commit holds, which nobody remembers."""
        self._apart.add(source)

    def remembered(self) -> None:
        """All commits since were written again: who makes nothing else goes on where it is."""
        for source in self._read.keys() - self._apart:
            self._read[source] = self.number


@dataclass(slots=True)
class Transaction:
    """An open write transaction. `now`: seconds since the epoch, the same for all that happens in it; `node`: the host
    whose process this is; `secret`: what the trail is sealed with; `access`: who may read what.
    `counts` counts when it is committed."""

    connection: Connection
    policy: Policy
    now: float
    node: str
    procedure: Procedure
    secret: bytes = field(repr=False)
    access: Rules = field(default_factory=Rules)
    announced: bool = False
    silences: Any = None  # of the database, by what incidents are (monitor.store.silences), once somebody asks for them
    audible: Policy | None = None  # the policy with the silences of the database, once somebody has asked for it
    quiet: object = None  # what keeps sinks from hearing of incidents (monitor.store.suppression), likewise
    counts: Counts = field(default_factory=Counts)
    history: RollbackHistory = field(default_factory=RollbackHistory)
    # What is sealed at its end, and what this host then knows (monitor.store.sealing):
    heads: Heads | None = None
    touched: dict[str, LoadedIncident] = field(default_factory=dict)
    total: object = None
    learned: list[Head] = field(default_factory=list)

    def changed(self) -> None:
        """Incidents, their groups or silences are not as they were, or what was done is undone."""
        self.silences = self.audible = self.quiet = None

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """What fails within leaves nothing behind, neither in the database nor in what is known of it here."""
        failure: BaseException | None = None
        try:
            with self.connection.begin_nested():
                try:
                    yield
                except BaseException as error:
                    failure = error
                    raise
        except BaseException as error:
            self.changed()
            if failure is not None and error is not failure:
                # SQLite has taken back the whole transaction, as it may on a full disk, and there is no part to end.
                raise failure from None
            raise

    def announce(self) -> None:
        """It gives delivery something to do, or to look at sooner."""
        self.announced = True


class StoreSession(Protocol):
    """Where repositories hand in their work. Raises StoreError."""

    def submit(self, run: Callable[[Transaction], _T], *, durable: bool = False) -> Future[_T]:
        """In the next transaction, after everything that waits. `run` may run again when that fails.

        `durable`: on disk when it is done. Otherwise it survives the end of the process, but perhaps not of the
        machine. Cancelled before it began, it is taken back.
        """

    async def write(self, run: Callable[[Transaction], _T], *, durable: bool = False) -> _T:
        """`submit`, and wait for it."""

    async def read(self, run: Callable[[Connection], _T], kept: Cached[_T] | None = None) -> _T:
        """In a thread, on a connection that cannot write. Waits a while for a lock or a server that restarts.

        `kept`: for what is asked often; with SQLite it is read anew only once something has changed.
        """

    @property
    def node(self) -> str:
        """The host whose process this is."""

    @property
    def secret(self) -> bytes:
        """What the trail is sealed with."""

    @property
    def heads(self) -> Heads | None:
        """What this host knows of the ends of histories; None: it keeps nothing of it."""

    def now(self) -> float:
        """Seconds since the epoch."""


class StoreRepository:
    """What callers ask of one subject. Its methods are transactions of their own: each says of which kind. They may be
    run again, so they take nothing that can be read once only."""

    def __init__(self, session: StoreSession) -> None:
        self._session = session


_R = TypeVar("_R", bound=StoreRepository)
_Method = Callable[Concatenate[_R, _P], Coroutine[Any, Any, _T]]


def read_only(work: Callable[Concatenate[_R, Connection, _P], _T]) -> _Method[_R, _P, _T]:
    """A method that is called without its connection, and awaited: `StoreSession.read` runs it."""

    @functools.wraps(work)
    def method(self: _R, /, *args: _P.args, **kwargs: _P.kwargs) -> Coroutine[Any, Any, _T]:
        return self._session.read(lambda connection: work(self, connection, *args, **kwargs))

    return method


def writes(work: Callable[Concatenate[_R, Transaction, _P], _T]) -> _Method[_R, _P, _T]:
    """A method that is called without its transaction, and awaited: `StoreSession.write` runs it."""
    return _written(work, durable=False)


def durably(work: Callable[Concatenate[_R, Transaction, _P], _T]) -> _Method[_R, _P, _T]:
    """`writes`, and on disk when it is done."""
    return _written(work, durable=True)


def _written(work: Callable[Concatenate[_R, Transaction, _P], _T], *, durable: bool) -> _Method[_R, _P, _T]:
    @functools.wraps(work)
    def method(self: _R, /, *args: _P.args, **kwargs: _P.kwargs) -> Coroutine[Any, Any, _T]:
        return self._session.write(lambda tx: work(self, tx, *args, **kwargs), durable=durable)

    return method
