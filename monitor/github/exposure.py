"""What of ours is public: code search for configured markers, members' public gists, the organisation's public events.

Never searches for a secret: a marker is a host name or a key's id, and one that a rule takes for a secret is refused.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
import structlog

from detectors.fingerprint import fingerprint
from monitor.common.http import RemoteError
from monitor.common.outside import at, listed, tables, taken, text
from monitor.common.text import web_address
from monitor.domain.model import Block, Finding, Position
from monitor.github.client import GitHubClient
from monitor.github.links import web
from monitor.intake.protocol import AlertIntake, ScanError

__all__ = ["Exposure"]

log = structlog.get_logger(__name__)

SEARCH_PAGES = 10  # GitHub shows 1,000 results
LATE = 6 * 3600.0  # public events and gists may show up this much later
KINDS = {  # label → rule id and name of an incident that is about a fact
    "marker": ("github-public-marker", "Configured marker in public code"),
    "repository": ("github-made-public", "Repository made public"),
}
REMEMBERED = 500  # ids of events; the API keeps 300


class Exposure:
    """Each method is one round; the source calls them on its schedule. They raise RemoteError."""

    def __init__(self, source: str, client: GitHubClient, intake: AlertIntake, key: bytes, orgs: Sequence[str]) -> None:
        self.source, self.client, self.intake, self.key = source, client, intake, key
        self.orgs = tuple(orgs)
        self._not_before: dict[str, float] = {}

    async def search(self, markers: Sequence[str]) -> None:
        """Public code of others that names one of the markers. What cannot be searched for is told of at the end."""
        problem: RemoteError | None = None
        for marker in markers:
            # The id of a key is what one may look for; its secret half must not travel to a search box.
            if await self.intake.identify(marker.encode()):
                problem = RemoteError("a marker looks like a secret and is not searched for; remove it", retry=False)
                continue
            try:
                await self.intake.record(await self._search(marker), [])
            except RemoteError as error:
                if not _only_this(error):
                    raise
                problem = error
        if problem is not None:
            raise problem

    async def _search(self, marker: str) -> list[Finding]:
        own = " ".join(f"-org:{org}" for org in self.orgs)
        quoted = marker.replace("\\", "\\\\").replace('"', '\\"')
        findings: list[Finding] = []
        pages = 0
        async for answer in self.client.pages(
            "/search/code", {"q": f'"{quoted}" {own}'.strip(), "per_page": "100"},
            resource="code_search", background=True,
        ):  # fmt: skip
            items, pages = at(answer.body, "items"), pages + 1
            if not isinstance(items, list):
                self.intake.malformed("search")
                break
            findings += [one for body in items if (one := self._result(body, marker)) is not None]
            if pages == SEARCH_PAGES:
                break
        return findings

    def _result(self, body: Any, marker: str) -> Finding | None:
        repo, path = text(body, "repository", "full_name"), text(body, "path")
        if not repo or not path:
            self.intake.malformed("search result")
            return None
        ours = repo.partition("/")[0].lower() in {org.lower() for org in self.orgs}
        if ours or at(body, "repository", "private") is True:
            return None
        return self._finding("marker", marker, f"{repo}:{path}", web_address(body.get("html_url")))

    def _finding(self, kind: str, subject: str, path: str, url: str | None) -> Finding:
        """About a fact, not a secret: the subject has the place of the fingerprinted value."""
        rule, name = KINDS[kind]
        print_ = fingerprint(self.key, f"{rule} {subject}".encode())
        identity = hashlib.blake2b(f"{print_}\0{path}".encode("utf-8", "backslashreplace"), digest_size=16).hexdigest()
        return Finding(
            id=identity, rule=rule, name=name, severity="medium", confidence="medium", fingerprint=print_,
            masked=subject, source=self.source, path=path, generation=rule, offset=0, time=time.time(),
            labels={kind: subject}, runbook="generic-secret", url=url,
        )  # fmt: skip

    async def gists(self) -> None:
        """Read members' public gists that changed since the last round with the rules."""
        positions = await self.intake.positions()
        for org in self.orgs:
            key, start = f"gists:{org}", time.time()
            last = positions.get(key, {}).get("read")
            # Not from what is to come, as a clock had it that has been put back.
            since = min(last, start) - LATE if isinstance(last, int | float) else start - 7 * 86_400.0
            seen = set(_seen(positions, key))
            fresh: list[str] = []
            async for members in self.client.pages(f"/orgs/{org}/members", {"per_page": "100"}, background=True):
                for login in (text(member, "login") for member in tables(members.body)):
                    if login.replace("-", "").isalnum():
                        fresh += await self._gists_of(login, since, seen)
            state = {"read": start, "seen": (fresh + list(seen))[:REMEMBERED]}
            await self.intake.record([], [Position(self.source, key, state)])

    async def _gists_of(self, login: str, since: float, seen: set[str]) -> list[str]:
        stamp = datetime.fromtimestamp(since, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        done: list[str] = []
        listing = self.client.pages(f"/users/{login}/gists", {"since": stamp, "per_page": "100"}, background=True)
        async for page in listing:
            for gist in tables(page.body):
                name, version = text(gist, "id"), f"{gist.get('id')}@{gist.get('updated_at')}"
                if not name.isalnum() or version in seen:
                    continue
                try:
                    body = (await self.client.get(f"/gists/{name}", background=True)).body
                except RemoteError as error:
                    if not _only_this(error):
                        raise
                    # Deleted since it was listed, or withheld by GitHub (451): the others are read all the same.
                    log.warning("gist cannot be read", source=self.source, reason=str(error))
                    done.append(version)
                    continue
                files = at(body, "files")
                for file, entry in (files if isinstance(files, dict) else {}).items():
                    content = at(entry, "content")
                    if isinstance(content, str):
                        data = content.encode("utf-8", "replace")
                        await self._scan(f"gist {login}/{name}: {taken(file)}", version, data, gist.get("html_url"))
                    if at(entry, "truncated") is True:
                        self.intake.missed("gist_truncated", 1, f"gist {login}/{name}")
                done.append(version)
        return done

    async def events(self) -> None:
        """Read the organisations' public events; honours X-Poll-Interval."""
        for org in self.orgs:
            if time.monotonic() < self._not_before.get(org, 0.0):
                continue
            answer = await self.client.get(
                f"/orgs/{org}/events", {"per_page": "100"}, conditional=True, background=True
            )
            pause = answer.headers.get("x-poll-interval", "60")
            self._not_before[org] = time.monotonic() + (float(pause) if pause.isdigit() else 60.0)
            if answer.status == 304:
                continue
            key = f"events:{org}"
            seen = _seen(await self.intake.positions(), key)
            root = web(str(self.client.base))
            known, findings, fresh = set(seen), [], []
            async for page in self.client.onward(answer, background=True):
                for event in tables(page.body):
                    id_, repo = text(event, "id"), text(event, "repo", "name")
                    if not id_ or not repo or id_ in known:
                        continue
                    fresh.append(id_)
                    if event.get("type") == "PublicEvent":
                        findings.append(self._finding("repository", repo, repo, web_address(f"{root}/{repo}")))
                    what = f"{repo}: {taken(str(event.get('type')))} {id_}"
                    await self._scan(what, f"event:{id_}", orjson.dumps(event.get("payload")), f"{root}/{repo}")
            await self.intake.record(findings, [Position(self.source, key, {"seen": (fresh + seen)[:REMEMBERED]})])
            self.client.remember(answer)

    async def _scan(self, path: str, generation: str, data: bytes, address: Any) -> None:
        name = hashlib.blake2b(generation.encode("utf-8", "backslashreplace"), digest_size=16).hexdigest()
        block = Block(self.source, path, name, 0, data, time.time(), line=1, url=web_address(address))
        try:
            await self.intake.scan([block], lambda: [])
        except ScanError:  # whoever wrote it must not keep us from all that others write
            self.intake.missed("unscannable", len(data), path)


def _only_this(error: RemoteError) -> bool:
    """Whether it concerns the one thing that was asked for, and the rest of the round can go on."""
    return not error.retry and error.status not in (0, 401, 403)


def _seen(positions: Mapping[str, Any], key: str) -> list[str]:
    return [one for one in listed(positions, key, "seen") if isinstance(one, str)]
