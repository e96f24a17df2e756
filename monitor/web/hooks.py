"""`POST /hooks/{name}`: one door for what other systems announce — verified, noted in the database, answered with 2xx;
the rest happens from there: a source does its work when it comes to it, requests about incidents are done by
monitor.daemon.requests.

What a vendor's announcement looks like is the vendor's to say (monitor.common.inbound): it has its line in `HOOKS`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from importlib import import_module
from typing import TypeVar

import structlog
from aiohttp import web

from monitor.common.credential import Credential, CredentialError
from monitor.common.httpd import Bodies
from monitor.common.inbound import ASKING, Announced, Owner, UnusableError, Vendor

__all__ = ["HOOKS", "Vendors", "routes"]

log = structlog.get_logger(__name__)

_T = TypeVar("_T")

# the last part of the address → "module:Class" of a Vendor, imported at the first request
HOOKS: dict[str, str] = {
    "github": "monitor.github.hook:GitHubHook",
    "gitlab": "monitor.gitlab.hook:GitLabHook",
    "pagerduty": "sinks.pagerduty.inbound:PagerDutyHook",
    "slack": "sinks.slack.inbound:SlackHook",
}

ANSWER_WITHIN = 0.9  # seconds for the database; a slow disk is better told than hidden
BIG = 1 << 20  # bytes; from here on hashing and parsing leave the event loop


class Vendors(Mapping[str, Vendor]):
    """Those of the table, each imported when it is first asked for: to most hosts none of them announces anything."""

    def __init__(self) -> None:
        self._loaded: dict[str, Vendor] = {}

    def __getitem__(self, name: str) -> Vendor:
        if name not in self._loaded:
            module, _, attribute = HOOKS[name].partition(":")
            self._loaded[name] = getattr(import_module(module), attribute)()
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(HOOKS)

    def __len__(self) -> int:
        return len(HOOKS)


Owners = Callable[[], Iterable[Owner]]
Keep = Callable[[Announced], Awaitable[bool]]
Malformed = Callable[[str, str], None]
Trouble = Callable[[str, str | None], None]


def routes(
    vendors: Mapping[str, Vendor],
    owners: Owners,
    keep: Keep,
    malformed: Malformed,
    *,
    problem: Trouble,
    now: Callable[[], float] = time.time,
) -> list[web.RouteDef]:
    """A route for each vendor. `owners` gives the sources and sinks in force (a reload changes them); `keep` notes what
    was announced durably and says whether it is new; `malformed(owner, what)` counts what cannot be used;
    `trouble(owner, why)` is told when a secret cannot be read, and with None when it can; `now`: in seconds since the
    epoch."""
    doors = {name: _Door(vendors, name, owners, keep, malformed, problem=problem, now=now) for name in vendors}
    return [web.post(f"/hooks/{name}", door.receive) for name, door in doors.items()]


class _Door:
    def __init__(
        self,
        vendors: Mapping[str, Vendor],
        name: str,
        owners: Owners,
        keep: Keep,
        malformed: Malformed,
        *,
        problem: Trouble,
        now: Callable[[], float],
    ) -> None:
        self._vendors, self._name = vendors, name
        self._owners, self._keep, self._malformed, self._now = owners, keep, malformed, now
        self._problem = problem
        self._unreadable: Mapping[str, str] = {}  # owner → why, as it was told

    @cached_property
    def _vendor(self) -> Vendor:
        return self._vendors[self._name]

    @cached_property
    def _bodies(self) -> Bodies:
        return Bodies(self._vendor.most)

    async def receive(self, request: web.Request) -> web.Response:
        vendor = self._vendor
        secrets = [(owner, secret) for owner in self._owners() for secret in vendor.secrets(owner)]
        if not secrets:
            self._tell({})
            return web.Response(status=404, text="no source or sink of the configuration expects this\n")
        if not vendor.well_formed(request.headers, self._now()):  # before a byte of the body is read, but for a probe's
            if await self._probed(request):
                return web.Response()
            self._malformed("", "hook signature")
            text = f"{vendor.header} is missing, of another form, or too old; set a secret, and look at the clock\n"
            return web.Response(status=401, text=text)

        async with self._bodies.read(request) as body:
            if len(body) <= vendor.probes and vendor.probe(body):
                return web.Response()
            signed, unreadable = await self._aside(body, lambda: self._signed(request, secrets, body))
            self._tell(unreadable)
            if not signed and unreadable:  # it may be for one of these: come again
                return web.Response(status=503, text="a webhook secret cannot be read\n")
            if not signed:
                self._malformed("", "hook signature")
                log.warning("webhook with a wrong signature", remote=request.remote)
                return web.Response(status=401, text="the signature does not match\n")
            try:
                said = await self._aside(body, lambda: vendor.parse(request.headers, body, signed))
            except UnusableError as error:
                self._malformed(error.owner.name, error.what)
                log.warning("unusable webhook", owner=error.owner.name, field=error.what)
                return web.Response(status=400, text=f"{error.what} cannot be used\n")
            if said.delivery is None and not said.requests:
                return web.Response(status=said.status, text=said.answer)
            return await self._kept(said)

    async def _probed(self, request: web.Request) -> bool:
        if not 0 < (request.content_length or 0) <= self._vendor.probes:
            return False
        async with self._bodies.read(request) as body:
            return self._vendor.probe(body)

    @staticmethod
    async def _aside(body: bytearray, work: Callable[[], _T]) -> _T:
        """What takes a while does so in a thread."""
        return await asyncio.to_thread(work) if len(body) > BIG else work()

    def _signed(
        self, request: web.Request, secrets: Sequence[tuple[Owner, Credential]], body: bytearray
    ) -> tuple[list[Owner], Mapping[str, str]]:
        """Those whose secret signed the body, and the names of those of whom one cannot be read, with why. All are
        tried."""
        fitting: dict[str, Owner] = {}
        unreadable: dict[str, str] = {}
        for owner, secret in secrets:
            try:
                value = secret.resolve().encode()
            except CredentialError as error:
                unreadable.setdefault(owner.name, str(error))
                continue
            if self._vendor.signed(value, request.headers, body):
                fitting[owner.name] = owner
        return list(fitting.values()), unreadable

    def _tell(self, unreadable: Mapping[str, str]) -> None:
        before, self._unreadable = self._unreadable, unreadable
        for name, why in unreadable.items():
            if before.get(name) != why:
                self._problem(name, why)
        for name in before.keys() - unreadable.keys():
            self._problem(name, None)

    async def _kept(self, said: Announced) -> web.Response:
        asking = ASKING if any(one.window for one in said.requests) else 0.0
        try:
            # Shielded: what was begun is finished, and a repeat of it is ignored.
            fresh = await asyncio.wait_for(asyncio.shield(self._keep(said)), asking + ANSWER_WITHIN)
        except TimeoutError:
            return web.Response(
                status=503, text="the database is slow; what was announced is stored or must be repeated\n"
            )
        return web.Response(status=said.status, text=said.answer if fresh or not said.answer else "known already\n")
