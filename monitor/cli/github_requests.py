"""`monitor github requests`: what waits for a reviewer at GitHub."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import typer

from monitor.cli.common import ConfigOption, fail_if, printable, read_config
from monitor.cli.github_session import SourceOption, client_of, incidents_of, reported, sources_of
from monitor.cli.kit import FormatOption, emit_list

if TYPE_CHECKING:
    from monitor.config.config import Config
    from monitor.github.source import GitHubConfig

__all__ = ["requests"]


def requests(source: SourceOption = None, form: FormatOption = "text", config: ConfigOption = None) -> None:
    settings = read_config(config)
    rows: list[dict[str, Any]] = []
    unread: list[str] = []
    for one in sources_of(settings, source):
        found, problems = asyncio.run(reported(_waiting(settings, one)))
        rows += found
        unread += problems
    rows.sort(key=lambda row: row["expires"] or "9")

    columns = (
        ("until", "expires"),
        "kind",
        "repository",
        ("who", "requester"),
        ("what", _asked),
        "incident",
        "url",
    )
    emit_list(rows, form, columns, nothing="no request waits", spare=("kind", "incident"))
    for problem in unread:
        typer.echo(printable(problem), err=True)
    fail_if(unread)


def _asked(row: Mapping[str, Any]) -> str:
    about = ", ".join(row["secret_types"]) or "a secret"
    alert = f"#{row['alert']} " if row["alert"] else ""
    places = f" in {', '.join(row['places'])}" if row["places"] else ""
    reasons = f" ({', '.join(row['reasons'])})" if row["reasons"] else ""
    return f"{alert}{about}{places}{reasons}"


async def _waiting(config: Config, source: GitHubConfig) -> tuple[list[dict[str, Any]], list[str]]:
    """The requests of each listing, and why one could not be read."""
    from monitor.common.http import RemoteError
    from monitor.common.wording import stamp
    from monitor.github.reviews import KINDS, ReviewRequest, open_reviews
    from monitor.site import make_redactor

    redact = make_redactor(config)
    waiting: list[ReviewRequest] = []
    unread: list[str] = []
    async with client_of(source) as client:
        for target in source.targets:
            for kind in KINDS:
                odd = 0
                try:
                    async for review in open_reviews(client, target, kind):
                        waiting += [review] if review is not None else []
                        odd += review is None
                except RemoteError as error:
                    if error.status != 404:  # nobody has to ask there
                        unread.append(f"{source.name}: {error}")
                if odd:
                    why = f"{odd:,} could not be read; look for them at GitHub itself"
                    unread.append(f"{source.name}: {KINDS[kind]} of {target}: {why}")
    ids = {review: alert for review in waiting if (alert := review.alert_id(source.host))}
    incidents = await incidents_of(config, list(ids.values()))
    rows = [
        {
            "source": source.name,
            "kind": review.kind,
            "repository": review.repo,
            "requester": redact(review.who),
            "secret_types": [redact(name) for name in review.about],
            "places": [redact(place) for place in review.where],
            "reasons": [redact(reason) for reason in review.reasons],
            "alert": review.alert or None,
            "created": stamp(review.created),
            "expires": stamp(review.expires),
            "url": review.url,
            "incident": incidents.get(ids.get(review, "")),
        }
        for review in dict.fromkeys(waiting)
    ]
    return rows, unread
