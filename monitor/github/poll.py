"""Reading alerts without losing one, while they change under our hands.

A listing is walked newest change first (`sort=updated`, descending) down to what the last finished walk has seen,
minus an overlap for changes that GitHub shows late. While we walk, an alert that changes moves to the front: the rest
only shifts towards pages still to come, so it is read twice, not missed; and the change itself is newer than all of the
walk's first page, which is the mark down to which the next walk reads. Walking oldest first would do the opposite:
every change pulls an unread alert onto a page already read.

What could be missed is the neighbour of an alert that *disappears* (a repository deleted). Cursor links, which we ask
for, do not shift. Where a server answers with page numbers, each page is asked for again (for free, by its ETag) after
its successor was read. A full walk once in `sweep` catches what no reasoning foresaw.

After each page its alerts and the link to the next are committed together: a walk goes on where it was killed.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit, urlunsplit

import structlog

from monitor.common.http import RemoteError
from monitor.common.inbound import HookDelivery
from monitor.domain.model import Alert, Finding, KnownAlert, Position
from monitor.github.alerts import AlertItem, AlertLocation, Malformed, item, place
from monitor.github.client import GitHubClient, Response
from monitor.github.join import identity, record
from monitor.intake.protocol import AlertIntake
from monitor.intake.rounds import later

__all__ = ["AlertStream", "Poller"]

log = structlog.get_logger(__name__)

OVERLAP = 600.0  # seconds read again at each poll
LOCATION_PAGES = 50  # of 100: a secret in 5,000 places needs no more of them
AHEAD = 3600.0  # a change dated further ahead than this is an error, and must not hide those after it
MOST_PAGES = 50_000  # five million alerts: a listing that goes on longer goes round in circles
SETTLED = 60.0  # GitHub's dates are whole seconds: what changed just before we read it may have changed again
LOOK = 60.0  # seconds after which a walk that is still going on looks at what has changed since it began
FEW = 5  # so many values are asked for one by one; for more the whole page is read again
HIDE = {"hide_secret": "true"}


@dataclass(frozen=True, slots=True)
class AlertStream:
    """One listing: a target (`org:acme`, `repo:acme/web`, `enterprise:acme`), and default or generic secret types."""

    target: str
    kind: Literal["default", "generic"]

    @property
    def key(self) -> str:
        return f"{self.target}/{self.kind}"

    @property
    def repo(self) -> str | None:
        scope, _, name = self.target.partition(":")
        return name if scope == "repo" else None

    @property
    def path(self) -> str:
        scope, _, name = self.target.partition(":")
        return f"/{scope}s/{name}/secret-scanning/alerts"


class Poller:
    """Reads one source's alerts from one GitHub. `host` names it in alert ids (`github.com`)."""

    def __init__(
        self,
        *,
        source: str,
        client: GitHubClient,
        intake: AlertIntake,
        key: bytes,
        host: str,
        generic_types: Sequence[str],
        quiet_after: float,
        sweep: float,
        assign: bool = False,
    ) -> None:
        self.source, self.client, self.intake, self.key, self.host = source, client, intake, key, host
        self.generic_types = tuple(generic_types)
        self.quiet_after, self.sweep, self.assign = quiet_after, sweep, assign
        self.failed: set[str] = set()  # streams that cannot be read: the summary does not wait for them
        self.on_page: Callable[[str, int, float | None], None] | None = None  # stream, alerts read, oldest change
        self._finishing = asyncio.Lock()

    # --- walking a listing ----------------------------------------------------------------------------------------

    async def poll(self, stream: AlertStream, streams: Sequence[AlertStream], *, full: bool = False) -> None:
        """Bring one listing up to date. `streams`: all of the source, for the summary after a first walk.

        `full`: walk to the end whatever was seen before. Raises RemoteError and AuthError.
        """
        state = dict((await self.intake.positions()).get(stream.key, {}))
        walk = state.get("walk")
        if isinstance(walk, dict) and isinstance(walk.get("next"), str):
            log.info("walk goes on", source=self.source, stream=stream.key, read=walk.get("read", 0))
            answer = await self._resume(walk["next"], stream, hide=walk.get("hide") is True)
            await self._walk(stream, streams, state, walk, answer)
            state = dict((await self.intake.positions()).get(stream.key, {}))  # … and then see what is new since
        mark, now = _number(state.get("mark")), time.time()
        since = now - (_number(state.get("swept")) or 0.0)
        full = full or mark is None or not 0.0 <= since < self.sweep  # before 0: by a clock that has been put back
        # A first walk takes the values as it reads (one request for 100); later ones ask for those of new alerts only.
        hide = mark is not None
        answer = await self.client.get(stream.path, self._parameters(stream, hide), conditional=not full)
        if answer.status == 304:
            return
        walk = {"floor": None if full else mark, "top": mark, "read": 0, "full": full, "hide": hide}
        self.client.forget(answer)
        await self._walk(stream, streams, state, walk, answer)
        self.client.remember(answer)

    def _parameters(self, stream: AlertStream, hide: bool) -> dict[str, str]:
        parameters = {"sort": "updated", "direction": "desc", "per_page": "100", "after": ""}
        if hide:
            parameters |= HIDE
        if stream.kind == "generic":
            parameters["secret_type"] = ",".join(self.generic_types)
        return parameters

    async def _resume(self, url: str, stream: AlertStream, *, hide: bool) -> Response:
        """The page a walk stopped before. With page numbers one earlier: alerts may have disappeared meanwhile."""
        number = _page_number(url)
        if number is not None and number > 1:
            parts = urlsplit(url)
            query = re.sub(rf"(^|&)page={number}(?=&|$)", rf"\g<1>page={number - 1}", parts.query)
            url = urlunsplit(parts._replace(query=query))
        try:
            return await self.client.get(url, background=True)
        except RemoteError as error:
            if error.retry or error.status in (401, 403):
                raise
            # A cursor does not live for ever: start at the top, what is known costs nothing.
            log.warning("walk starts anew", source=self.source, stream=stream.key, reason=str(error))
            return await self.client.get(stream.path, self._parameters(stream, hide), background=True)

    async def _walk(
        self,
        stream: AlertStream,
        streams: Sequence[AlertStream],
        state: Mapping[str, Any],
        walk: dict[str, Any],
        answer: Response,
    ) -> None:
        floor, top, read = _number(walk.get("floor")), _number(walk.get("top")), int(_number(walk.get("read")) or 0)
        full, hide, fresh = walk.get("full") is True, walk.get("hide") is True, "next" not in walk
        previous: Response | None = None
        pages = 0
        look = time.monotonic() + LOOK
        while True:
            items, reached = self._items(answer, stream, floor)
            if fresh:  # of the first page alone: what changes later is above it, and the next walk's
                top = self._newest(items, top or 0.0)
                fresh = False
            if hide:
                items = await self._with_values(answer.url, items, stream)
            if previous is not None and _page_number(answer.url) is not None:
                items += await self._shifted(previous, stream)
            read += len(items)
            if self.on_page is not None:
                self.on_page(stream.key, read, min((one.updated for one in items), default=None))
            following = None if reached else answer.next
            pages += 1
            if following == answer.url or pages > MOST_PAGES:
                raise RemoteError(f"{stream.path}: the pages lead in circles", retry=False)
            rest = {"mark": state.get("mark"), "swept": state.get("swept")}
            if following is not None:
                walk = {"floor": floor, "top": top, "next": following, "read": read, "full": full, "hide": hide}
                await self._take(items, [Position(self.source, stream.key, rest | {"walk": walk})], idle=full)
                if floor is None:
                    log.info("reading alerts", source=self.source, stream=stream.key, read=read)
                if top and time.monotonic() >= look:
                    top, look = await self._ahead(stream, top), time.monotonic() + LOOK
                previous, answer = answer, await self.client.get(following, background=full)
                continue
            done = {"mark": top or 0.0, "swept": time.time() if full else state.get("swept")}
            await self._finish(stream, streams, items, done)
            if full:
                log.info("all alerts read", source=self.source, stream=stream.key, read=read)
            return

    async def _ahead(self, stream: AlertStream, top: float) -> float:
        """What has changed since a walk began (a first one may take hours) is taken; returns the new mark."""
        newest = top
        async for answer in self.client.pages(stream.path, self._parameters(stream, True)):
            items, reached = self._items(answer, stream, top)
            newest = self._newest(items, newest)
            await self._take(await self._with_values(answer.url, items, stream), [], idle=False)
            if reached:
                break
        return newest

    def _newest(self, items: Sequence[AlertItem], top: float) -> float:
        latest = time.time() + self.client.skew + AHEAD
        return max([top, *(one.updated for one in items if one.dated and one.updated <= latest)])

    def _items(self, answer: Response, stream: AlertStream, floor: float | None) -> tuple[list[AlertItem], bool]:
        """The alerts of a page down to the floor, and whether that was reached."""
        if not isinstance(answer.body, list):
            self.intake.malformed("page")
            raise RemoteError(f"{stream.path}: the answer is not a list of alerts; check base_url", retry=True)
        found: list[AlertItem] = []
        for body in answer.body:
            if (one := self.read(body, stream.repo, hidden="hide_secret=true" in answer.url)) is None:
                continue
            # Without a date of GitHub's it says nothing about what follows.
            if floor is not None and one.dated and one.updated < floor - OVERLAP:
                return found, True
            found.append(one)
        answer.body.clear()  # the values go with it
        return found, False

    def read(self, body: Any, repo: str | None, *, hidden: bool = False) -> AlertItem | None:
        """An alert, or None after it was counted as unusable.

        `hidden`: the value was not asked for. What stands in its place may be a mask, the same for many.
        """
        try:
            one = item(body, time.time(), repo)
            if hidden:
                one.take_secret()
            return one
        except Malformed as problem:
            self.intake.malformed("alert")
            log.warning("unusable alert", source=self.source, field=str(problem))
            return None

    async def _with_values(self, url: str, items: list[AlertItem], stream: AlertStream) -> list[AlertItem]:
        """The page again with its values when many of its alerts are new to us."""
        known = await self.intake.known_alerts([one.id(self.host) for one in items])
        if sum(not one.has_secret and one.id(self.host) not in known for one in items) <= FEW:
            return items
        parts = urlsplit(url)
        query = "&".join(part for part in parts.query.split("&") if not part.startswith("hide_secret="))
        answer = await self.client.get(urlunsplit(parts._replace(query=query)), background=True)
        valued = {one.id(self.host): one for one in self._items(answer, stream, None)[0]}
        return [valued.pop(one.id(self.host), one) for one in items] + list(valued.values())

    async def _shifted(self, page: Response, stream: AlertStream) -> list[AlertItem]:
        """What moved onto an earlier page while we read the next one; only where pages are numbered."""
        self.client.remember(page)
        again = await self.client.get(page.url, conditional=True, background=True)
        self.client.forget(page)
        return self._items(again, stream, None)[0] if again.status == 200 else []

    async def _finish(
        self, stream: AlertStream, streams: Sequence[AlertStream], items: Sequence[AlertItem], done: Mapping[str, Any]
    ) -> None:
        async with self._finishing:
            title = await self._title([one for one in streams if one != stream])
            await self._take(items, [Position(self.source, stream.key, done)], summary=title)
        self.failed.discard(stream.key)

    async def give_up(self, stream: AlertStream, streams: Sequence[AlertStream]) -> None:
        """A listing cannot be read: do not keep the summary of the others waiting."""
        if stream.key not in self.failed:
            self.failed.add(stream.key)
            async with self._finishing:
                if title := await self._title(streams):
                    await self.intake.record_alerts([], [], [], summary=title)

    async def _title(self, others: Sequence[AlertStream]) -> str | None:
        """One summary for the whole source: with the last of its first walks, and after any later one."""
        positions = await self.intake.positions()
        waiting = [
            one for one in others if one.key not in self.failed and positions.get(one.key, {}).get("mark") is None
        ]
        return None if waiting else f"GitHub source {self.source}: older alerts"

    # --- taking alerts --------------------------------------------------------------------------------------------

    async def _take(
        self,
        items: Sequence[AlertItem],
        positions: Sequence[Position],
        *,
        handled: Sequence[str] = (),
        summary: str | None = None,
        force: bool = False,
        attempts: int = 0,
        idle: bool = True,
    ) -> None:
        """Commit alerts and what goes with them. Those that did not change since are passed over unless `force`.

        `idle`: commit also when no alert is left.
        """
        newest: dict[str, AlertItem] = {}
        for entry in items:
            other = newest.setdefault(entry.id(self.host), entry)
            if entry.updated > other.updated:
                newest[entry.id(self.host)] = entry
        known = await self.intake.known_alerts(newest)
        alerts: list[Alert] = []
        findings: list[Finding] = []
        again: list[HookDelivery] = []

        async def take(alert_id: str, entry: AlertItem) -> None:
            before = known.get(alert_id)
            if before is not None and not before.provisional and not force and _unchanged(before, entry):
                return
            whole, places, problem = await self._details(entry, before, force=force)
            who = await identity(whole, host=self.host, key=self.key, intake=self.intake, known=before)
            # In one step, without an await between: the lists belong together.
            now = time.time() + self.client.skew
            old = now - self.quiet_after
            alert, found = record(whole, who, places, source=self.source, host=self.host, quiet_before=old, read=now)
            alerts.append(alert)
            findings.extend(found)
            if self.assign and before is None and alert.state == "open" and not alert.quiet:
                name = f"assign:{alert_id}"
                again.append(HookDelivery(name, self.source, "assign", entry.repo, entry.number))
            if problem:
                due = time.time() + later(attempts)
                name = f"again:{alert_id}:{int(due)}"
                again.append(HookDelivery(name, self.source, "again", entry.repo, entry.number, due, attempts + 1))

        try:
            async with asyncio.TaskGroup() as tasks:
                for alert_id, entry in newest.items():
                    tasks.create_task(take(alert_id, entry))
        except BaseExceptionGroup as group:
            raise _first_of(group) from None
        if not alerts and not idle:
            return  # the overlap, read again: nothing worth a write
        alerts.sort(key=lambda alert: (alert.created, alert.id))
        findings.sort(key=lambda finding: (finding.time, finding.id))
        await self.intake.record_alerts(alerts, findings, positions, handled=handled, again=again, summary=summary)

    async def _details(
        self, entry: AlertItem, before: KnownAlert | None, *, force: bool
    ) -> tuple[AlertItem, list[AlertLocation], bool]:
        """The value of an alert not known yet and the places; True when some of it has to be asked for again.

        A single alert that GitHub cannot show (an error that stays) must not stop the walk of all the others.
        """
        problem = False
        background = not force  # what was asked for by itself (a hook) may use what listings leave of the quota
        path = f"/repos/{entry.repo}/secret-scanning/alerts/{entry.number}"
        if not entry.has_secret and (before is None or before.provisional):
            try:
                entry = self.read((await self.client.get(path, background=background)).body, entry.repo) or entry
            except RemoteError as error:
                problem = self._survivable(error, entry)
        places = [entry.first] if entry.first else []
        if entry.more or force:
            try:
                places = await self._places(path, entry, background=background) or places
            except RemoteError as error:
                problem = self._survivable(error, entry) or problem
        return entry, places, problem

    def _survivable(self, error: RemoteError, one: AlertItem) -> bool:
        """Whether to ask again later; raises when the trouble is not with this alert alone."""
        if error.status in (0, 401):
            raise error
        log.warning("alert is incomplete", source=self.source, alert=one.id(self.host), reason=str(error))
        return error.retry

    async def _places(self, path: str, entry: AlertItem, *, background: bool) -> list[AlertLocation]:
        places: dict[str, AlertLocation] = {}
        pages = 0
        async for answer in self.client.pages(f"{path}/locations", {"per_page": "100"}, background=background):
            for body in answer.body if isinstance(answer.body, list) else [None]:
                try:
                    found = place(body, entry.repo)
                    places[found.key] = found
                except Malformed as problem:
                    self.intake.malformed("location")
                    log.warning("unusable location", source=self.source, alert=entry.id(self.host), field=str(problem))
            pages += 1
            if pages >= LOCATION_PAGES:
                if answer.next:
                    log.warning(
                        "more places than are kept",
                        source=self.source,
                        alert=entry.id(self.host),
                        read=len(places),
                    )
                break
        return list(places.values())

    # --- hooks ----------------------------------------------------------------------------------------------------

    async def deliver(self, delivery: HookDelivery) -> None:
        """Deal with a hook: it only names an alert, whose present state is read from the API.

        Raises RemoteError when it is worth trying again.
        """
        if not delivery.number:
            await self.intake.record_alerts([], [], [], handled=[delivery.id])
            return
        path = f"/repos/{delivery.repo}/secret-scanning/alerts/{delivery.number}"
        try:
            answer = await self.client.get(path, HIDE)
        except RemoteError as error:
            if error.retry or error.status in (401, 403):
                raise
            log.warning("hook names no alert we can read", source=self.source, delivery=delivery.id, reason=str(error))
            await self.intake.record_alerts([], [], [], handled=[delivery.id])
            return
        await self.take_one(answer.body, delivery.repo, handled=[delivery.id], attempts=delivery.attempts)

    async def take_one(self, body: Any, repo: str, *, handled: Sequence[str] = (), attempts: int = 0) -> None:
        """Commit what an answer says of one alert."""
        one = self.read(body, repo, hidden=True)
        await self._take([one] if one else [], [], handled=handled, force=True, attempts=attempts)


def _unchanged(before: KnownAlert, now: AlertItem) -> bool:
    settled = before.read - before.updated > SETTLED
    return now.dated and (before.updated > now.updated or (before.updated == now.updated and settled))


def _first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error of a task group: callers know single errors."""
    first: BaseException = group
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _page_number(url: str) -> int | None:
    """The number in a link that counts pages; None for a cursor."""
    query = parse_qs(urlsplit(url).query)
    if "page" not in query or "after" in query or not query["page"][0].isdigit():
        return None
    return int(query["page"][0][:9])
