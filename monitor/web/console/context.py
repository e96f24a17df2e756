"""What the pages work with, given by the daemon."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from monitor.domain.incidents import Incident
from monitor.report.view import Links, Offers
from monitor.store import Store
from monitor.store.noise import Noise
from monitor.web.console.kept import KeptAnswer
from monitor.web.console.live import LiveUpdates
from monitor.web.console.sessions import Reception

__all__ = ["ActionPreview", "ConsoleContext", "Drilling", "DueRotation", "Rotation"]


@dataclass(frozen=True, slots=True)
class ActionPreview:
    """What an action would do about an incident: `does` in a word, `lines` as they would be sent, without the secret
    and the credential; `problem`: why that cannot be said."""

    does: str = ""
    lines: Sequence[str] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class DueRotation:
    """When a secret is due for another value (`at`: seconds since the epoch), and why. `automatic`: its provider makes
    it."""

    secret: str
    at: float
    standing: str
    severity: str
    why: str
    owner: str
    automatic: bool


class Rotation(Protocol):
    """What is due for another value, and how its rotation begins."""

    async def rotations(self) -> Sequence[DueRotation]:
        """The first first."""

    async def rotate(self, secret: str, why: str, actor: str) -> str:
        """As `monitor rotation start`; returns the id of its incident. Raises LookupError and RunError."""


class Drilling(Protocol):
    """Drills that are begun here, and followed by the daemon. A source is named as it is configured."""

    def sources(self) -> Sequence[str]:
        """In which something can be planted."""

    def pagers(self) -> Sequence[str]:
        """Sinks that are left out, unless a drill pages."""

    async def place(self, source: str) -> str:
        """Where it would be planted, for people. Raises LookupError, and RefusedError with why it cannot be."""

    async def begin(self, source: str, rule: str, *, pages: bool, actor: str, once: str) -> str:
        """Returns where it was planted; it is followed from then on. `once`: what a repeat is known by. Raises
        LookupError, RefusedError and StoreError."""


@dataclass(frozen=True, slots=True)
class ConsoleContext:
    """`links`: within the pages. `redact`: what somebody wrote, masked and cut, before anything is done with it.
    `status`: how the monitor is (monitor.status); `live`: what pages that are open are told. `try_sink`: sends a test
    to a sink, by somebody; returns what it is called there, if anything. Raises LookupError and RemoteError. `tried`:
    when each was (monotonic), and by whom.
    `counted`: of how many days → the noise of each rule, for all who look.
    `reception`: knows who is signed in; None: nobody can.

    `offers`: the actions for an incident, and how many have to approve each; `preview`: of one of them, by its name;
    None: none is run here.
    `ask`: asks the issuer whether the secret works, for this person, and keeps the answer, which is returned in words;
    None: nobody can be asked here. `people`: to whom incidents are handed over; None: to nobody but who does it.
    `work`: is told that there are requests to be done. `rules`: ids of those in force.
    `drills`: None: none is begun here.
    """

    store: Store
    links: Links
    redact: Callable[[str], Awaitable[str]]
    status: Callable[[], Awaitable[Mapping[str, Any]]]
    live: LiveUpdates
    try_sink: Callable[[str, str], Awaitable[str]]
    reception: Reception | None = None
    offers: Offers = lambda incident: ()
    preview: Callable[[Incident, str], Awaitable[ActionPreview]] | None = None
    ask: Callable[[Incident, str], Awaitable[str]] | None = None
    people: Callable[[], Awaitable[Sequence[str]]] | None = None
    work: Callable[[], object] = lambda: None
    tried: dict[str, tuple[float, str]] = field(default_factory=dict)
    counted: dict[int, KeptAnswer[Noise]] = field(default_factory=dict)
    rotation: Rotation | None = None
    rules: Callable[[], Collection[str]] = frozenset
    drills: Drilling | None = None
