"""GitHub secret-scanning alerts, and what of ours is public there. Set-up and limits: docs/github.md."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

import structlog
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, field_validator, model_validator

from monitor.common.credential import Credential
from monitor.common.duration import Duration
from monitor.common.every import every
from monitor.common.http import CLEAR, RemoteError, in_the_clear
from monitor.github.auth import AuthError
from monitor.github.client import Client
from monitor.github.exposure import Exposure
from monitor.github.poll import Poller, Stream, later
from monitor.github.redeliver import redeliver
from monitor.github.reviews import Reviews
from monitor.github.writeback import Mode, WriteBacks
from monitor.intake import AlertIntake
from monitor.sources.base import SourceConfig

__all__ = ["GENERIC_TYPES", "REVIEWS", "AppConfig", "GitHubConfig", "GitHubSource"]

log = structlog.get_logger(__name__)

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
HOOK_PAUSE = 1.0  # seconds between looks for new hook deliveries …
WORK_PAUSE = 5.0  # … and, without a webhook, for work that was put off
WRITE_PAUSE = 15.0
REDELIVER_EVERY = 600.0
REVIEWS_EVERY = 300.0
# Events of requests to reviewers, by either name that GitHub has for the first.
REVIEWS = ("bypass_request_secret_scanning", "exemption_request_secret_scanning", "dismissal_request_secret_scanning")


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


_Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
_Repo = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}/[A-Za-z0-9._-]{1,100}$")]
_Marker = Annotated[str, StringConstraints(min_length=4, max_length=128, pattern=r"^[^\r\n\t]+$")]


class AppConfig(BaseModel):
    """A GitHub App to log in as. `installation` is found by the owner's name when it is not given."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    id: Annotated[str, BeforeValidator(lambda value: str(value) if type(value) is int else value)]
    private_key: Credential
    installation: int | None = None


