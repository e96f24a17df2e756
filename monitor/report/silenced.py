"""Silences of all kinds as one list: what `monitor silences` and the page of silences show. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from monitor.common.wording import stamp
from monitor.routing.routes import Silence
from monitor.store.silences import Hushed, SilenceRule

__all__ = ["configured_row", "hushed_row", "rule_row", "silence_rows"]


def silence_rows(
    configured: Iterable[Silence], rules: Iterable[SilenceRule], single: Iterable[Hushed], now: float
) -> list[dict[str, Any]]:
    """Those that are not over: of the configuration, as people set them, and of single incidents. Times in RFC 3339;
    `ends` None: for ever; `severity` None: nobody is alerted, else a rule is lowered to it."""
    left = [one for one in configured if one.ends is None or one.ends.timestamp() > now]
    return [*map(configured_row, left), *map(rule_row, rules), *map(hushed_row, single)]


def rule_row(rule: SilenceRule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "matchers": list(rule.matchers),
        "incident": None,
        "starts": stamp(rule.starts),
        "ends": stamp(rule.ends),
        "severity": rule.severity,
        "by": rule.by,
        "reason": rule.reason,
        "ended_by": rule.ended_by,
        "ended_why": rule.ended_why,
    }


def hushed_row(one: Hushed) -> dict[str, Any]:
    when = {"starts": stamp(one.starts), "ends": stamp(one.until)}
    return _blank() | when | {"incident": one.incident, "by": one.by, "reason": one.reason}


def configured_row(silence: Silence) -> dict[str, Any]:
    return _blank() | {
        "matchers": [str(matcher) for matcher in silence.matchers],
        "starts": stamp(silence.starts.timestamp()) if silence.starts else None,
        "ends": stamp(silence.ends.timestamp()) if silence.ends else None,
        "by": silence.author or "the configuration",
        "reason": silence.comment,
    }


def _blank() -> dict[str, Any]:
    return {
        "id": None,
        "matchers": [],
        "incident": None,
        "starts": None,
        "ends": None,
        "severity": None,
        "by": None,
        "reason": "",
        "ended_by": None,
        "ended_why": None,
    }
