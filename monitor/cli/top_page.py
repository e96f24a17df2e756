"""What `monitor top` shows of a status (monitor.status): lines for a terminal or a pipe."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from monitor.cli.common import paint, printable
from monitor.cli.kit import table
from monitor.common.condition import amount, sink_state, size, span

__all__ = ["page"]

_RULES = 8
_PLACES = 5
_LOSSES = 5

Row = Mapping[str, Any]


def page(status: Row) -> Iterable[str]:
    """The whole of it; whoever shows it cuts what does not fit."""
    yield from _head(status)
    yield from _problems(status)
    now = status["time"]
    sources = [_source(row, now) for row in status["sources"]]
    yield from _section(("source", "type", "rate", "behind", "lag", "kept", "position"), sources)
    yield from _section(("sink", "type", "waiting", "sending", "dead", "sent", "last sent", "state"), _sinks(status))
    yield from _section(("unread in", "source", "bytes", "for"), _behind(status))
    yield from _section(("lost by", "reason", "how much", "last", "place"), _losses(status))
    yield from _section(("rule", "cost", "looks", "matches"), _rules(status))


def _section(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterable[str]:
    if rows:
        yield ""
        yield from table(head, rows)


def _head(status: Row) -> Iterable[str]:
    daemon, scan, store = status["daemon"], status["scan"], status["store"]
    title = f"exposure-monitor {status['version']} on {printable(status['host'])}"
    if daemon is None:
        yield f"{paint(title, bold=True)}  {paint(printable(status['note']), 'red')}: this is what its database says"
    else:
        up = span(status["time"] - daemon["started"])
        yield f"{paint(title, bold=True)}  {daemon['phase']}, up {up}"
    if scan is not None:
        share = scan["seconds"] / max(status["time"] - daemon["started"], 1.0)
        yield (
            f"scan   {size(scan['bytes_per_second'])}/s now, {size(scan['bytes'])} since the start, "
            f"{scan['rules']:,} rules, {scan['busy']} threads at work, {share:.1%} of a core in all"
        )
    oldest = store["oldest_unsent"]
    waits = f", the oldest for {span(status['time'] - oldest)}" if oldest else ""
    unsent = sum(sink["pending"] + sink["leased"] for sink in status["sinks"])
    open_ = sum(row["count"] for row in status["incidents"] if row["state"] == "open")
    yield f"queue  {unsent:,} notifications wait{waits}; {open_:,} open incidents; database {size(store['bytes'])}"


def _problems(status: Row) -> Iterable[str]:
    daemon = status["daemon"] or {"problems": {}}
    for part, why in daemon["problems"].items():
        yield paint(f"{part}: {printable(why)}", "red")
    if status["store"]["degraded"] and "store" not in daemon["problems"]:
        yield paint(f"store: {printable(status['store']['degraded'])}", "red")
    for row in status["sources"]:
        for part, why in list(row["problems"].items())[:_PLACES]:
            yield paint(f"{row['name']}: {printable(part)}: {printable(why)}", "yellow")
        if len(row["problems"]) > _PLACES:
            yield paint(f"{row['name']}: and {len(row['problems']) - _PLACES} more", "yellow")
    if status["scan"] is not None and status["scan"]["failures"]:
        yield paint(f"scan: the engine failed on {status['scan']['failures']:,} blocks", "red")


def _source(row: Row, now: float) -> list[str]:
    position = row["position"] or "-"
    if row["read_up_to"] is not None:
        position += f" of {span(now - row['read_up_to'])} ago"
    if row["restarts"]:
        position += f", restarted {row['restarts']} times"
    return [
        row["name"],
        row["type"],
        "-" if row["bytes_per_second"] is None else f"{size(row['bytes_per_second'])}/s",
        "-" if row["behind_bytes"] is None else size(row["behind_bytes"]),
        "-" if row["lag_seconds"] is None else span(row["lag_seconds"]),
        "-" if row["last_success"] is None else f"{span(now - row['last_success'])} ago",
        position,
    ]


def _sinks(status: Row) -> list[list[str]]:
    cells = []
    for sink in status["sinks"]:
        last = "-" if sink["last_success"] is None else f"{span(status['time'] - sink['last_success'])} ago"
        counts = [f"{sink[name]:,}" for name in ("pending", "leased", "dead")]
        sent = "-" if sink["sent"] is None else f"{sink['sent']:,}"
        cells.append([sink["name"], sink["type"], *counts, sent, last, sink_state(sink, status["time"])])
    return cells


def _behind(status: Row) -> list[list[str]]:
    found = [(place, row["name"]) for row in status["sources"] for place in row["behind"]]
    found.sort(key=lambda pair: -pair[0]["bytes"])
    return [[place["place"], name, size(place["bytes"]), span(place["seconds"])] for place, name in found[:_PLACES]]


def _losses(status: Row) -> list[list[str]]:
    found = [(loss, row["name"]) for row in status["sources"] for loss in row["lost"]]
    found.sort(key=lambda pair: -pair[0]["last"])
    cells = []
    for loss, name in found[:_LOSSES]:
        ago = f"{span(status['time'] - loss['last'])} ago"
        cells.append([name, loss["reason"], amount(loss), ago, loss["place"] or "several places"])
    return cells


def _rules(status: Row) -> list[list[str]]:
    if status["scan"] is None:
        return []
    whole = max(status["scan"]["seconds"], 1e-9)
    cells = []
    for row in status["rules"][:_RULES]:
        cost = f"{row['seconds']:.2f} s, {row['seconds'] / whole:.1%}"
        cells.append([row["rule"], cost, f"{row['looks']:,}", f"{row['matches']:,}"])
    return cells
