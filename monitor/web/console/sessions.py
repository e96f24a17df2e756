"""Who sends a request: by a session, by a proxy that is trusted to say so, or by the user at the other end of the unix
socket.

What a browser holds is random and stored nowhere: the database has its SHA-256, and a form of that session a keyed hash
of it.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import pwd
import secrets
import socket
import struct
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import urlencode

import structlog
from aiohttp import web

from monitor.accounts.guesses import Guesses
from monitor.accounts.people import Person, Role
from monitor.accounts.settings import ProxyConfig, SignInConfig, within
from monitor.common.credential import CredentialError
from monitor.common.http import Http
from monitor.common.inbound import same
from monitor.common.text import one_line
from monitor.store import Store, StoreError
from monitor.store.sessions import SignedIn, Way
from monitor.web.console.live import EVENTS
from monitor.web.console.origin import address_of, by_a_browser, local_path, page_before, peer_of, secure
from monitor.web.console.visitor import VISITOR, Visitor, form_of

__all__ = ["SESSION", "SIGN_IN", "OpenSession", "Reception", "patient"]

log = structlog.get_logger(__name__)

SIGN_IN = "/sign-in"  # and what is below it
_COOKIE = "monitor_session"  # hosts share theirs between ports
_PATIENCE, _LONGEST = 3.0, 20.0  # seconds for a look into the database; for an answer that needs it
_GRACE = 900.0  # seconds
_REMEMBERED = 1000  # sessions
_LENGTH = 43  # characters of 256 bits, urlsafe
_BROWSERS = ("Firefox", "Edg", "OPR", "Chrome", "Safari", "curl")
_SYSTEMS = ("Android", "iPhone", "iPad", "Windows", "Mac OS", "Linux")
_WORDS = {"Edg": "Edge", "OPR": "Opera", "Mac OS": "macOS"}


@dataclass(frozen=True, slots=True)
class OpenSession:
    """The session of a request. `held`: what the browser holds."""

    known: SignedIn
    held: str = field(repr=False)


SESSION = web.RequestKey("session", OpenSession)


_Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]


def patient(handler: _Answering) -> _Answering:
    """It says so when the database does not answer: that waits for a disk or a server to come back."""

    async def answering(request: web.Request) -> web.StreamResponse:
        try:
            async with asyncio.timeout(_LONGEST):
                return await handler(request)
        except (StoreError, TimeoutError):
            text = "the state database does not answer; what was sent may still be done. Try again in a minute\n"
            raise web.HTTPServiceUnavailable(text=text, headers={"Retry-After": "30"}) from None

    return answering


class Reception:
    """Knows who is signed in, and begins and ends sessions. `settings`: the table in force; `http`: reaches issuers;
    None: nothing does. `counts`: sign-ins, by way and outcome (accepted, refused, held)."""

    def __init__(
        self,
        store: Store,
        settings: Callable[[], SignInConfig],
        http: Http | None = None,
        counts: Counter[tuple[str, str]] | None = None,
    ) -> None:
        self.store, self._settings, self.http = store, settings, http
        self.counts = Counter[tuple[str, str]]() if counts is None else counts
        self.guesses = Guesses()
        self._key = hmac.digest(store.secret or secrets.token_bytes(32), b"exposure monitor: forms", "sha256")
        self._using: set[asyncio.Task[None]] = set()
        self._lately: dict[str, tuple[SignedIn, float]] = {}  # the one that was looked at last stands last
        self._told: str | None = None  # why the proxy's secret could not be read

    @property
    def settings(self) -> SignInConfig:
        return self._settings()

    # As the door asks it (monitor.web.auth)

    @property
    def asks(self) -> bool:
        return self.settings.asks

    def open(self, path: str) -> bool:
        return path == SIGN_IN or path.startswith(f"{SIGN_IN}/")

    async def knows(self, request: web.Request) -> bool:
        """Raises HTTPServiceUnavailable where the database cannot be read."""
        try:
            who = await self._who(request)
        except StoreError:
            text = "the state database cannot be read, so nobody knows who you are: try again in a minute\n"
            raise web.HTTPServiceUnavailable(text=text, headers={"Retry-After": "10"}) from None
        if who is not None:
            request[VISITOR] = who
        elif self.asks:
            request[VISITOR] = Visitor(may_sign_in=True)
        return who is not None

    async def _who(self, request: web.Request) -> Visitor | None:
        try:
            return self._peer(request) or await self._by_proxy(request) or await self._by_session(request)
        except ValueError as error:  # the name is no plain one
            raise web.HTTPForbidden(text=f"{error}\n") from None

    async def ask(self, request: web.Request) -> web.StreamResponse:
        if "text/html" not in request.headers.get("Accept", ""):
            headers = {"WWW-Authenticate": "Bearer"}
            return web.Response(status=401, text="sign in, or send the token of http.token\n", headers=headers)
        asked = {"next": local_path(request.path_qs)}
        if request.method not in ("GET", "HEAD"):
            # A session that has ended meanwhile: what somebody wrote is theirs still.
            asked = {"next": page_before(request), "ended": "1"}
            if (await form_of(request)).get("note", ""):
                raise web.HTTPUnauthorized(text="Your session has ended, and nothing was changed.\n")
        return web.Response(status=303, headers={"Location": f"/sign-in?{urlencode(asked)}"})

    # Sessions

    async def begin(
        self, request: web.Request, answer: web.StreamResponse, user: str, way: Way, *,
        role: Role | None = None, password: str = "",
    ) -> bool:  # fmt: skip
        """Whether they are signed in now; what the browser had before is worth nothing then."""
        before, held = request.get(SESSION), secrets.token_urlsafe(32)
        settings = self.settings
        begun = await self.store.sessions.begin(
            _stored(held), user, way, settings.longest, role=role, password=password,
            address=address_of(request, settings.proxies), agent=_agent(request.headers.get("User-Agent", "")),
            before=before.known.id if before is not None else "",
        )  # fmt: skip
        if begun:
            self.counts[way, "accepted"] += 1
            self._give(request, answer, held)
        return begun

    async def rotate(self, request: web.Request, answer: web.StreamResponse) -> None:
        """The same session, by something else."""
        mine, held = request[SESSION], secrets.token_urlsafe(32)
        await self.store.sessions.rotate(mine.known.id, _stored(held))
        self._give(request, answer, held)

    async def end(self, request: web.Request, answer: web.StreamResponse) -> None:
        mine = request.get(SESSION)
        if mine is not None:
            await self.store.sessions.end(mine.known.id)
            self._lately.pop(mine.known.id, None)
        answer.del_cookie(_cookie(request), path="/", secure=secure(request), httponly=True, samesite="Lax")

    async def still(self, request: web.Request) -> bool:
        """Whether the session of a request that goes on for long has not ended. Raises StoreError."""
        return SESSION not in request or await self._by_session(request) is not None

    def person(self, user: str, role: Role | None) -> Person | None:
        return self.settings.person(user, role)

    def _give(self, request: web.Request, answer: web.StreamResponse, held: str) -> None:
        lasts = int(self.settings.longest)
        # Lax: who follows a link in Slack arrives signed in; forms from elsewhere are refused by their origin.
        answer.set_cookie(
            _cookie(request), held, max_age=lasts, path="/", secure=secure(request), httponly=True, samesite="Lax"
        )

    async def _by_session(self, request: web.Request) -> Visitor | None:
        settings, held = self.settings, request.cookies.get(_cookie(request), "")
        if len(held) != _LENGTH:
            return None
        known = await self._find(_stored(held), settings.idle)
        if known is None or not (settings.sign_in if known.way == "password" else settings.openid):
            return None
        try:
            who = settings.person(known.user, known.role)
        except ValueError:  # whoever it was is in no list any more
            who = None
        if who is None:
            return None
        request[SESSION] = OpenSession(known, held)
        if request.path != EVENTS and self.store.sessions.due(known):  # a page that is open is not used
            task = asyncio.create_task(self._use(known.id))
            self._using.add(task)
            task.add_done_callback(self._using.discard)
        return Visitor(who.name, who.role, form=self.seal("session", held), signed_in=True)

    async def _find(self, id_: str, idle: float) -> SignedIn | None:
        """While the database cannot be read, who was signed in a moment ago sees what still holds: nothing can be
        changed then. Raises StoreError for others."""
        try:
            async with asyncio.timeout(_PATIENCE):
                known = await self.store.sessions.find(id_, idle)
        except (StoreError, TimeoutError) as error:
            seen = self._lately.get(id_)
            if seen is not None and time.monotonic() - seen[1] < _GRACE:
                return seen[0]
            raise StoreError("the database cannot be read") from error
        self._lately.pop(id_, None)
        if known is not None:
            self._lately[id_] = (known, time.monotonic())
            while len(self._lately) > _REMEMBERED:
                self._lately.pop(next(iter(self._lately)))
        return known

    async def _use(self, id_: str) -> None:
        try:
            await self.store.sessions.use(id_)
        except StoreError as error:
            log.debug("the use of a session could not be noted", reason=str(error))

    # Proxies and the socket

    async def _by_proxy(self, request: web.Request) -> Visitor | None:
        settings = self.settings
        proxy = settings.proxy
        if proxy is None or not within(peer_of(request), proxy.from_):
            return None
        names = request.headers.getall(proxy.user, [])
        if len(names) != 1 or not await self._speaks(proxy, request):
            return None
        user = names[0].strip()
        groups = ",".join(request.headers.getall(proxy.groups, [])) if proxy.groups else ""
        role = settings.role_of((group.strip() for group in groups.split(",")), proxy.others)
        who = settings.person(user, role) if user else None
        return None if who is None else Visitor(who.name, who.role, form=self.seal("proxy", user))

    async def _speaks(self, proxy: ProxyConfig, request: web.Request) -> bool:
        """Whether it is the proxy, by its secret."""
        try:
            wanted = await asyncio.to_thread(proxy.secret.resolve)
        except CredentialError as error:
            if self._told != str(error):
                log.error("console.proxy.secret", problem=str(error))
            self._told = str(error)
            return False
        self._told = None
        sent = request.headers.getall(proxy.secret_header, [])
        return len(sent) == 1 and same(sent[0], wanted)

    def _peer(self, request: web.Request) -> Visitor | None:
        """A command on this host, where nobody signs in. Never a browser behind a proxy that connects here: that would
        be the proxy's user."""
        if self.asks or peer_of(request) is not None or request.transport is None or by_a_browser(request.headers):
            return None
        connection = request.transport.get_extra_info("socket")
        if connection is None or connection.family != socket.AF_UNIX:
            return None
        size = struct.calcsize("3i")
        _, number, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
        try:
            user = pwd.getpwuid(number).pw_name
        except KeyError:
            user = str(number)
        # The state is theirs anyway.
        who = self.settings.person(user, "admin" if number in (0, os.geteuid()) else None)
        form = self.seal("unix", str(number))
        return None if who is None else Visitor(who.name, who.role, form=form, beside=True)

    def seal(self, *parts: str) -> str:
        """A keyed hash of these."""
        return hmac.digest(self._key, "\0".join(parts).encode(errors="surrogateescape"), "sha256").hex()


def _stored(held: str) -> str:
    return hashlib.sha256(held.encode(errors="surrogateescape")).hexdigest()


def _cookie(request: web.Request) -> str:
    return f"__Host-{_COOKIE}" if secure(request) else _COOKIE


def _agent(text: str) -> str:
    """What a browser says of itself, as far as these words go: the rest may be anything."""
    line = one_line(text[:500])
    browser = next((word for word in _BROWSERS if word in line), "another browser")
    system = next((word for word in _SYSTEMS if word in line), "")
    words = [_WORDS.get(word, word) for word in (browser, system) if word]
    return " on ".join(words)