class GitHubConfig(SourceConfig):
    """`[[sources]]` with `type = "github"`: at least one of org, repo and enterprise, and one way to log in."""

    reach: ClassVar[tuple[str, ...]] = ("org", "repo", "enterprise", "base_url")
    type: Literal["github"]
    org: Annotated[tuple[_Name, ...], BeforeValidator(_listed)] = ()
    repo: Annotated[tuple[_Repo, ...], BeforeValidator(_listed)] = ()
    enterprise: Annotated[tuple[_Name, ...], BeforeValidator(_listed)] = ()
    token: Credential | None = None
    app: AppConfig | None = None
    base_url: str = "https://api.github.com"  # GHES: https://HOST/api/v3
    insecure: bool = False  # True: the token may go over the network unencrypted
    interval: Annotated[Duration, Field(ge=1)] = 60.0
    generic_types: tuple[_Name, ...] = GENERIC_TYPES  # (): no second poll
    quiet_after: Duration = 7 * 86_400.0  # alerts older than this open without a notification of their own
    sweep: Duration = 86_400.0  # once in so long everything is read, not only what changed
    webhook_secret: Credential | None = None
    write_back: Mode = "off"
    assignee: _Name | None = None  # GitHub login that new alerts are assigned to (needs write_back)
    markers: tuple[_Marker, ...] = ()  # looked for in public code: host names, ids of keys; never a secret
    public_gists: bool = False
    public_events: bool = False
    review_requests: bool = False  # to push past push protection, and to dismiss alerts
    exposure_interval: Annotated[Duration, Field(ge=60)] = 3600.0

    @field_validator("base_url")
    @classmethod
    def _base_url(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or "@" in parts.netloc:
            raise ValueError('must be an address such as "https://api.github.com" or "https://HOST/api/v3"')
        return value.rstrip("/")

    @model_validator(mode="after")
    def _whole(self) -> GitHubConfig:
        if not self.insecure and in_the_clear(self.base_url):
            raise ValueError(f"base_url: the token {CLEAR}")
        if not (self.org or self.repo or self.enterprise):
            raise ValueError("give at least one of org, repo and enterprise")
        if (self.token is None) == (self.app is None):
            raise ValueError("give one of token and app")
        if self.app is not None:
            if self.enterprise:
                raise ValueError("GitHub does not let an App read an enterprise's alerts; use a token")
            if len({owner.lower() for owner in self.owners}) > 1:
                raise ValueError("an App is installed for one owner: use one source for each")
        if self.assignee and self.write_back == "off":
            raise ValueError('assignee needs write_back = "on" (or "dry-run")')
        return self

    @property
    def owners(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys([*self.org, *(repo.partition("/")[0] for repo in self.repo)]))

    @property
    def host(self) -> str:
        """How alert ids name the server."""
        host = urlsplit(self.base_url).hostname or ""
        return "github.com" if host == "api.github.com" else host

    @property
    def targets(self) -> tuple[str, ...]:
        named = {"org": self.org, "repo": self.repo, "enterprise": self.enterprise}
        return tuple(f"{kind}:{name}" for kind, names in named.items() for name in names)

    def streams(self) -> tuple[Stream, ...]:
        default = [Stream(target, "default") for target in self.targets]
        return (*default, *(Stream(target, "generic") for target in self.targets if self.generic_types))

    def client(self, **options: Any) -> Client:
        """A client that logs in as configured."""
        if self.app is not None:
            where = f"orgs/{self.org[0]}" if self.org else f"repos/{self.repo[0]}"
            app = self.app
            return Client.with_app(
                self.base_url, app.id, app.private_key, where, installation=app.installation, **options
            )
        assert self.token is not None
        return Client.with_token(self.base_url, self.token, **options)


class GitHubSource:
    """Polls, answers hooks and, where configured, writes back and looks for what is public."""

    Config: ClassVar[type[SourceConfig]] = GitHubConfig

    def __init__(self, config: GitHubConfig, intake: AlertIntake, key: bytes) -> None:
        self.config = config
        self.intake = intake
        self.client = config.client(on_wait=self._waiting)
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
        self._told_wait = False
        self._review = asyncio.Event()  # set: requests to reviewers are read next
        self._polls: list[asyncio.Event] = []  # set: that listing is read next, when its present walk has ended

    async def run(self, once: bool) -> None:
        try:
            if once:
                for stream in self.streams:
                    await self.poll(stream)
                await self._answer_hooks()
                if self.config.review_requests:
                    await self._guarded("review requests", self.reviews.look)
                if self.config.write_back != "off":
                    await self._guarded("write-back", self.writes.resolve)
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
                tasks.create_task(every(WRITE_PAUSE, partial(self._guarded, "write-back", self.writes.resolve)))
            if config.webhook_secret is not None and config.app is not None:
                again = partial(redeliver, self.client, self.intake, config.name)
                tasks.create_task(self.intake.every(REDELIVER_EVERY, partial(self._guarded, "redelivery", again)))
            if config.review_requests:
                look = partial(self._guarded, "review requests", self.reviews.look)
                tasks.create_task(self.intake.every(REVIEWS_EVERY, look, wake=self._review))
            for name, work in self._exposures():
                interval = 60.0 if name == "public events" else config.exposure_interval
                tasks.create_task(self.intake.every(interval, partial(self._guarded, name, work)))
            tasks.create_task(self._hooks())

    def _exposures(self) -> Iterable[tuple[str, Callable[[], Awaitable[None]]]]:
        if self.config.markers:
            yield "markers", partial(self.exposure.search, self.config.markers)
        if self.config.public_gists:
            yield "public gists", self.exposure.gists
        if self.config.public_events:
            yield "public events", self.exposure.events

    async def poll(self, stream: Stream, *, full: bool = False) -> bool:
        """Bring one listing up to date; False (and degraded) when GitHub does not let us."""
        error = await self._guarded(stream.key, partial(self.poller.poll, stream, self.streams, full=full))
        if error is not None and not (isinstance(error, RemoteError) and error.retry):
            await self._guarded("summary", partial(self.poller.give_up, stream, self.streams))
        return error is None

    async def _hooks(self) -> None:
        pause = WORK_PAUSE if self.config.webhook_secret is None else HOOK_PAUSE
        while True:
            await self._guarded("hook queue", self._answer_hooks)
            await asyncio.sleep(pause)

    async def _answer_hooks(self) -> None:
        for delivery in await self.intake.deliveries():
            if delivery.event == "assign":
                work: Callable[[], Awaitable[object]] = partial(self.writes.assign, delivery)
            elif delivery.event == "secret_scanning_scan":
                work = partial(self._wake, delivery.id, self._polls)
            elif delivery.event in REVIEWS:
                work = partial(self._wake, delivery.id, [self._review])
            else:
                work = partial(self.poller.deliver, delivery)
            if await self._guarded("hooks", work) is not None:
                # Whatever it is, it must not be the first thing we try every second.
                await self.intake.postpone(delivery.id, later(delivery.attempts))

    async def _wake(self, delivery: str, listings: Sequence[asyncio.Event]) -> None:
        """Something has changed in these: read it now, without keeping the other hooks waiting for it."""
        for listing in listings:
            listing.set()
        await self.intake.record_alerts([], [], [], handled=[delivery])

    async def _guarded(self, part: str, work: Callable[[], Awaitable[object]]) -> Exception | None:
        """Run one round of a part; its failure is told and never ends the source."""
        try:
            await work()
        except (RemoteError, AuthError) as error:
            self.intake.degraded(part, str(error))
            log.warning("GitHub", source=self.config.name, part=part, problem=str(error))
            return error
        except Exception as error:  # noqa: BLE001 - supervision: no answer, however odd, may stop the source
            # Not its text: it may quote the answer, and that may hold a secret.
            self.intake.malformed("answer")
            self.intake.degraded(part, f"internal error: {type(error).__name__}")
            log.error("internal error", source=self.config.name, part=part, error=type(error).__name__)
            return error
        self.intake.degraded(part, None)
        return None

    def _waiting(self, seconds: float) -> None:
        if seconds > 0 or self._told_wait:
            self._told_wait = seconds > 0
            message = f"waiting {seconds:.0f} s for GitHub's rate limit" if seconds > 0 else None
            self.intake.degraded("rate limit", message)
