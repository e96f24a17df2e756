"""GitHub secret-scanning alerts, and what of ours is public there. Set-up and limits: docs/github.md."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints, model_validator

from monitor.common.duration import Duration
from monitor.common.every import every
from monitor.common.fields import LISTED
from monitor.common.http import RemoteError
from monitor.common.inbound import HookDelivery
from monitor.common.problems import refuse
from monitor.github.exposure import Exposure
from monitor.github.login import GitHubLogin, Name
from monitor.github.poll import AlertStream, Poller
from monitor.github.redeliver import redeliver
from monitor.github.reviews import Reviews
from monitor.github.writeback import Mode, WriteBacks
from monitor.intake.protocol import AlertIntake
from monitor.sources.base import SourceConfig

__all__ = ["GENERIC_TYPES", "REVIEWS", "GitHubConfig", "GitHubSource"]

# GitHub leaves these out of a listing that does not name them.
GENERIC_TYPES = (
    "ec_private_key",
    "generic_private_key",
    "http_basic_authentication_header",
    "http_bearer_authentication_header",
    "mongodb_connection_string",
    "mysql_connection_url",
    "openssh_private_key",
    "password",
    "pgp_private_key",
    "postgres_connection_string",
    "rsa_private_key",
)
WRITE_PAUSE = 15.0  # seconds
REDELIVER_EVERY = 600.0
REVIEWS_EVERY = 300.0
# Events of requests to reviewers, by either name that GitHub has for the first.
REVIEWS = ("bypass_request_secret_scanning", "exemption_request_secret_scanning", "dismissal_request_secret_scanning")


_Marker = Annotated[str, StringConstraints(min_length=4, max_length=128, pattern=r"^[^\r\n\t]+$")]


EXAMPLE = """
# Secret-scanning alerts of GitHub: organisations, repositories, enterprises. docs/github.md explains each key.
#[[sources]]
#name = "github"
#type = "github"
#org = "acme"                   # or a list; at least one of org, repo and enterprise
#repo = ["other/web"]
#enterprise = "acme-inc"
#token = "env:GITHUB_TOKEN"     # or an App, below
#base_url = "https://api.github.com"    # GitHub Enterprise Server: https://HOST/api/v3
#insecure = false               # true: the token may travel unencrypted
#interval = "1m"
#generic_types = []             # default: every generic secret type, which GitHub leaves out unless named; []: none
#quiet_after = "7d"             # alerts older than this open without a notification of their own
#sweep = "1d"                   # once in so long everything is read, not only what changed
#webhook_secret = "credential:github-webhook-secret"
#write_back = "dry-run"         # default: "off"; "on" resolves the alert when its incident is resolved as revoked
#assignee = "octocat"           # GitHub login that new alerts are assigned to; needs write_back
#markers = ["internal.acme.example"]    # looked for in public code: host names, ids of keys; never a secret
#public_gists = false
#public_events = false
#review_requests = true         # default: false. To bypass push protection, to dismiss: alerted before they run out
#exposure_interval = "1h"       # pause between searches for markers, gists and events

