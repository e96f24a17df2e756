"""`monitor routes`: who would be told of what, and why."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.cli.common import ConfigOption, command_app, fail, fail_if, paint, printable, read_config, with_store
from monitor.cli.kit import Column, FormatOption, emit_list, emit_one, table
from monitor.common.wording import moment

if TYPE_CHECKING:
    from monitor.config.config import Config
    from monitor.routing.routes import Policy
    from monitor.store import Store

_NEEDS = ("routes", "silences", "mute_times", "inhibitions")  # of the sinks their names, too

app = command_app(
    no_args_is_help=True,
    help="Show the routes, and where an incident would go.",
    epilog="Example: monitor routes test severity=critical source=services path=/var/log/app.log",
)


@app.command("show", epilog="Example: monitor routes show --format json", help="The routes in force, in order.")
def show(form: FormatOption = "text", config: ConfigOption = None) -> None:
    from monitor.report.routed import DEFAULT, route_row

    policy = read_config(config, needs=_NEEDS).policy
    rows = [route_row(place, route) for place, route in enumerate(policy.effective, 1)]
    columns: list[Column] = [("", "place"), ("takes", lambda row: _all(row["matchers"])), "sinks", "then"]
    columns += [("groups by", "groups"), *([("muted", _mute)] if any(row["mute"] for row in rows) else [])]
    notes = [] if policy.routes else [paint(f"no [[routes]]: {DEFAULT}", dim=True)]
    emit_list(rows, form, columns, nothing="there is no sink", spare=("then",), notes=[*notes, *_inhibitions(policy)])


def _inhibitions(policy: Policy) -> Iterable[str]:
    from monitor.report.routed import inhibition_row

    held = [inhibition_row(place, one) for place, one in enumerate(policy.inhibitions, 1)]
    if held:
        yield ""
        lines = [[str(h["place"]), _all(h["matchers"]), _all(h["while"]), ", ".join(h["equal"])] for h in held]
        yield from table(("", "holds back", "while a worse one is open that is", "with the same"), lines)


def _all(matchers: Sequence[str]) -> str:
    return ", ".join(matchers) or "everything"


def _mute(row: Mapping[str, Any]) -> str:
    return ", ".join(row["mute"]) + (", critical too" if row["mute"] and row["mute_critical"] else "")


@app.command(
    "test",
    epilog="Examples:\n\n  monitor routes test severity=critical source=services\n\n"
    "  monitor routes test --incident fa693e9d",
    help="Say which sinks an incident with these labels would reach, when, and why each route takes it or not.\n\n"
    "Labels are those of matchers: severity, rule, name, source, path, confidence, and what rules and sources add.",
)
def check(
    labels: Annotated[
        list[str] | None, typer.Argument(metavar="[LABEL=VALUE]...", help="As matchers see them.")
    ] = None,
    incident: Annotated[
        str | None, typer.Option("--incident", metavar="ID", help="An incident that is stored.")
    ] = None,
    form: FormatOption = "text",
    config: ConfigOption = None,
) -> None:
    from monitor.report.routed import GRANTED, way_of

    settings = read_config(config, needs=_NEEDS)
    fail_if(bool(labels) == (incident is not None), "give labels such as severity=critical, or --incident ID", 2)
    places = _stored(settings, incident) if incident is not None else [_labels(labels or [])]
    policy = _in_force(settings)
    held = _held(settings, incident) if incident is not None else {}
    now = time.time()
    given = {text.partition("=")[0] for text in labels or []}
    granted = {} if incident is not None else {name: text for name, text in GRANTED.items() if name not in given}
    answer = {"places": [way_of(policy, place, held, now) | {"granted": granted} for place in places]}

    emit_one(answer, form, lambda answer: (line for place in answer["places"] for line in _text(place)))


def _labels(texts: Sequence[str]) -> dict[str, str]:
    from monitor.report.routed import labels_from

    try:
        return labels_from(texts)
    except ValueError as error:
        fail(printable(str(error)), 2)


def _in_force(config: Config) -> Policy:
    """Routes and silences of the configuration, and the silences that people have set."""
    from monitor.store.silences import silencing

    rules, _ = with_store(config, lambda store: store.silences.list(), missing=lambda: ([], []))
    return silencing(config.policy, rules)


def _stored(config: Config, ref: str) -> list[dict[str, str]]:
    from monitor.report.routed import places_of

    async def ask(store: Store) -> list[dict[str, str]]:
        return places_of(await store.incidents.get(ref))

    return with_store(config, ask)


def _held(config: Config, ref: str) -> Mapping[str, str]:
    async def ask(store: Store) -> Mapping[str, str]:
        return await store.groups.held((await store.incidents.get(ref)).id)

    return with_store(config, ask)


def _text(place: Mapping[str, Any]) -> Iterable[str]:
    source, path = place["labels"].get("source"), place["labels"].get("path")
    if source or path:
        yield paint(printable(f"{source or ''} {path or ''}".strip()), bold=True)
    for route in place["routes"]:
        mark = paint("takes it", "green") if route["takes"] else paint("passes", dim=True)
        muted = f"; muted until {moment(route['muted_until'])} ({_mute(route)})" if route["muted_until"] else ""
        when = f"; alerts {route['when']}" if route["when"] else ""
        yield f"  {route['place']}. {mark}: " + printable(route["reason"] + when + muted)
    if "confidence" in place["granted"]:
        yield paint(f"  taken for granted: confidence={place['granted']['confidence']}", dim=True)
    sinks = ", ".join(place["sinks"])
    yield "  " + (paint(f"alerted: {sinks}", bold=True) if sinks else paint("nobody is alerted", "red", bold=True))
    for one in place["inhibitions"]:
        worse = f"a worse incident ({_all(one['while'])}) with the same {', '.join(one['equal']) or 'anything'}"
        yield f"  held back while {worse} is not resolved, which is reported to the sink (inhibition {one['place']})"
    for sink, by in place["held_by"].items():
        yield paint(f"  {sink}: held back now, for incident {by}", "yellow")
    if place["silenced_until"] is not None:
        until = place["silenced_until"]
        yield paint(f"  silenced {until if isinstance(until, str) else 'until ' + moment(until)}", "yellow")
