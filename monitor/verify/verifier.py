"""Asks an issuer about a secret: allowed or not, how often, to which address, and what the answer means."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from monitor.common.guard import ForbiddenError, Guard
from monitor.common.http import Http, RemoteError, Reply, host_of, retry_after
from monitor.common.outside import ROOM, let_in, taken
from monitor.common.text import quotable
from monitor.domain.incidents import Validity, Verified
from monitor.verify.config import VerifyConfig
from monitor.verify.place import ProbeTarget, place_of
from monitor.verify.postgres import log_in
from monitor.verify.probe import Decision, Probe, ProbeResponse, fact, probe_of
from monitor.verify.request import MissingPartError, beside_of, build, parts_of

__all__ = ["ProbeVerdict", "Verifier"]

_FACT = 200  # characters of a fact
_OF, _WITH = "server", "asked_with"  # facts: whose it was when it was taken, and together with what
_PAUSE = 60.0  # seconds without another request to a provider that is overloaded or cannot be reached


@dataclass(frozen=True, slots=True)
class ProbeVerdict:
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


@dataclass(frozen=True, slots=True)
class _Question:
    """`beside`: what the request is made of that did not come out of the secret itself. `alike`: a secret of another
    kind looks the same."""

    probe: Probe
    parts: Mapping[str, str] = field(repr=False)
    beside: Mapping[str, str]
    place: ProbeTarget
    now: float
    taken: bool
    known: Mapping[str, str]
    alike: bool


class Verifier:
    """One for a process: it counts what each provider is asked."""

    def __init__(
        self,
        settings: VerifyConfig,
        *,
        redact: Callable[[str], str] = lambda text: text,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`redact` masks secrets in what an issuer says."""
        self.settings = settings  # assign to reload
        self._redact, self._clock = redact, clock
        self._guard = Guard()
        self._asked: dict[str, deque[float]] = {}
        self._paused: dict[str, float] = {}  # provider → not before

    async def ask(
        self,
        rule: str,
        value: str,
        parts: Mapping[str, str] | None = None,
        *,
        taken: bool = False,
        known: Mapping[str, str] | None = None,
        lines: Sequence[str] = (),
    ) -> ProbeVerdict:
        """Whether `value`, a secret of `rule`, still works. `parts`: what else a request may need, as names and
        public ids. `taken`: its issuer has taken it from here before, or taken it back. `known`: facts of when it was
        taken; `lines`: what stood around it. Raises nothing: what stands in the way is the reason of an `unknown`.
        """
        now = self._clock()
        probe = probe_of(rule)
        if probe is None:
            return ProbeVerdict("unknown", "there is no probe for its rule", now)
        allowed, place = self.settings.allows(probe.provider), self.place(probe, lines)
        stops = (
            (not allowed, f'"{probe.provider}" is not in verify.providers, so it is not asked'),
            (probe.unasked, f"{probe.name} is not asked: {probe.unasked}"),
            (place.why, f"{self._redact(place.why)}; nothing was sent"),
        )
        if why := next((text for stop, text in stops if stop), ""):
            return ProbeVerdict("unknown", why, now, probe.provider)
        wait = self._wait(probe.provider, now)
        if wait is not None:
            return ProbeVerdict("unknown", "asked as often as verify.rate allows", now, probe.provider, after=wait)
        after: float | None = None
        try:
            whole = parts_of(probe.shape, value, parts or {})
            beside = {name: whole[name] for name in sorted(beside_of(probe, value, whole))}
            alike = probe.may_be_another(rule, value)
            return await self._ask(_Question(probe, whole, beside, place, now, taken, known or {}, alike))
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
        return ProbeVerdict("unknown", why, now, probe.provider, after=after)

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

    def place(self, probe: Probe, lines: Sequence[str] = ()) -> ProbeTarget:
        """Where a secret that stood in these lines is asked about."""
        settings = self.settings
        return place_of(probe, settings.servers.get(probe.provider), settings.others(probe.provider), lines)

    async def _ask(self, question: _Question) -> ProbeVerdict:
        probe, parts, now = question.probe, question.parts, question.now
        private = probe.provider in self.settings.private
        if probe.auth == "postgres":
            status, why = await log_in(self._guard, parts, private=private, seconds=self.settings.timeout)
            facts = {name: parts[name] for name in ("user", "host", "database") if parts.get(name)}
            return self._said(question, status, why, facts, parts.get("host", ""))

        answers: list[ProbeVerdict] = []
        home = [one for one in question.place.origins if one and host_of(one)[0] == question.known.get(_OF)]
        for origin in home or question.place.origins:  # where it was taken before, nobody else need be asked
            answer = await self._exchange(question, origin, private)
            if answer.status == "valid" or answer.after is not None:
                return answer
            answers.append(answer)
        # Only what no site knows is refused: one of them may say something else of what another one knows.
        unknown = [answer for answer in answers if answer.status != "refused"]
        return (unknown or answers or [ProbeVerdict("unknown", "nobody was asked", now, probe.provider)])[0]

    async def _exchange(self, question: _Question, origin: str | None, private: bool) -> ProbeVerdict:
        parts = question.parts
        request = build(question.probe, parts, origin, question.now)
        async with asyncio.timeout(self.settings.timeout):
            own = self.settings.proxy.resolve("verify.proxy") if self.settings.proxy else None
            proxy = await self._guard.way(request.url, private=private, proxy=own)
            http = Http(timeout=self.settings.timeout, resolver=self._guard, proxy=proxy)
            try:
                reply = await http.request(request.method, request.url, request.body, request.headers)
            finally:
                await http.close()
        reading = ProbeResponse.of(reply, {name: text for name, text in parts.items() if name != "value"})
        return self._judged(question, reading, reply, host_of(request.url)[0])

    def _judged(self, question: _Question, reading: ProbeResponse, reply: Reply, host: str) -> ProbeVerdict:
        probe, now = question.probe, question.now
        decision = probe.decide(reading)
        if decision == "unknown":
            busy = reading.status in (408, 425, 429) or reading.status >= 500
            after = (retry_after(reply.headers) or _PAUSE) if busy else None
            if after is not None:
                self._paused[probe.provider] = now + after
            why = f"{probe.name} answers HTTP {reading.status}"
            if not busy:
                why += ", which is not what it says of an invalid one"
            return ProbeVerdict("unknown", why, now, probe.provider, after=after)
        says = "takes it" if decision == "valid" else "refuses it"
        why = f"{probe.name} {says} (HTTP {reading.status})"
        facts = {name: fact(reading, place) for name, place in probe.facts.items()} if decision == "valid" else {}
        return self._said(question, decision, why, facts, host)

    def _said(
        self, question: _Question, decision: Decision, why: str, facts: Mapping[str, str], host: str
    ) -> ProbeVerdict:
        """What an answer is worth: a refusal counts only where nothing but the secret can be wrong."""
        probe, parts, now = question.probe, question.parts, question.now
        where = {} if question.place.sure else self._clean({_OF: host}, parts)
        pair = self._pair(question)
        if decision == "valid":
            shown = {**self._clean(facts, parts), **where, **pair}
            return ProbeVerdict("valid", self._redact(why), now, probe.provider, shown)
        doubt = ""
        if decision == "doubtful" and not question.taken:
            doubt = "it says the same of one that is dead and of one that is good from other addresses only"
        elif not question.place.sure and (not where or question.known.get(_OF) != where[_OF]):
            doubt = f"if it is of another server, set verify.servers.{probe.provider}"
        elif decision != "refused_secret" and pair and question.known.get(_WITH) != pair[_WITH]:
            doubt = f"but together with {' and '.join(question.beside)}, and either may be wrong"
        elif question.alike and not question.taken:
            doubt = "it does not know secrets of another kind that look the same"
        if decision == "unknown" or doubt:
            why += f"; {doubt}" if doubt else ""
            return ProbeVerdict("unknown", self._redact(why), now, probe.provider)
        # Kept, so that it counts again when it is asked about once more.
        return ProbeVerdict("refused", self._redact(why), now, probe.provider, {**where, **pair})

    def _pair(self, question: _Question) -> Mapping[str, str]:
        """What the secret was asked about together with, as a fact; empty: with nothing."""
        if not question.beside:
            return {}
        text = ", ".join(f"{name} {part}" for name, part in question.beside.items())
        # What repeats a part of the secret, as a host does that stands in it, or is long, is known again by its digest.
        digest = f"#{hashlib.blake2b(text.encode(), digest_size=6).hexdigest()}"
        return {_WITH: (len(text) < _FACT and self._clean({_WITH: text}, question.parts).get(_WITH)) or digest}

    def _clean(self, facts: Mapping[str, str], parts: Mapping[str, str]) -> dict[str, str]:
        """Facts without a trace of the secret or another one."""
        hidden = [parts[name] for name in ("value", "secret_key", "token", "password") if parts.get(name)]
        whole = {name: quotable(taken(text), *hidden, limit=ROOM) for name, text in facts.items()}
        clean = {name: let_in(text, self._redact, _FACT) for name, text in whole.items()}
        return {name: text for name, text in clean.items() if text}

    def where(self, probe: Probe) -> str:
        """The host that a request of this probe goes to, for people."""
        place = self.settings.servers.get(probe.provider) or probe.url
        return urlsplit(place).netloc or "(unknown: set verify.servers)"
