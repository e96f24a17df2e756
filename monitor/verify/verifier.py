"""Asks an issuer about a secret: allowed or not, how often, to which address, and what the answer means."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from monitor.common.http import Http, RemoteError, Reply, loopback, proxy_for, retry_after
from monitor.common.outside import ROOM, let_in, taken
from monitor.common.text import quotable
from monitor.incidents import Validity, Verified
from monitor.verify.config import VerifyConfig
from monitor.verify.guard import ForbiddenError, Guard
from monitor.verify.postgres import log_in
from monitor.verify.probe import Probe, Reading, fact, probe_of
from monitor.verify.request import MissingPartError, build, host_of, parts_of

__all__ = ["Verdict", "Verifier"]

_FACT = 200  # characters of a fact
_PAUSE = 60.0  # seconds without another request to a provider that is overloaded or cannot be reached


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an issuer said of a secret. `asked_at`: seconds since the epoch. Has no field that could hold the value."""

    status: Validity
    reason: str
    asked_at: float
    provider: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)  # account, scopes, last_used, …; masked
    after: float | None = None  # unknown for now: worth asking again in so many seconds

    def verified(self) -> Verified:
        """As an incident keeps it."""
        return Verified(self.status, self.asked_at, self.reason, self.provider, self.facts)


class Verifier:
    """One for a process: it counts what each provider is asked."""

    def __init__(
        self,
        settings: VerifyConfig,
        *,
        scrub: Callable[[str], str] = lambda text: text,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`scrub` masks secrets in what an issuer says."""
        self.settings = settings  # assign to reload
        self._scrub, self._clock = scrub, clock
        self._guard = Guard()
        self._asked: dict[str, deque[float]] = {}
        self._paused: dict[str, float] = {}  # provider → not before

    async def ask(
        self, rule: str, value: str, parts: Mapping[str, str] | None = None, *, taken: bool = False
    ) -> Verdict:
        """Whether `value`, a secret of `rule`, still works. `parts`: what else a request may need, as names and
        public ids. `taken`: its issuer has taken it from here before, or taken it back. Raises nothing: what stands in
        the way is the reason of an `unknown`.
        """
        now = self._clock()
        probe = probe_of(rule)
        if probe is None:
            return Verdict("unknown", "there is no probe for its rule", now)
        if not self.settings.allows(probe.provider):
            why = f'"{probe.provider}" is not in verify.providers, so it is not asked'
            return Verdict("unknown", why, now, probe.provider)
        wait = self._wait(probe.provider, now)
        if wait is not None:
            return Verdict("unknown", "asked as often as verify.rate allows", now, probe.provider, after=wait)
        after: float | None = None
        try:
            return await self._ask(probe, parts_of(probe.shape, value, parts or {}), now, taken)
        except MissingPartError as error:
            why = str(error)
        except ForbiddenError as error:
            why = f'{error}; where it is meant, name "{probe.provider}" in verify.private'
        except RemoteError as error:
            why, after = str(error), _PAUSE if error.retry else None
        except TimeoutError:
            why, after = "no answer in time", _PAUSE
        except OSError:
            why, after = "the host name cannot be resolved", _PAUSE
        return Verdict("unknown", why, now, probe.provider, after=after)

    def _wait(self, provider: str, now: float) -> float | None:
        """Seconds until it may be asked again; None: now, and it is counted."""
        paused = self._paused.get(provider, 0.0)
        if now < paused <= now + 3600.0:
            return paused - now
        rate, times = self.settings.rate, self._asked.setdefault(provider, deque())
        while times and not now - rate.period < times[0] <= now:
            times.popleft()
        if len(times) >= rate.count:
            return times[0] + rate.period - now if times else rate.period
        times.append(now)
        return None

    async def _ask(self, probe: Probe, parts: Mapping[str, str], now: float, taken: bool) -> Verdict:
        private = probe.provider in self.settings.private
        if probe.auth == "postgres":
            status, why = await log_in(self._guard, parts, private=private, seconds=self.settings.timeout)
            verdict: Validity = "valid" if status == "valid" else "refused" if status == "refused" else "unknown"
            facts = {name: parts[name] for name in ("user", "host", "database") if parts.get(name)}
            return Verdict(verdict, self._scrub(why), now, probe.provider, self._clean(facts, parts))

        answer = Verdict("unknown", "nobody was asked", now, probe.provider)
        for origin in self._origins(probe):
            reading, reply = await self._exchange(probe, parts, origin, private, now)
            answer = self._judged(probe, reading, reply, parts, now, taken=taken)
            if answer.status != "refused":
                break  # another site may know what this one does not
        return answer

    def _origins(self, probe: Probe) -> Sequence[str | None]:
        own = self.settings.servers.get(probe.provider)
        return [own] if own else list(probe.sites) or [None]

    async def _exchange(
        self, probe: Probe, parts: Mapping[str, str], origin: str | None, private: bool, now: float
    ) -> tuple[Reading, Reply]:
        request = build(probe, parts, origin, now)
        async with asyncio.timeout(self.settings.timeout):
            proxy = await self._way(request.url, private)
            http = Http(timeout=self.settings.timeout, resolver=self._guard, proxy=proxy)
            try:
                reply = await http.request(request.method, request.url, request.body, request.headers)
            finally:
                await http.close()
        headers = {name.lower(): text for name, text in reply.headers.items()}
        text = reply.body.decode("utf-8", "replace")
        return Reading(reply.status, headers, text, {k: v for k, v in parts.items() if k != "value"}), reply

    async def _way(self, url: str, private: bool) -> str | None:
        """The proxy to use. Judges where the connection goes. Raises ForbiddenError."""
        host, port = host_of(url)
        proxy = self.settings.proxy.resolve("verify.proxy") if self.settings.proxy else proxy_for(url)
        if proxy is None:
            await self._guard.allow(host, port, private=private)
            return None
        if loopback(host) and not private:
            raise ForbiddenError("the host is this machine, and is not asked")
        # The proxy, which looks names up and decides by itself, may stand anywhere.
        await self._guard.allow(*host_of(proxy), private=True)
        return proxy

    def _judged(
        self, probe: Probe, reading: Reading, reply: Reply, parts: Mapping[str, str], now: float, *, taken: bool
    ) -> Verdict:
        status = probe.decide(reading)
        if status == "doubtful" and not taken:
            why = f"{probe.name} says the same of one that is dead and of one that is good from other addresses only"
            return Verdict("unknown", f"{why} (HTTP {reading.status})", now, probe.provider)
        if status == "doubtful":
            status = "refused"
        if status == "unknown":
            busy = reading.status in (408, 425, 429) or reading.status >= 500
            after = (retry_after(reply.headers) or _PAUSE) if busy else None
            if after is not None:
                self._paused[probe.provider] = now + after
            return Verdict("unknown", f"{probe.name} answers HTTP {reading.status}", now, probe.provider, after=after)

        if status == "refused" and probe.elsewhere and probe.provider not in self.settings.servers:
            why = (
                f"{probe.name} does not know it; if it is of a server of your own, set verify.servers.{probe.provider}"
            )
            return Verdict("unknown", why, now, probe.provider)
        found = {name: fact(reading, place) for name, place in probe.facts.items()} if status == "valid" else {}
        says = "takes it" if status == "valid" else "refuses it"
        why = f"{probe.name} {says} (HTTP {reading.status})"
        return Verdict(status, why, now, probe.provider, self._clean(found, parts))

    def _clean(self, facts: Mapping[str, str], parts: Mapping[str, str]) -> dict[str, str]:
        """Facts without a trace of the secret or another one."""
        hidden = [parts[name] for name in ("value", "secret_key", "token", "password") if parts.get(name)]
        whole = {name: quotable(taken(text), *hidden, limit=ROOM) for name, text in facts.items()}
        clean = {name: let_in(text, self._scrub, _FACT) for name, text in whole.items()}
        return {name: text for name, text in clean.items() if text}

    def where(self, probe: Probe) -> str:
        """The host that a request of this probe goes to, for people."""
        place = self.settings.servers.get(probe.provider) or probe.url
        return urlsplit(place).netloc or "(unknown: set verify.servers)"
