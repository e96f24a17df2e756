from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from monitor.common.outside import ROOM, TOO_LONG, at, instant, let_in, listed, number, tables, taken, text, when

ROOT = Path(__file__).parents[3]

# Where text comes in that no rule has seen yet.
ROOMS = ("monitor/access", "monitor/daemon/requests.py", "monitor/github", "monitor/host.py", "monitor/inventory")
ROOMS += ("monitor/scanning/occurrence.py", "monitor/scanning/scanner.py", "monitor/sources", "monitor/verify")
ROOMS += ("sinks/pagerduty", "sinks/slack")

# What is cut there, and is no text from outside, or is masked already, or is looked at alone.
HARMLESS = {
    "(fresh + list(seen))[:REMEMBERED]": "a list",
    "(fresh + seen)[:REMEMBERED]": "a list",
    "listed(payload, 'actions')[:_MOST_PRESSES]": "a list",
    "address[:100]": "masked by the reader",
    "address[:60]": "masked by the reader",
    "below[:_AROUND]": "a list",
    "body[:_SAMPLE]": "looked at, never kept",
    "data[:BODY]": "hashed",
    "data[:HEAD]": "hashed",
    "data[-MARK:]": "hashed",
    "last[-MARK:]": "hashed",
    "order[:_LISTED]": "a list",
    "findings[:_AT_ONCE]": "a list",
    "head[:_HEAD]": "compared",
    "heard[-20:]": "a list",
    "line[:_HEAD]": "compared",
    "window.view[len(given.text):window.end][:CONTEXT]": "searched, and shown nowhere",
    "document['entries'][:ENTRIES]": "a list",
    "incident.locations[:PLACES]": "a list",
    "items[:20]": "a list",
    "key[:64]": "a key, for hashing",
    "modern[:len(_PREFIX) + 5]": "what is public of a key",
    "notification.incidents[:ROWS]": "a list",
    "others[:_AROUND]": "a list",
    "data[match.start:match.end + _NEAR].split(b'\\n')[:_LINES]": "a list, looked at for a server",
    "data[max(0, match.start - _NEAR):match.start].split(b'\\n')[-_LINES:]": "a list, looked at for a server",
    "line[:_LONGEST]": "looked at for a server",
    "places[:200]": "of our configuration",
    "reading.agent[:80]": "masked by the reader",
    "self._key[:64]": "a key, for hashing",
    "safe[:_LONGEST]": "masked whole",
    "siblings[:_TRIED]": "a list",
    "start[:life.offset]": "hashed",
    "counter(notification)[:50]": "a list",
    "counter(notification)[:COUNTER]": "a list",
    "text[:BODY]": "searched, and shown nowhere",
    "under_way[:PLACES]": "a list",
    "value[:40]": "read as a time",
    "value[:_MANY]": "a list",
    "waiting[:ACTIONS]": "a list",
    "who[:200]": "of our configuration",
    "', '.join(names)[:1000]": "masked when they were enrolled",
}


def cuts(tree: ast.AST) -> Iterator[str]:
    """The expressions that take a bounded beginning or end of something, or give a text a largest width."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FormattedValue) and node.format_spec is not None:
            if re.fullmatch(r"f'.*\.\d+'", ast.unparse(node.format_spec)):
                yield ast.unparse(node)
        elif isinstance(node, ast.Call) and re.search(r"\b(?:shorten|truncate)$", ast.unparse(node.func)):
            yield ast.unparse(node)
        elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice):
            lower, upper = node.slice.lower, node.slice.upper
            if not re.search(r"^sorted\(|^list\(|^[\[(].*[\])]$|hexdigest\(\)$|\.hex$", ast.unparse(node.value)) and (
                _limit(upper) if lower is None else upper is None and _limit(_back(lower))
            ):
                yield ast.unparse(node)


def _back(bound: ast.expr | None) -> ast.expr | None:
    return bound.operand if isinstance(bound, ast.UnaryOp) else None


def _limit(bound: ast.expr | None) -> bool:
    """Whether a bound is one by itself, not a place that was looked for."""
    if isinstance(bound, ast.Constant):
        return isinstance(bound.value, int) and bound.value >= 20
    return isinstance(bound, ast.Name | ast.Attribute) and bool(
        re.search(r"\b_?[A-Z][A-Z_]+$|limit$", ast.unparse(bound))
    )


def test_all_text_from_outside_goes_through_the_door() -> None:
    found = {}
    for room in ROOMS:
        place = ROOT / room
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            text = path.read_text(encoding="utf-8")
            found |= {one: f"{path.relative_to(ROOT)}: {one}" for one in cuts(ast.parse(text))}
    new = [where for one, where in found.items() if one not in HARMLESS]
    assert not new, (
        "a text from outside is kept whole by `taken` and cut by `let_in` (monitor/common/outside.py), as half of a "
        "secret is not known for one; what is none of those is named in HARMLESS"
    )


def test_a_cut_is_noticed_however_it_is_written() -> None:
    for code in ("name[:200]", "value[:_LONGEST]", "text[-500:]", "f'{name:.200}'", "textwrap.shorten(name, 50)"):
        assert list(cuts(ast.parse(code)))
    for code in ("print_.hexdigest()[:32]", "text[:at]", "data[:start]", "f'{seconds:.1f}'", "one[0]", "row[:2]"):
        assert not list(cuts(ast.parse(code)))


def test_text_is_taken_whole_or_not_at_all() -> None:
    assert taken("x" * ROOM) == "x" * ROOM
    assert taken("x" * (ROOM + 1)) == taken(b"x" * (ROOM + 1)) == TOO_LONG
    assert taken(b"gr\xc3\xbc\xdf") == "grü�"


def test_it_is_masked_before_it_is_cut() -> None:
    assert let_in("the word hidden, and more", lambda text: text.replace("hidden", "…"), 12) == "the word …, "
    assert let_in("the word hidden, and more", str, 12) == "the word hid"


def test_what_is_not_there_or_of_another_type_is_empty() -> None:
    record: dict[str, Any] = {"a": {"b": "c", "n": 7, "l": [1, {"x": 1}]}, "long": "x" * 10_000}
    assert text(record, "a", "b") == "c"
    assert text(record, "a", "n") == text(record, "a", "b", "c") == text(None, "a") == text([], "a") == ""
    assert text(record, "long") == "x" * 10_000
    assert listed(record, "a", "l") == [1, {"x": 1}]
    assert tables(record, "a", "l") == [{"x": 1}]
    assert listed(record, "a", "b") == ()
    assert at(record, "a", "x") is None
    assert number(record, "a", "n") == 7
    times = ("2026-11-30T16:00:00Z", "2026-11-30T16:00:00", "2026-11-30", 7, "x", "0001-01-01T00:00:00Z", None)
    assert [when({"t": value}, "t") for value in times] == [1_796_054_400.0, 1_796_054_400.0, *[None] * 5]
    assert not any(number({"n": value}, "n") for value in (0, -1, 2**53, True, 1.0, "1", None, []))


def test_times_as_providers_write_them() -> None:
    expected = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC).timestamp()
    for written in ("2026-03-01T12:00:00Z", "2026-03-01T12:00:00", "2026-03-01T14:00:00+02:00"):
        assert instant(written) == expected
    assert instant("2026-03-01T12:00:00.123456789Z") == pytest.approx(expected + 0.123, abs=0.001)
    assert instant(1.5) == 1.5
    assert [instant(other) for other in ("", "n/a", None, True, [])] == [None] * 5
