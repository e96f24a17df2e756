"""Requests that wait for a reviewer at GitHub: to push a secret past push protection, or to dismiss an alert of one.

What a requester writes is not taken: it may hold the secret, and the page behind the link has it.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from monitor.common.http import RemoteError
from monitor.common.outside import at, number, tables, text, when
from monitor.common.text import one_line, web_address
from monitor.domain.model import Position
from monitor.github.client import GitHubClient
from monitor.github.links import REPOSITORY
from monitor.intake.protocol import AlertIntake

__all__ = ["KINDS", "REVIEWER", "Kind", "ReviewRequest", "Reviews", "open_reviews"]

Kind = Literal["bypass", "dismissal"]
KINDS: dict[Kind, str] = {"bypass": "bypass-requests", "dismissal": "dismissal-requests"}
# GitHub lists those of the last day unless asked for more; they run out after seven.
_OPEN = {"request_status": "open", "time_period": "month", "per_page": "100"}
_SOON = 86_400.0  # seconds before one runs out in which it is reported again
_PAGES = 20
_LISTED = 10  # requests that a notification names
REVIEWER = (
    "not permitted; the token must be of a reviewer, with the permission Secret scanning alerts, and of an "
    "organisation also Organization bypass requests for secret scanning, each to read"
)


@dataclass(frozen=True, slots=True)
class ReviewRequest:
    """A request as it waits. `about`: types of secrets; `where`: files, each with its branch; `alert`: the number of
    the alert that is to be dismissed; `expires`: None where GitHub does not say."""

    kind: Kind
    id: int
    repo: str
    who: str
    about: tuple[str, ...]
    where: tuple[str, ...]
    reasons: tuple[str, ...]
    alert: int
    created: float | None
    expires: float | None
    url: str

    @property
    def words(self) -> str:
        """One line, for people."""
        what = ", ".join(self.about) or "a secret"
        reasons = f" ({', '.join(self.reasons)})" if self.reasons else ""
        places = f" in {', '.join(self.where[:3])}" if self.where else ""
        asks = f"push {what}{places}" if self.kind == "bypass" else f"dismiss alert #{self.alert or '?'}, {what}"
        return f"{self.repo}: {self.who} asks to {asks}{reasons}, to be answered {self.until}"

    @property
    def until(self) -> str:
        if self.expires is None:
            return "some day"
        return f"until {datetime.fromtimestamp(self.expires, UTC):%Y-%m-%d %H:%M} UTC"

    def alert_id(self, host: str) -> str | None:
        """As alerts are known."""
        return f"{host}/{self.repo}#{self.alert}".lower() if self.kind == "dismissal" and self.alert else None


async def open_reviews(client: GitHubClient, target: str, kind: Kind) -> AsyncIterator[ReviewRequest | None]:
    """Those that wait; None for one that cannot be read. `target`: `org:NAME`, `repo:OWNER/NAME` or `enterprise:NAME`.
    Raises RemoteError; with status 404 where nobody has to ask, or nothing may be seen."""
    place, _, name = target.partition(":")
    pages = 0
    async for answer in client.pages(
        f"/{_FOLDERS[place]}/{name}/{KINDS[kind]}/secret-scanning", _OPEN, background=True
    ):
        if not isinstance(answer.body, list):
            raise RemoteError(f"{KINDS[kind]} of {target}: the answer is not a list", retry=True)
        for body in answer.body:
            if not isinstance(body, dict) or body.get("status") in ("open", "pending"):
                yield _review(body, kind, name if place == "repo" else None)
        pages += 1
        if pages >= _PAGES and answer.next:
            raise RemoteError(
                f"{KINDS[kind]} of {target}: more than {_PAGES * 100:,}; the rest is not read", retry=False
            )


_FOLDERS = {"org": "orgs", "repo": "repos", "enterprise": "enterprises"}


def _review(body: Any, kind: Kind, repo: str | None) -> ReviewRequest | None:
    name, id_ = text(body, "repository", "full_name") or repo or "", number(body, "id")
    if not REPOSITORY.fullmatch(name) or not id_:
        return None
    rows = tables(body, "data")
    alerts = [row.get("alert_number") for row in rows] or [body.get("resource_identifier")]
    return ReviewRequest(
        kind=kind,
        id=id_,
        repo=name,
        who=_shown(body, "requester", "actor_name") or "somebody",
        about=_all(rows, "secret_type"),
        where=tuple(dict.fromkeys(place for row in rows if (place := _place(row)))),
        reasons=_all(rows, "bypass_reason" if kind == "bypass" else "reason"),
        alert=_number(alerts[0]) if kind == "dismissal" else 0,
        created=when(body, "created_at"),
        expires=when(body, "expires_at"),
        url=web_address(body.get("html_url")) or "",
    )


def _shown(record: Any, *path: str) -> str:
    return one_line(text(record, *path), mark="?")


def _all(rows: Sequence[Mapping[str, Any]], key: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(None, (_shown(row, key) for row in rows))))


def _place(row: Mapping[str, Any]) -> str:
    path, branch = _shown(row, "path"), _shown(row, "branch")
    return f"{path} on {branch}" if path and branch else path


def _number(value: Any) -> int:
    """Of an alert; GitHub writes it as text."""
    digits = value if isinstance(value, str) else str(value) if type(value) is int else ""
    return int(digits) if re.fullmatch(r"[1-9][0-9]{0,14}", digits) else 0


class Reviews:
    """Reports requests as they come, and again before they run out. `host`: as it names alerts."""

    def __init__(
        self, source: str, client: GitHubClient, intake: AlertIntake, host: str, targets: Sequence[str]
    ) -> None:
        self.source, self.client, self.intake, self.host = source, client, intake, host
        self.targets = tuple(targets)

    async def look(self) -> None:
        """One round. Raises RemoteError at the end where a listing could not be read."""
        problem: RemoteError | None = None
        for target in self.targets:
            for kind, listing in KINDS.items():
                waiting: list[ReviewRequest | None] = []
                failed: RemoteError | None = None
                try:
                    async for one in open_reviews(self.client, target, kind):
                        waiting.append(one)  # noqa: PERF401 - what came before a failure is reported all the same
                except RemoteError as error:
                    failed = error
                for _ in range(waiting.count(None)):
                    self.intake.malformed("review request")
                whole = failed is None
                await self._take(f"{kind}:{target}", kind, [one for one in waiting if one is not None], whole=whole)
                if failed is not None and failed.status == 403:
                    problem = RemoteError(f"{listing} of {target}: {REVIEWER}", retry=False, status=403)
                elif failed is not None and failed.status != 404:  # nobody has to ask there
                    problem = failed
        if problem is not None:
            raise problem

    async def _take(self, key: str, kind: Kind, waiting: Sequence[ReviewRequest], *, whole: bool) -> None:
        """What was reported of each is saved with the notification that says so. `whole`: no other waits there."""
        positions = await self.intake.positions()
        before = _reported(positions.get(key))
        elsewhere = [_reported(positions.get(f"{kind}:{target}")) for target in self.targets]  # an org, and its repo
        now = time.time() + self.client.skew
        stages = {} if whole else dict(before)
        stages |= {str(one.id): _stage(one, before.get(str(one.id)), now) for one in waiting}
        if stages == before:
            return
        fresh = [
            one
            for one in waiting
            if (stage := stages[str(one.id)]) != "over" and all(row.get(str(one.id)) != stage for row in elsewhere)
        ]
        incidents = await self._noted(fresh)
        title, text = _words(kind, fresh, sum(stages[str(one.id)] == "soon" for one in fresh))
        position = Position(self.source, key, {"reported": stages})
        await self.intake.notify(title, text, [position], incidents=incidents)

    async def _noted(self, fresh: Sequence[ReviewRequest]) -> list[str]:
        """The incidents of the alerts that are to be dismissed, whose history has it from here on."""
        alerts = {one.id: alert for one in fresh if (alert := one.alert_id(self.host))}
        known = await self.intake.known_alerts(set(alerts.values())) if alerts else {}
        about = [(one, known[alerts[one.id]].incident) for one in fresh if alerts.get(one.id) in known]
        for one, incident in about:
            if incident:
                await self.intake.note(incident, f"{one.words}: {one.url}", actor="GitHub")
        return list(dict.fromkeys(incident for _, incident in about if incident))


def _reported(state: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """By the id of a request: what was reported of it last."""
    reported = at(state, "reported")
    return reported if isinstance(reported, Mapping) else {}


def _stage(one: ReviewRequest, before: object, now: float) -> str:
    """One that was reported as running out stays so, whatever clocks do; one that has run out is listed late."""
    left = float("inf") if one.expires is None else one.expires - now
    if before == "soon":
        return "soon"
    return "over" if left <= 0 else "soon" if left < _SOON else "new"


def _words(kind: Kind, fresh: Sequence[ReviewRequest], soon: int) -> tuple[str, str]:
    """Title and text; empty where there is nothing to say. `soon`: how many run out within a day."""
    if not fresh:
        return "", ""
    count = len(fresh)
    what = "push a secret past push protection" if kind == "bypass" else "dismiss an alert of a secret"
    ends = f", {soon} within a day" if soon else ""
    title = f"{count} request{'' if count == 1 else 's'} to {what}: GitHub waits for a reviewer{ends}"
    order = sorted(fresh, key=lambda one: one.expires or float("inf"))
    lines = [f"{one.words}: {one.url or f'see {KINDS[kind]} at GitHub'}" for one in order[:_LISTED]]
    more = [f"and {count - _LISTED} more: `monitor github requests` lists them"] if count > _LISTED else []
    return title, "\n".join([*lines, *more])
