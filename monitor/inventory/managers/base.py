"""What every provider's file shares: the keys of its entry, and how a value that holds several is taken apart."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import orjson
from pydantic import Field

from monitor.clients.client import AccessError, ProviderClient, ServiceError, together
from monitor.common.duration import Duration
from monitor.common.http import Reply
from monitor.common.outside import instant
from monitor.common.table import Component
from monitor.inventory.held import HeldSecret

__all__ = ["ApiManager", "ManagerConfig", "PassingToken", "described", "expiry", "members", "pages", "read_all"]

_DEPTH = 6  # of objects within objects; what lies deeper is one value
# Members that name a place or a person. Taken for secrets, they would be found in every log line that says where.
_PUBLIC = frozenset(
    ("dbclusteridentifier", "dbinstanceidentifier", "dbname", "engine", "host", "hostname", "port", "username")
)
_ACCOUNT = frozenset(("private_key",))  # all that is secret of a service account's file of Google


class ManagerConfig(Component):
    """Every entry has

    - `name`: unique; shown in alerts, logs and metrics
    - `type`: one of those below
    - `environment`: where these secrets are used, such as `production`; what the provider says of a single one goes
      before
    - `owner`: who answers for them; likewise
    - `consumers`: who uses them, shown in alerts
    - `tags`: beside the provider's own
    - `exclude`: names, or patterns such as `*_URL`, that are no secrets
    - `interval`: between looks at the provider
    - `timeout`: for the whole of one look; then it has failed, and what was known before stays
    """

    environment: str = ""
    owner: str = ""
    consumers: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    interval: Duration = Field(default=900.0, ge=1.0)
    timeout: Duration = Field(default=120.0, ge=1.0)

    @property
    def whose(self) -> str:
        """As messages of its client begin."""
        return f"inventory {self.name}"

    @property
    def stale_after(self) -> float:
        """Seconds without a whole reading after which what is known of it is not up to date any more."""
        return 2 * self.interval + self.timeout


C = TypeVar("C", bound=ManagerConfig)
Page = TypeVar("Page")
Row = TypeVar("Row")


class ApiManager(Generic[C]):
    """What reads a provider by its API: asks with one client, for as long as it lives."""

    advice: ClassVar[Mapping[int, str]] = {}  # status → what to do about it

    def __init__(self, config: C, *, ca_file: Path | None = None) -> None:
        self.config = config
        self.client = ProviderClient(config.whose, advice=self.advice, throttled=self.throttled, ca_file=ca_file)

    @staticmethod
    def throttled(reply: Reply) -> bool:
        """Whether an answer that is no 429 says that there were too many requests."""
        return False

    async def close(self) -> None:
        await self.client.close()


async def pages(
    client: ProviderClient, what: str, page: Callable[[str | None], Awaitable[tuple[Page, object]]]
) -> AsyncIterator[Page]:
    """All pages of a list. `page`: the one that begins there, and where the next one does. Raises ServiceError."""
    token: str | None = None
    while True:
        content, following = await page(token)
        yield content
        token = client.onward(what, token, following)
        if token is None:
            return


async def read_all(
    listed: AsyncIterator[Iterable[Row]], read: Callable[[Row], Awaitable[Iterable[HeldSecret]]]
) -> AsyncIterator[HeldSecret]:
    """What each row of a list stands for, a few of them read at once. Raises ServiceError."""
    async for rows in listed:
        async for versions in together(rows, read):
            for held in versions:
                yield held


class PassingToken:
    """A bearer's token that a login gives for a while. `log_in`: asks for one, under that name; what it says."""

    def __init__(self, client: ProviderClient, log_in: Callable[[str], Awaitable[Any]]) -> None:
        self._client, self._log_in = client, log_in
        self._token, self._until = "", 0.0
        self._entering = asyncio.Lock()

    async def header(self) -> dict[str, str]:
        """Raises ServiceError."""
        async with self._entering:
            if time.time() > self._until - 60.0:
                what = "logging in"
                try:
                    body = await self._log_in(what)
                except AccessError as error:
                    raise ServiceError(str(error)) from None
                self._token = self._client.pick(what, body, "access_token", str)
                self._until = time.time() + float(body.get("expires_in") or 300)
            return {"Authorization": f"Bearer {self._token}"}


def members(held: HeldSecret) -> Iterator[HeldSecret]:
    """`held`, or where its value is a JSON object one for each member: NAME.member, NAME.member.part, NAME.list.0.

    Members that name a host, a database or a user are passed over: they are no secrets.
    """
    body = _object(held.value)
    if body is None:
        yield held
        return
    for name, value in _leaves(held.name, body, _DEPTH):
        yield replace(held, name=name, value=value)


def _object(value: bytes | None) -> dict[str, Any] | None:
    if value is None or not value.lstrip().startswith(b"{"):
        return None
    try:
        body = orjson.loads(value)
    except orjson.JSONDecodeError:
        return None
    return body if isinstance(body, dict) else None


def _leaves(name: str, value: Any, depth: int) -> Iterator[tuple[str, bytes]]:
    if isinstance(value, str):
        value = _object(value.encode()) or value
    if isinstance(value, str):
        yield name, value.encode()
    elif not isinstance(value, dict | list) or not depth:
        yield name, orjson.dumps(value)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _leaves(f"{name}.{number}", item, depth - 1)
    else:
        google = value.get("type") == "service_account"
        for member, item in value.items():
            if member in _ACCOUNT if google else member.lower() not in _PUBLIC:
                yield from _leaves(f"{name}.{member}", item, depth - 1)


def described(labels: Mapping[Any, Any]) -> dict[str, Any]:
    """What a provider's tags or labels say of a secret, as fields of Held: each as `key=value`, and an owner and an
    environment where a key is called so."""
    texts = {str(key): str(value) for key, value in labels.items()}
    lower = {key.lower(): value for key, value in texts.items()}
    return {
        "owner": lower.get("owner", ""),
        "environment": lower.get("environment", lower.get("env", "")),
        "tags": tuple(sorted(f"{key}={value}" if value else key for key, value in texts.items())),
    }


def expiry(token: str) -> float | None:
    """When a JSON Web Token ends, by what it says itself (seconds since 1970); None when it is none, or never ends."""
    try:
        claims = orjson.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    except (IndexError, ValueError):
        return None
    return instant(claims.get("exp")) if isinstance(claims, dict) else None
