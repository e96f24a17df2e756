"""`monitor github`: does the log-in suffice, what alerts are there, read all of them, what would be written back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from monitor.cli.common import ConfigOption, command_app, fail, fail_if, paint, printable, read_config
from monitor.cli.github_requests import requests
from monitor.cli.github_session import SourceOption, client_of, incidents_of, rows_of, sources_of
from monitor.cli.kit import FormatOption, emit, emit_list, table
from monitor.common.severity import Severity

if TYPE_CHECKING:
    from monitor.config.config import Config
    from monitor.github.source import GitHubConfig, GitHubSource

app = command_app(
    no_args_is_help=True,
    help="GitHub: check the log-in, list alerts, read all alerts.",
    epilog="Example: monitor github doctor",
)

MOST_WRITES = 100_000  # a day's, at one a second


@app.command(
    "doctor",
    epilog="Example: monitor github doctor --repositories",
    help="Check the log-in, its permissions, the rate limit, and what is switched on in each repository.",
)
def doctor(
    source: SourceOption = None,
    every: Annotated[
        bool, typer.Option("--repositories", help="List every repository, not only those that lack something.")
    ] = False,
    form: FormatOption = "text",
    config: ConfigOption = None,
) -> None:
    rows = rows_of(read_config(config), source, _examine)

    def text(_rows: Sequence[Mapping[str, Any]]) -> Iterable[str]:
        marks = {True: paint("ok     ", "green"), False: paint("FAILED ", "red"), None: paint("unknown", "yellow")}
        for row in rows:
            if row["kind"] == "check":
                yield f"{marks[row['ok']]} {row['source']}: {row['check']}: {printable(row['detail'])}"
        repositories = [row for row in rows if row["kind"] == "repository"]
        if repositories:
            names = list(repositories[0]["switches"])
            counts = [f"{name} on in {sum(row['switches'][name] == 'on' for row in repositories)}" for name in names]
            yield from (
                "",
                f"{len(repositories)} repositories: {', '.join(counts)}",
            )
            shown = [row for row in repositories if every or not row["archived"]]
            shown = [row for row in shown if every or set(row["switches"].values()) != {"on"}]
            if shown:
                yield from table(
                    ("repository", *names), [(row["repository"], *row["switches"].values()) for row in shown]
                )
            if any(value == "unknown" for row in repositories for value in row["switches"].values()):
                yield "unknown: GitHub shows these switches to administrators of the repository only"

    emit(rows, form, text)
    fail_if(any(row.get("ok") is False for row in rows))


@app.command(
    "alerts",
    epilog="Example: monitor github alerts --validity active --format jsonl",
    help="List secret-scanning alerts, last changed first, with the incident each belongs to. Never asks for values.",
)
def alerts(
    *,
    source: SourceOption = None,
    state: Annotated[Literal["open", "resolved", "all"], typer.Option(help="Only these.")] = "open",
    secret_type: Annotated[
        str | None, typer.Option("--type", metavar="TYPE", help="Only this secret_type.", show_default=False)
    ] = None,
    validity: Annotated[
        Literal["active", "inactive", "unknown"] | None, typer.Option(help="Only these.", show_default=False)
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="Only those leaked in public.")] = False,
    multi_repo: Annotated[bool, typer.Option("--multi-repo", help="Only those in several repositories.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many of each listing.")] = 100,
    form: FormatOption = "text",
    config: ConfigOption = None,
) -> None:
    settings = read_config(config)
    parameters = {"hide_secret": "true", "sort": "updated", "direction": "desc", "per_page": str(min(limit, 100))}
    parameters |= {} if state == "all" else {"state": state}
    parameters |= {"validity": validity} if validity else {}
    parameters |= {"is_publicly_leaked": "true"} if public else {}
    parameters |= {"is_multi_repo": "true"} if multi_repo else {}
    rows = rows_of(settings, source, lambda one: _list(settings, one, parameters, secret_type, limit))

    columns = (
        ("alert", lambda row: f"{row['repository']}#{row['number']}"),
        ("type", "secret_type"),
        ("state", lambda row: row["resolution"] or row["state"]),
        "validity",
        "updated",
        "incident",
        "url",
    )
    emit_list(rows, form, columns, nothing="no alerts", spare=("updated", "validity"))


app.command(
    "requests",
    epilog="Example: monitor github requests --format jsonl",
    help="List requests that wait for a reviewer. They ask to push a secret past push protection, or to dismiss an "
    "alert; the first to run out comes first, with the incident each is about. Exit code 1 where one of the listings "
    "cannot be read.",
)(requests)


@app.command(
    "backfill",
    epilog="Example: monitor github backfill --source github",
    help="Read all alerts now, and show the progress. Can be stopped and goes on where it was; nothing is doubled.",
)
def backfill(source: SourceOption = None, config: ConfigOption = None) -> None:
    settings = read_config(config)
    try:
        whole = [asyncio.run(_backfill(settings, one)) for one in sources_of(settings, source)]
    except KeyboardInterrupt:
        fail("stopped; the next backfill, or `monitor run`, goes on here", 130)
    fail_if(not all(whole))


@app.command(
    "write-back",
    epilog="Example: monitor github write-back --apply",
    help="Show which alerts would be resolved because their incident is resolved as revoked. --apply does it, one a "
    "second. `write_back` in the configuration does it all the time.",
)
def write_back(
    source: SourceOption = None,
    apply: Annotated[bool, typer.Option("--apply", help="Do it.")] = False,
    form: FormatOption = "text",
    config: ConfigOption = None,
) -> None:
    settings = read_config(config)
    rows = rows_of(settings, source, lambda one: _write_back(settings, one, apply))

    def text(_rows: Sequence[Mapping[str, Any]]) -> Iterable[str]:
        if not rows:
            yield "nothing to write back"
        for row in rows:
            body = ", ".join(f"{key}={value}" for key, value in row["body"].items())
            yield f"{'wrote' if row['done'] else 'would write'}: PATCH {row['path']}: {printable(body)}"

    emit(rows, form, text)
    fail_if(apply and not all(row["done"] for row in rows))


async def _examine(source: GitHubConfig) -> list[dict[str, Any]]:
    from monitor.common.credential import CredentialError
    from monitor.common.http import RemoteError
    from monitor.github.doctor import DoctorCheck, examine, repositories

    rows: list[dict[str, Any]] = []

    def add(check: DoctorCheck) -> None:
        rows.append(
            {"kind": "check", "source": source.name, "check": check.name, "ok": check.ok, "detail": check.detail}
        )

    async with client_of(source) as client:
        async for check in examine(source, client, writes=source.write_back == "on"):
            add(check)
        if source.webhook_secret is not None:
            try:
                source.webhook_secret.resolve()
                add(DoctorCheck("webhook secret", True, "readable"))
            except CredentialError as error:
                add(DoctorCheck("webhook secret", False, str(error)))
        if all(row["ok"] is not False for row in rows[:1]):
            try:
                rows += [
                    {
                        "kind": "repository",
                        "source": source.name,
                        "repository": one.name,
                        "archived": one.archived,
                        "private": one.private,
                        "switches": one.switches,
                    }
                    async for one in repositories(source, client)
                ]
            except RemoteError as error:
                add(DoctorCheck("repositories", None, str(error)))
    return rows


async def _list(
    config: Config, source: GitHubConfig, parameters: dict[str, str], secret_type: str | None, limit: int
) -> list[dict[str, Any]]:
    from monitor.github.alerts import AlertItem, Malformed, item

    alerts: dict[str, AlertItem] = {}
    async with client_of(source) as client:
        for stream in source.streams():
            wanted = secret_type or (",".join(source.generic_types) if stream.kind == "generic" else None)
            if secret_type and stream.kind == "generic":
                continue  # a type that is named is listed whichever kind it is
            query = parameters | ({"secret_type": wanted} if wanted else {})
            left = limit
            async for answer in client.pages(stream.path, query):
                for body in answer.body[:left] if isinstance(answer.body, list) else []:
                    left -= 1
                    try:
                        alert = item(body, time.time(), stream.repo)
                    except Malformed:
                        continue
                    alert.take_secret()  # an old server may send it unasked
                    alerts[alert.id(source.host)] = alert
                if left <= 0:
                    break
    incidents = await incidents_of(config, list(alerts))
    rows = sorted(alerts.items(), key=lambda entry: -entry[1].updated)
    return [_row(source.name, name, alert, incidents.get(name)) for name, alert in rows]


def _row(source: str, name: str, alert: Any, incident: str | None) -> dict[str, Any]:
    from monitor.common.wording import stamp

    return {
        "id": name,
        "source": source,
        "repository": alert.repo,
        "number": alert.number,
        "secret_type": alert.secret_type,
        "name": alert.name,
        "state": alert.state,
        "resolution": alert.resolution,
        "validity": alert.validity or "unknown",
        "publicly_leaked": alert.public,
        "multi_repo": alert.multi,
        "created": stamp(alert.created),
        "updated": stamp(alert.updated),
        "url": alert.url,
        "incident": incident,
    }


@asynccontextmanager
async def _running(config: Config, source: GitHubConfig) -> AsyncIterator[GitHubSource]:
    """One source with the real store and rules, outside of the daemon."""
    from monitor.common.process import log_to_stderr
    from monitor.github.source import GitHubSource
    from monitor.host import SourceIntake
    from monitor.site import open_site
    from monitor.store import StoreError

    log_to_stderr("warning", "text")
    try:
        async with open_site(config, _tell) as site:
            intake = SourceIntake(site, source.name)
            running = GitHubSource(source, intake, site.scanner.key)
            try:
                yield running
            finally:
                await intake.close()
                await running.client.close()
    except StoreError as error:
        fail(str(error))


async def _backfill(config: Config, source: GitHubConfig) -> bool:
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    fine = True
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TextColumn("{task.fields[state]}"),
        TimeElapsedColumn(),
    )
    console = Console(stderr=True)
    async with _running(config, source) as running:
        with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
            for stream in running.streams:
                task = progress.add_task(f"{source.name} {stream.key}", total=None, state="")
                read = 0

                def page(_stream: str, count: int, oldest: float | None, task: Any = task) -> None:
                    nonlocal read
                    back = f", back to {datetime.fromtimestamp(oldest, UTC):%Y-%m-%d}" if oldest else ""
                    progress.update(task, state=f"{count:,} alerts{back}")
                    if not console.is_terminal and count // 1000 > read // 1000:
                        typer.echo(f"{source.name} {stream.key}: {count:,} alerts{back}", err=True)  # noqa: B023
                    read = count

                running.poller.on_page = page
                whole = await running.poll(stream, full=True)
                fine = fine and whole
                progress.update(task, total=1, completed=1)
                typer.echo(f"{source.name} {stream.key}: {read:,} alerts read" + ("" if whole else ", not all"))
    return fine


async def _write_back(config: Config, source: GitHubConfig, apply: bool) -> list[dict[str, Any]]:
    from monitor.github.writeback import WriteBacks, plan

    async with _running(config, source) as running:
        intake = running.intake
        planned = {write.alert: plan(write) for write in await intake.write_backs(MOST_WRITES)}
        left: set[str] = set()
        if apply:
            await WriteBacks(running.client, intake, running.poller, "on", None).resolve(MOST_WRITES)
            left = {write.alert for write in await intake.write_backs(MOST_WRITES)}
        return [
            {"alert": name, "path": path, "body": body, "done": apply and name not in left}
            for name, (_, path, body) in planned.items()
        ]


def _tell(
    title: str, text: str = "", severity: Severity = "high", key: str | None = None, *, every: float = 0.0
) -> None:
    typer.echo(f"{title}: {text}" if text else title, err=True)
