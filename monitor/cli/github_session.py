"""What the commands of `monitor github` share: their sources, a client for each, and the incidents of alerts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from monitor.cli.common import fail, fail_if, printable, redacted
from monitor.config.state import database

if TYPE_CHECKING:
    from monitor.config.config import Config
    from monitor.github.client import GitHubClient
    from monitor.github.source import GitHubConfig

__all__ = ["SourceOption", "client_of", "incidents_of", "reported", "rows_of", "sources_of"]

_T = TypeVar("_T")

SourceOption = Annotated[
    str | None, typer.Option("--source", "-s", metavar="NAME", help="Only this source.", show_default=False)
]


def sources_of(config: Config, name: str | None) -> list[GitHubConfig]:
    from monitor.github.source import GitHubConfig

    found = [source for source in config.sources if isinstance(source, GitHubConfig)]
    fail_if(not found, 'there is no [[sources]] with type = "github" in the configuration')
    if name is not None:
        found = [source for source in found if source.name == name]
        if not found:
            fail(f"no GitHub source is named {printable(redacted(config, name))!r}", 2)
    return found


async def reported(work: Awaitable[_T]) -> _T:
    """Trouble with GitHub ends the command in one line."""
    from monitor.common.http import RemoteError
    from monitor.github.auth import AuthError

    try:
        return await work
    except (RemoteError, AuthError) as error:
        fail(str(error))


def rows_of(
    config: Config, name: str | None, work: Callable[[GitHubConfig], Awaitable[list[dict[str, Any]]]]
) -> list[dict[str, Any]]:
    """What `work` gives of each source, one after the other."""
    return [row for source in sources_of(config, name) for row in asyncio.run(reported(work(source)))]


@asynccontextmanager
async def client_of(source: GitHubConfig) -> AsyncIterator[GitHubClient]:
    def waiting(seconds: float) -> None:
        if seconds > 0:
            typer.echo(f"waiting {seconds:.0f} s for GitHub's rate limit", err=True)

    client = source.client(on_wait=waiting)
    client.attempts = 3
    try:
        yield client
    finally:
        await client.close()


async def incidents_of(config: Config, ids: Sequence[str]) -> Mapping[str, str]:
    """Alert → incident, as far as there is a database that knows it."""
    from monitor.common.process import log_apart
    from monitor.site import open_store
    from monitor.store import StoreError

    log_apart()

    url = database(config)
    if isinstance(url, Path) and not url.exists():
        return {}
    try:
        async with await open_store(config, repairs=False) as store:
            return {name: known.incident for name, known in (await store.alerts.known(ids)).items()}
    except StoreError as error:
        typer.echo(f"incidents are not shown: {error}", err=True)
        return {}
