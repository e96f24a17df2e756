"""`POST /hooks/{name}`: one door for what other systems announce — verified, noted in the database, answered with 2xx;
the source does the rest when it comes to it.

What a vendor's announcement looks like is the vendor's to say: it registers a `Vendor` in `HOOKS`.
Nothing of a payload is kept but what `parse` makes of it.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol

import structlog
from aiohttp import web

from monitor.common.credential import Credential, CredentialError
from monitor.model import HookDelivery
from monitor.sources.base import SourceConfig
from monitor.web.limits import Bodies

__all__ = ["HOOKS", "Announced", "UnusableError", "Vendor", "load_vendors", "routes"]

log = structlog.get_logger(__name__)

# the last part of the address → "module:Class" of a Vendor, imported when the web server starts
HOOKS: dict[str, str] = {"github": "monitor.github.hook:GitHubHook"}

ANSWER_WITHIN = 0.9  # seconds for the database; a slow disk is better told than hidden
BIG = 1 << 20  # bytes; from here on hashing and parsing leave the event loop


@dataclass(frozen=True, slots=True)
class Announced:
    """What a body says: a `delivery` to note, or only the text to answer with."""

    delivery: HookDelivery | None = None
    answer: str = ""
    status: int = 200


class UnusableError(Exception):
    """A signed body that cannot be used; the message names the part, never the content."""

    def __init__(self, source: SourceConfig, what: str) -> None:
        super().__init__(what)
        self.source, self.what = source, what


class Vendor(Protocol):
    """One system that announces things."""

    @property
    def most(self) -> int:
        """Bytes of the largest body it sends."""
        ...

    @property
    def header(self) -> str:
        """The header with the signature."""
        ...

    def secret(self, source: SourceConfig) -> Credential | None:
        """What the announcements for `source` are signed with; None: it expects none, or is another vendor's."""
        ...

    def well_formed(self, given: str) -> bool:
        """Whether `given` can be a signature at all, which is asked before the body is read."""
        ...

    def signature(self, secret: bytes, body: bytes | bytearray, headers: Mapping[str, str]) -> str:
        """What the header holds when `secret` has signed this."""
        ...

    def parse(self, headers: Mapping[str, str], body: bytearray, signed: Sequence[SourceConfig]) -> Announced:
        """Of a body that the secrets of `signed` (at least one) have signed. Raises UnusableError."""
        ...


def load_vendors() -> dict[str, Vendor]:
    """Those of the table."""
    found: dict[str, Vendor] = {}
    for name, entry in HOOKS.items():
        module, _, attribute = entry.partition(":")
        found[name] = getattr(import_module(module), attribute)()
    return found


Sources = Callable[[], Iterable[SourceConfig]]
Enqueue = Callable[[HookDelivery], Awaitable[bool]]
Malformed = Callable[[str, str], None]


def routes(
    vendors: Mapping[str, Vendor], sources: Sources, enqueue: Enqueue, malformed: Malformed
) -> list[web.RouteDef]:
    """A route for each vendor. `sources` gives those in force (a reload changes them); `enqueue` notes a delivery
    durably and says whether it is new; `malformed(source, what)` counts what cannot be used."""
    doors = {name: _Door(vendor, sources, enqueue, malformed) for name, vendor in vendors.items()}
    return [web.post(f"/hooks/{name}", door.receive) for name, door in doors.items()]


class _Door:
    def __init__(self, vendor: Vendor, sources: Sources, enqueue: Enqueue, malformed: Malformed) -> None:
        self._vendor = vendor
        self._sources, self._enqueue, self._malformed = sources, enqueue, malformed
        self._bodies = Bodies(vendor.most)

    async def receive(self, request: web.Request) -> web.Response:
        vendor = self._vendor
        secrets = [(source, secret) for source in self._sources() if (secret := vendor.secret(source)) is not None]
        if not secrets:
            return web.Response(status=404, text="no source has a webhook_secret\n")
        if not vendor.well_formed(request.headers.get(vendor.header, "")):  # before a byte of the body is read
            self._malformed("", "hook signature")
            return web.Response(status=401, text=f"{vendor.header} is missing; set a secret on the webhook\n")

        async with self._bodies.read(request) as body:
            aside = len(body) > BIG
            try:
                signed = (
                    await asyncio.to_thread(self._signed, request, secrets, body)
                    if aside
                    else self._signed(request, secrets, body)
                )
            except CredentialError as error:
                log.error("webhook secret", problem=str(error))
                return web.Response(status=503, text="the webhook secret cannot be read\n")
            if not signed:
                self._malformed("", "hook signature")
                log.warning("webhook with a wrong signature", remote=request.remote)
                return web.Response(status=401, text="the signature does not match\n")
            try:
                said = (
                    await asyncio.to_thread(vendor.parse, request.headers, body, signed)
                    if aside
                    else vendor.parse(request.headers, body, signed)
                )
            except UnusableError as error:
                self._malformed(error.source.name, error.what)
                log.warning("unusable webhook", source=error.source.name, field=error.what)
                return web.Response(status=400, text=f"{error.what} cannot be used\n")
            if said.delivery is None:
                return web.Response(status=said.status, text=said.answer)
            return await self._noted(said.delivery)

    def _signed(
        self, request: web.Request, secrets: Sequence[tuple[SourceConfig, Credential]], body: bytearray
    ) -> list[SourceConfig]:
        """The sources whose secret signed the body. All are tried, each in constant time."""
        given, sign = request.headers[self._vendor.header], self._vendor.signature
        return [
            source
            for source, secret in secrets
            if hmac.compare_digest(
                sign(secret.resolve().encode(), body, request.headers).encode(), given.encode(errors="surrogateescape")
            )
        ]

    async def _noted(self, delivery: HookDelivery) -> web.Response:
        try:
            # Shielded: what was begun is finished, and a repeat of it is ignored.
            fresh = await asyncio.wait_for(asyncio.shield(self._enqueue(delivery)), ANSWER_WITHIN)
        except TimeoutError:
            return web.Response(status=503, text="the database is slow; polling will recover this\n")
        return web.Response(status=202, text="accepted\n" if fresh else "known already\n")
