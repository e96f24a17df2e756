"""What other systems announce: what a vendor brings for the one door (`/hooks/{name}`, monitor.web.hooks), and what is
kept of it. Nothing of a body is kept but what `parse` makes of it: ids, names, and words of people that are masked.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from monitor.common.credential import Credential

__all__ = [
    "ASKING",
    "TOLD",
    "Announced",
    "HookDelivery",
    "InboundRequest",
    "Owner",
    "UnusableError",
    "Vendor",
    "Verb",
    "same",
    "through",
]

ASKING = 1.5  # seconds that a sink may take to ask for words; whoever asked waits for it
TOLD = "told:"  # start of a key, with the id of one message: all incidents that it showed
Verb = Literal[
    "ack", "reopen", "resolve", "silence", "claim", "done", "skip", "run", "note", "link", "assign", "suppress",
    "merge", "start", "fail", "plan", "approve",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class HookDelivery:
    """An inbound hook, verified and kept until its source has dealt with it. Names the alert, holds nothing of it."""

    id: str  # the sender's delivery id: a repeat is ignored
    source: str
    event: str
    repo: str = ""
    number: int = 0  # 0: about no single alert
    due: float = 0.0  # not to be dealt with before
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class InboundRequest:
    """What somebody asked for in another system about an incident. Done once, from the database. `link`: nobody asked
    for anything; the system only says what it calls it.

    `detail`: the step (claim, done, skip, fail; STEP:over although another has it or others wait; reopen, where it is
    not about the incident), the resolution (resolve), seconds (silence; 0 ends it), the name of the action (run; plan,
    with a space and its parts in JSON behind it), the id of what was planned (approve), the person (assign), the
    incidents that go into this one (merge), the runbook (start; with :contain or :replace in this order), seconds and
    how it is resolved, such as 3600:wont_fix (suppress; 0 ends it).
    """

    id: str  # what a repeat is known by
    sink: str  # name of the sink through whose system it came; empty: a command's
    verb: Verb
    actor: str  # who, as the trail is to name them
    incident: str = ""  # its id; or else
    key: str = ""  # what the sink was told under (Notification.key): all incidents of that; or TOLD
    detail: str = ""
    note: str = ""
    refusal: str = ""  # why it is not to be done: that is told, and nothing else happens
    answer: Mapping[str, str] = field(default_factory=dict)  # ids by which the sink tells them what came of it
    # What that system itself calls what it was told under `key`: with it alone it can speak of it later.
    place: str = ""
    at: float = 0.0  # when it was said there, by its clock (seconds since the epoch); 0: it does not say
    # With this the sink can ask for words first, for a moment; never kept. Where it cannot, it is done without.
    window: str = field(default="", repr=False)


class Owner(Protocol):
    """A source or a sink, as it is configured."""

    @property
    def name(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Announced:
    """What a body says: work for a source, requests about incidents, or neither. `answer` and `status`: what the sender
    is told when that is kept."""

    delivery: HookDelivery | None = None
    requests: Sequence[InboundRequest] = ()
    answer: str = ""
    status: int = 200


class UnusableError(Exception):
    """A signed body that cannot be used; the message names the part, never the content."""

    def __init__(self, owner: Owner, what: str) -> None:
        super().__init__(what)
        self.owner, self.what = owner, what


class Vendor(Protocol):
    """One system that announces things."""

    @property
    def most(self) -> int:
        """Bytes of the largest body it sends."""

    @property
    def header(self) -> str:
        """The header with the signature."""

    @property
    def probes(self) -> int:
        """Bytes of the largest body that may be a probe; 0: there are none."""

    def probe(self, body: bytearray) -> bool:
        """Whether this only tries the way to here, signed or not: it is answered with 200, and nothing follows."""

    def secrets(self, owner: Owner) -> Sequence[Credential]:
        """What the announcements for `owner` are signed with, any of these; none: it expects none, or is another
        vendor's."""

    def well_formed(self, headers: Mapping[str, str], now: float) -> bool:
        """Whether these can be of something signed, and signed lately, which is asked before the body is read."""

    def signed(self, secret: bytes, headers: Mapping[str, str], body: bytes | bytearray) -> bool:
        """Whether `secret` has signed this; compares with `same`."""

    def parse(self, headers: Mapping[str, str], body: bytearray, signed: Sequence[Owner]) -> Announced:
        """Of a body that the secrets of `signed` (at least one) have signed. Raises UnusableError."""


def through(sink: str) -> str:
    """The note of a change that came through a sink, where nobody said more."""
    return f"through {sink}"


def same(given: str, wanted: str) -> bool:
    """Whether two signatures are the same, in constant time."""
    return hmac.compare_digest(given.encode(errors="surrogateescape"), wanted.encode())
