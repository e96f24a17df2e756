"""`monitor routes`: who would be told of what, and why."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.cli.common import ConfigOption, command_app, fail_if, paint, printable, read_config, with_store
from monitor.cli.kit import Column, FormatOption, emit_list, emit_one, table
from monitor.common.wording import moment

if TYPE_CHECKING:
    from monitor.config.config import Config
    from monitor.routing.inhibit import Inhibition
    from monitor.routing.routes import Policy, Route
    from monitor.store import Store

_NEEDS = ("routes", "silences", "mute_times", "inhibitions")  # of the sinks their names, too

_DEFAULT = (
    "pagers get severity high and critical, at high confidence, or at medium of a vendor's own format; other sinks "
    "everything, low confidence once a day"
)
_GRANTED = {"state": "open", "confidence": "high"}  # of an incident that is only described

app = command_app(
    no_args_is_help=True,
    help="Show the routes, and where an incident would go.",
    epilog="Example: monitor routes test severity=critical source=services path=/var/log/app.log",
)


@app.command("show", epilog="Example: monitor routes show --format json", help="The routes in force, in order.")
def show(form: FormatOption = "text", config: ConfigOption = None) -> None:
    policy = read_config(config, needs=_NEEDS).policy
    rows = [_row(place, route) for place, route in enumerate(policy.effective, 1)]
    columns: list[Column] = [("", "place"), ("takes", lambda row: _all(row["matchers"])), "sinks", "then"]
    columns += [("groups by", "groups"), *([("muted", _mute)] if any(row["mute"] for row in rows) else [])]
    notes = [] if policy.routes else [paint(f"no [[routes]]: {_DEFAULT}", dim=True)]
    emit_list(rows, form, columns, nothing="there is no sink", spare=("then",), notes=[*notes, *_inhibitions(policy)])


def _inhibitions(policy: Policy) -> Iterable[str]:
    held = [_inhibition(place, one) for place, one in enumerate(policy.inhibitions, 1)]
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
    settings = read_config(config, needs=_NEEDS)
    fail_if(bool(labels) == (incident is not None), "give labels such as severity=critical, or --incident ID", 2)
    places = _stored(settings, incident) if incident is not None else [_labels(labels or [])]
    policy = _in_force(settings)
    held = _held(settings, incident) if incident is not None else {}
    given = {text.partition("=")[0] for text in labels or []}
    granted = {} if incident is not None else {name: text for name, text in _GRANTED.items() if name not in given}
    answer = {"places": [_answer(policy, place, held) | {"granted": granted} for place in places]}

    emit_one(answer, form, lambda answer: (line for place in answer["places"] for line in _text(place)))


def _labels(texts: Sequence[str]) -> dict[str, str]:
    from detectors.rules.load import rule_families, rule_forms

    given = {}
    for text in texts:
        name, equals, value = text.partition("=")
        fail_if(
            not equals or not name, f"{printable(text)}: not a label; write NAME=VALUE, such as severity=critical", 2
        )
        given[name] = value
    rule = given.get("rule")
    of_rule = (
        {"family": rule_families().get(rule, "custom"), "format": rule_forms().get(rule, "custom")} if rule else {}
    )
    return {**_GRANTED, **of_rule, **given}


def _in_force(config: Config) -> Policy:
    """Routes and silences of the configuration, and the silences that people have set."""
    from monitor.store.silences import silencing

    rules, _ = with_store(config, lambda store: store.silences.list(), missing=lambda: ([], []))
    return silencing(config.policy, rules)


def _stored(config: Config, ref: str) -> list[dict[str, str]]:
    """The labels of a stored incident, once for each source and path it was seen at (the newest ten)."""

    from monitor.routing.routes import labels

    async def ask(store: Store) -> list[dict[str, str]]:
        found = await store.incidents.get(ref)
        seen = dict.fromkeys((one.source, one.path, one.host or "", one.service or "") for one in found.locations)
        return [labels(found, *place) for place in list(seen)[:10]]

    return with_store(config, ask)


def _held(config: Config, ref: str) -> Mapping[str, str]:
    async def ask(store: Store) -> Mapping[str, str]:
        return await store.groups.held((await store.incidents.get(ref)).id)

    return with_store(config, ask)


def _answer(policy: Policy, labels: Mapping[str, str], held: Mapping[str, str]) -> dict[str, Any]:
    now = time.time()
    verdicts = policy.explain(labels)
    until = policy.silenced_until(labels, now)
    severity: Any = labels.get("severity", "")
    told = dict.fromkeys(sink for verdict in verdicts if verdict.takes for sink in verdict.route.sinks)
    return {
        "labels": dict(labels),
        "sinks": list(told),
        "silenced_until": _end(until),
        "held_by": dict(held),
        "inhibitions": [
            _inhibition(place, one)
            for place, one in enumerate(policy.inhibitions, 1)
            if severity != "critical" and one.same(labels) and all(matcher.matches(labels) for matcher in one.matchers)
        ],
        "routes": [
            _row(v.place, v.route)
            | {"takes": v.takes, "reason": v.reason}
            | {"when": _told_when(v.route) if v.takes else None}
            | {"muted_until": _end(policy.muted_until(v.route, severity, now)) if v.takes else None}
            for v in verdicts
        ],
    }


def _told_when(route: Route) -> str:
    """When a sink hears of a new one, and with which others."""

    from monitor.runbook.book import spoken

    if route.digest is not None:
        return f"in one message with all others, every {spoken(route.digest)}"
    wait = f"after {spoken(route.group_wait)}" if route.group_wait else "at once"
    if route.group_by is None:
        return wait
    others = f"those of the same {', '.join(route.group_by)}" if route.group_by else "all others"
    return f"{wait}, together with {others}; more of them every {spoken(route.group_interval)}"


def _end(until: float | None) -> float | str | None:
    return "for ever" if until == float("inf") else until


def _inhibition(place: int, one: Inhibition) -> dict[str, Any]:
    return {
        "place": place,
        "matchers": [str(matcher) for matcher in one.matchers],
        "while": [str(matcher) for matcher in one.while_],
        "equal": list(one.equal),
    }


def _row(place: int, route: Route) -> dict[str, Any]:
    from monitor.runbook.book import spoken

    by = "each incident" if route.group_by is None else ", ".join(route.group_by) or "all together"
    if route.digest is not None:
        by = f"all, every {spoken(route.digest)}"
    return {
        "place": place,
        "matchers": [str(matcher) for matcher in route.matchers],
        "sinks": list(route.sinks),
        "then": "goes on" if route.continue_ else "ends",
        "groups": by,
        "group_wait": route.group_wait,
        "group_interval": route.group_interval,
        "repeat_interval": route.repeat_interval,
        "burst": str(route.burst),
        "digest": route.digest,
        "mute": list(route.mute),
        "mute_critical": route.mute_critical,
    }


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