# The same as a GitHub App, which is installed for one owner.
#[[sources]]
#name = "github-app"
#type = "github"
#org = "acme"
#app = { id = 12345, private_key = "file:/etc/exposure-monitor/github-app.pem", installation = 67890 }
"""


class GitHubConfig(GitHubLogin):
    """Polls secret-scanning alerts and receives their webhooks ([github](github.md)).

    - `org`, `repo`, `enterprise` (at least one): what to watch; one name or a list
    - `interval`, `sweep`: pause between polls; once in so long everything is read, not only what changed
    - `generic_types` (all): generic secret types, which need a second poll; `[]`: none
    - `quiet_after`: alerts older than this open without a notification of their own
    - `write_back`: `"on"` resolves the alert when its incident is resolved as revoked; `"dry-run"` logs what it would
      do
    - `assignee`: GitHub login that new alerts are assigned to; needs `write_back`
    - `markers`: looked for in public code: host names, ids of keys; never a secret
    - `public_gists`, `public_events`: whether members' public gists, and the organisation's public events, are searched
    - `review_requests`: whether requests that wait for a reviewer are alerted
      ([github](github.md#requests-to-reviewers))
    - `exposure_interval`: pause between searches for markers, gists and events

    **Reads** at least once; nothing is lost that GitHub still has. While it cannot be asked, `source_degraded` says so.
    """

    reach: ClassVar[tuple[str, ...]] = ("org", "repo", "enterprise", "base_url")
    type: Literal["github"]
    enterprise: Annotated[tuple[Name, ...], LISTED] = ()
    interval: Annotated[Duration, Field(ge=1)] = 60.0
    generic_types: tuple[Name, ...] = GENERIC_TYPES  # (): no second poll
    quiet_after: Duration = 7 * 86_400.0  # alerts older than this open without a notification of their own
    sweep: Duration = 86_400.0  # once in so long everything is read, not only what changed
    write_back: Mode = "off"
    assignee: Name | None = None  # GitHub login that new alerts are assigned to (needs write_back)
    markers: tuple[_Marker, ...] = ()  # looked for in public code: host names, ids of keys; never a secret
    public_gists: bool = False
    public_events: bool = False
    review_requests: bool = False  # to push past push protection, and to dismiss alerts
    exposure_interval: Annotated[Duration, Field(ge=60)] = 3600.0

    @model_validator(mode="after")
    def _whole(self) -> GitHubConfig:
        refuse(
            (not (self.org or self.repo or self.enterprise), "give at least one of org, repo and enterprise"),
            (self.app and self.enterprise, "GitHub does not let an App read an enterprise's alerts; use a token"),
            (self.assignee and self.write_back == "off", 'assignee needs write_back = "on" (or "dry-run")'),
        )
        return self

    @property
    def targets(self) -> tuple[str, ...]:
        named = {"org": self.org, "repo": self.repo, "enterprise": self.enterprise}
        return tuple(f"{kind}:{name}" for kind, names in named.items() for name in names)

    def streams(self) -> tuple[AlertStream, ...]:
        default = [AlertStream(target, "default") for target in self.targets]
        return (*default, *(AlertStream(target, "generic") for target in self.targets if self.generic_types))


class GitHubSource:
    """Polls, answers hooks and, where configured, writes back and looks for what is public."""

    Config: ClassVar[type[SourceConfig]] = GitHubConfig

    def __init__(self, config: GitHubConfig, intake: AlertIntake, key: bytes) -> None:
        self.config, self.intake = config, intake
        self._rounds = config.rounds(intake)
        self.client = config.client(on_wait=self._rounds.waiting)
        intake.quotas(self.client.quotas)
        self.streams = config.streams()
        self.poller = Poller(
            source=config.name,
            client=self.client,
            intake=intake,
            key=key,
            host=config.host,
            generic_types=config.generic_types,
            quiet_after=config.quiet_after,
            sweep=config.sweep,
            assign=config.assignee is not None,
        )
        self.writes = WriteBacks(self.client, intake, self.poller, config.write_back, config.assignee)
        self.exposure = Exposure(config.name, self.client, intake, key, config.owners)
        self.reviews = Reviews(config.name, self.client, intake, config.host, config.targets)
        self._review = asyncio.Event()  # set: requests to reviewers are read next
        self._polls: list[asyncio.Event] = []  # set: that listing is read next, when its present walk has ended

    async def run(self, once: bool) -> None:
        try:
            if once:
                for stream in self.streams:
                    await self.poll(stream)
                await self._answer_hooks()
                if self.config.review_requests:
                    await self._rounds.guarded("review requests", self.reviews.look)
                if self.config.write_back != "off":
                    await self._rounds.guarded("write-back", self.writes.resolve)
                return
            await self._follow()
        finally:
            await self.client.close()

    async def _follow(self) -> None:
        config = self.config
        async with asyncio.TaskGroup() as tasks:
            self._polls = [asyncio.Event() for _ in self.streams]
            for stream, wake in zip(self.streams, self._polls, strict=True):
                tasks.create_task(self.intake.every(config.interval, partial(self.poll, stream), wake=wake))
            if config.write_back != "off":
                tasks.create_task(every(WRITE_PAUSE, partial(self._rounds.guarded, "write-back", self.writes.resolve)))
            if config.webhook_secret is not None and config.app is not None:
                again = partial(redeliver, self.client, self.intake, config.name, "secret_scanning")
                tasks.create_task(
                    self.intake.every(REDELIVER_EVERY, partial(self._rounds.guarded, "redelivery", again))
                )
            if config.review_requests:
                look = partial(self._rounds.guarded, "review requests", self.reviews.look)
                tasks.create_task(self.intake.every(REVIEWS_EVERY, look, wake=self._review))
            for name, work in self._exposures():
                interval = 60.0 if name == "public events" else config.exposure_interval
                tasks.create_task(self.intake.every(interval, partial(self._rounds.guarded, name, work)))
            tasks.create_task(self._rounds.hooks(self._answer_hooks, announced=config.webhook_secret is not None))

    def _exposures(self) -> Iterable[tuple[str, Callable[[], Awaitable[None]]]]:
        if self.config.markers:
            yield "markers", partial(self.exposure.search, self.config.markers)
        if self.config.public_gists:
            yield "public gists", self.exposure.gists
        if self.config.public_events:
            yield "public events", self.exposure.events

    async def poll(self, stream: AlertStream, *, full: bool = False) -> bool:
        """Bring one listing up to date; False (and degraded) when GitHub does not let us."""
        error = await self._rounds.guarded(stream.key, partial(self.poller.poll, stream, self.streams, full=full))
        if error is not None and not (isinstance(error, RemoteError) and error.retry):
            await self._rounds.guarded("summary", partial(self.poller.give_up, stream, self.streams))
        return error is None

    async def _answer_hooks(self) -> None:
        for delivery in await self.intake.deliveries():
            await self._rounds.deal("hooks", delivery, self._deliver)

    async def _deliver(self, delivery: HookDelivery) -> None:
        if delivery.event == "assign":
            await self.writes.assign(delivery)
        elif delivery.event == "secret_scanning_scan":
            await self._wake(delivery, self._polls)
        elif delivery.event in REVIEWS:
            await self._wake(delivery, [self._review])
        else:
            await self.poller.deliver(delivery)

    async def _wake(self, delivery: HookDelivery, listings: Sequence[asyncio.Event]) -> None:
        """Something has changed in these: read it now, without keeping the other hooks waiting for it."""
        for listing in listings:
            listing.set()
        await self.intake.record_alerts([], [], [], handled=[delivery.id])
