"""What `monitor top` shows of a status (monitor.status): lines for a terminal or a pipe."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from monitor.cli.common import paint, printable
from monitor.cli.kit import table
from monitor.common.wording import ago

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
        up = _span(status["time"] - daemon["started"])
        yield f"{paint(title, bold=True)}  {daemon['phase']}, up {up}"
    if scan is not None:
        share = scan["seconds"] / max(status["time"] - daemon["started"], 1.0)
        yield (
            f"scan   {_size(scan['bytes_per_second'])}/s now, {_size(scan['bytes'])} since the start, "
            f"{scan['rules']:,} rules, {scan['busy']} threads at work, {share:.1%} of a core in all"
        )
    oldest = store["oldest_unsent"]
    waits = f", the oldest for {_span(status['time'] - oldest)}" if oldest else ""
    unsent = sum(sink["pending"] + sink["leased"] for sink in status["sinks"])
    open_ = sum(row["count"] for row in status["incidents"] if row["state"] == "open")
    yield f"queue  {unsent:,} notifications wait{waits}; {open_:,} open incidents; database {_size(store['bytes'])}"


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
        position += f" of {_span(now - row['read_up_to'])} ago"
    if row["restarts"]:
        position += f", restarted {row['restarts']} times"
    return [
        row["name"],
        row["type"],
        "-" if row["bytes_per_second"] is None else f"{_size(row['bytes_per_second'])}/s",
        "-" if row["behind_bytes"] is None else _size(row["behind_bytes"]),
        "-" if row["lag_seconds"] is None else _span(row["lag_seconds"]),
        "-" if row["last_success"] is None else f"{_span(now - row['last_success'])} ago",
        position,
    ]


def _sinks(status: Row) -> list[list[str]]:
    cells = []
    for sink in status["sinks"]:
        if sink["sent"] is None:
            state = "not known"
        elif sink["refusing"]:
            state = f"refuses everything: {sink['refusing']}"
        elif (sink.get("rests_until") or 0) > status["time"]:
            state = f"takes nothing for {_span(sink['rests_until'] - status['time'])}: {sink['last_error'] or ''}"
        elif sink["failing"]:
            state = f"{sink['failing']} failures in a row: {sink['last_error'] or ''}"
        else:
            state = "works" if sink["sent"] else "nothing sent yet"
        last = "-" if sink["last_success"] is None else f"{_span(status['time'] - sink['last_success'])} ago"
        counts = [f"{sink[name]:,}" for name in ("pending", "leased", "dead")]
        sent = "-" if sink["sent"] is None else f"{sink['sent']:,}"
        cells.append([sink["name"], sink["type"], *counts, sent, last, state])
    return cells


def _behind(status: Row) -> list[list[str]]:
    found = [(place, row["name"]) for row in status["sources"] for place in row["behind"]]
    found.sort(key=lambda pair: -pair[0]["bytes"])
    return [[place["place"], name, _size(place["bytes"]), _span(place["seconds"])] for place, name in found[:_PLACES]]


def _losses(status: Row) -> list[list[str]]:
    found = [(loss, row["name"]) for row in status["sources"] for loss in row["lost"]]
    found.sort(key=lambda pair: -pair[0]["last"])
    cells = []
    for loss, name in found[:_LOSSES]:
        amount = f"{loss['count']:,} {loss['unit']}{' and more' if loss['unknown'] else ''}" if loss["count"] else "?"
        ago = f"{_span(status['time'] - loss['last'])} ago"
        cells.append([name, loss["reason"], amount, ago, loss["place"] or "several places"])
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


def _size(count: float) -> str:
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def _span(seconds: float) -> str:
    return f"{max(seconds, 0.0):.1f} s" if seconds < 10 else ago(seconds)
