"""Runs an action once: its requests in order, or its command. What cannot be known is said, and never tried again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

import orjson

from monitor.actions.command import ActionOutcome, execute
from monitor.actions.config import ActionConfig, ActionStep
from monitor.common.credential import Credential
from monitor.common.guard import ForbiddenError, Guard
from monitor.common.http import Http, RemoteError, Reply, limit_ends
from monitor.verify.probe import ProbeResponse, at, fact
from monitor.verify.request import MissingPartError, build, parts_of

__all__ = ["Actor"]

OnStep = Callable[[int], Awaitable[object]]

_PAUSE = 60.0  # seconds, where an issuer does not say when it takes more


async def _no_step(number: int) -> None:
    pass


class Actor:
    """Has no memory: whoever calls sees to it that nothing is run twice."""

    def __init__(
        self,
        *,
        proxy: Callable[[], Credential | None] = lambda: None,
        redact: Callable[[str], str] = lambda text: text,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`proxy`: that of `[verify]` in force. `redact` masks secrets in what a command prints."""
        self._proxy, self._redact, self._clock = proxy, redact, clock

    async def run(
        self,
        action: ActionConfig,
        value: str,
        parts: Mapping[str, str] | None = None,
        *,
        others: Sequence[str] = (),
        on_step: OnStep = _no_step,
    ) -> ActionOutcome:
        """`parts`: names and public ids that it may need. `others`: more secrets for the same request, where the action
        takes `many`. `on_step` is told the number (from 1) of each request before it is sent. Raises nothing but what
        `on_step` does."""
        try:
            credential = action.credential.resolve() if action.credential else None
        except RemoteError as error:
            return ActionOutcome("failed", str(error))
        shape = action.ready.shape if action.ready else None
        filled = parts_of(shape, value, {**(parts or {}), **action.parts})
        if credential is not None:
            filled["credential"] = credential
        if action.type == "command":
            await on_step(1)
            return await execute(action, filled, self._redact)

        guard = Guard()
        for number, step in enumerate(action.steps, 1):
            await on_step(number)
            all_ = [filled, *(filled | {"value": other} for other in others)]
            outcome, kept = await self._step(action, step, all_, guard)
            if outcome.state != "accepted":
                where = f"step {number} of {len(action.steps)}: " if len(action.steps) > 1 else ""
                if outcome.state == "limited" and number == 1:
                    return outcome
                # Nothing is undone: what went before stays, and a failed last step is told with it.
                state = "failed" if outcome.state == "limited" else outcome.state
                return replace(outcome, state=state, reason=where + outcome.reason)
            filled |= kept
        return outcome

    async def _step(
        self, action: ActionConfig, step: ActionStep, parts: Sequence[Mapping[str, str]], guard: Guard
    ) -> tuple[ActionOutcome, Mapping[str, str]]:
        """Its outcome, and what later steps need of the answer. `parts`: of each secret."""
        sent = False
        try:
            request, *more = [build(step, one, action.server, self._clock()) for one in parts]
            body = _together([one.body for one in (request, *more)]) if more else request.body
            async with asyncio.timeout(action.timeout):
                own = self._proxy()
                at = own.resolve("verify.proxy") if own else None
                proxy = await guard.way(request.url, private=action.private, proxy=at)
                sent = True
                http = Http(timeout=action.timeout, resolver=guard, proxy=proxy, once=True)
                try:
                    reply = await http.request(request.method, request.url, body, request.headers)
                finally:
                    await http.close()
        except MissingPartError as error:
            return ActionOutcome("failed", str(error), apart=True), {}
        except ForbiddenError as error:
            return ActionOutcome("failed", str(error)), {}
        except RemoteError as error:
            return _lost(str(error), sent=sent and error.sent), {}
        except TimeoutError:
            return _lost("no answer in time", sent=sent), {}
        except OSError:
            return ActionOutcome("failed", "the host name cannot be resolved"), {}

        reading = ProbeResponse.of(reply)
        # A page in the place of an issuer's interface has taken nothing back.
        page = action.ready is not None and reading.page
        if page or not any(answer.fits(reading) for answer in step.expect):
            said = f"the answer is HTTP {reply.status}"
            if _limited(reply):
                return ActionOutcome("limited", said, limit_ends(reply) or _PAUSE), {}
            return (_lost(said, sent=True) if reply.status >= 500 else ActionOutcome("failed", said, apart=True)), {}
        kept = {name: _kept(reading, place, parts[0]) for name, place in step.keep.items()}
        if missing := [name for name, text in kept.items() if not text]:
            return ActionOutcome(
                "failed", f"the issuer does not say its {' and '.join(missing)}: is it this one's?"
            ), {}
        return ActionOutcome("accepted", f"the issuer has taken it (HTTP {reply.status})"), kept

    def preview(self, action: ActionConfig, value: str, parts: Mapping[str, str]) -> list[str]:
        """What `run` would do, in lines for people; the secret and the credential are left out. Raises
        MissingPartError."""
        shape = action.ready.shape if action.ready else None
        filled = {**parts_of(shape, value, {**parts, **action.parts}), "credential": "CREDENTIAL"}
        hidden = {name: filled[name] for name in ("value", "token", "secret_key", "password") if filled.get(name)}
        shown = filled | dict.fromkeys(hidden, "SECRET")
        if action.type == "command":
            how = {"stdin": "on standard input", "fd": "by a file descriptor", "none": "not at all"}[action.value]
            return [f"run {' '.join(action.command)}", f"the secret is given {how}"]
        lines = []
        for step in action.steps:
            # What only the answer before it says.
            later = {name: name.upper() for one in action.steps for name in one.keep}
            if step.auth.startswith("aws-sigv4"):
                shown["credential"] = "AKIA:SECRET"
            request = build(step, {**later, **shown}, action.server, self._clock())
            lines.append(f"{request.method} {request.url}")
            if request.body:
                lines.append(f"  {request.body.decode('utf-8', 'replace')}")
        return lines


def _together(bodies: Sequence[bytes | None]) -> bytes:
    """Bodies that differ in the items of their lists, as one."""
    whole: dict[str, list[object]] = {}
    for body in bodies:
        for name, items in orjson.loads(body or b"{}").items():
            whole.setdefault(name, []).extend(items)
    return orjson.dumps(whole)


def _limited(reply: Reply) -> bool:
    """GitHub says 403 for a limit as well as for what is not permitted."""
    left = reply.headers.get("X-RateLimit-Remaining")
    return reply.status == 429 or (reply.status == 403 and (left == "0" or "Retry-After" in reply.headers))


def _lost(why: str, *, sent: bool) -> ActionOutcome:
    if not sent:
        return ActionOutcome("failed", f"{why}: nothing was sent")
    return ActionOutcome(
        "unknown", f"{why}: whether it took effect cannot be known; verify the secret before you try again"
    )


def _kept(reading: ProbeResponse, place: str, parts: Mapping[str, str]) -> str:
    """As `fact`; `find:KEY=PART:NAME` is the NAME of that item of a list whose KEY is this part."""
    if not place.startswith("find:"):
        return fact(reading, place)
    test, _, name = place.removeprefix("find:").partition(":")
    key, _, part = test.partition("=")
    items = (item for item in at(reading.json, "*") if isinstance(item, dict) and item.get(key) == parts.get(part))
    return next((str(item.get(name) or "") for item in items), "")
