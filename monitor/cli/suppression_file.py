"""Suppressions as a file, TOML or JSON: fingerprints with reason and end. Holds no secret."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from detectors.fingerprint import fingerprint
from monitor.common.problems import short
from monitor.common.text import toml_error

if TYPE_CHECKING:
    from monitor.store.suppressions import Wanted

__all__ = ["SuppressionFileError", "read", "write"]

_KEYS = ("fingerprint", "until", "reason")
_PRINT = re.compile(r"[0-9a-f]{64}")
# What a TOML string cannot hold as it is, and what turns the direction of text around or hides it.
_UNSEEN = re.compile("[\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]")


class SuppressionFileError(Exception):
    """A file that cannot be used; the message says which entry and why."""


def write(wanted: Sequence[Wanted], key: bytes, *, as_json: bool = False) -> str:
    """What `read` takes with the same `key`."""
    from monitor.store.suppressed import until_text

    check = _check(key)
    rows = [{"fingerprint": one.fingerprint, "until": until_text(one.until), "reason": one.reason} for one in wanted]
    if as_json:
        return json.dumps({"key": check, "suppressions": rows}, indent=2) + "\n"
    head = f"key = {_quoted(check)}  # which fingerprint key this is for\n"
    return head + "".join(
        f"\n[[suppressions]]\nfingerprint = {_quoted(row['fingerprint'])}\nuntil = {row['until']}\n"
        f"reason = {_quoted(row['reason'])}\n"
        for row in rows
    )


def read(data: bytes, key: bytes, *, now: float) -> tuple[list[Wanted], int]:
    """What a file wants, and how many entries are over by `now`. Raises SuppressionFileError."""
    try:
        text = data.decode()
        table = json.loads(text) if text.lstrip().startswith("{") else tomllib.loads(text)
    except ValueError as error:  # not UTF-8, not JSON, not TOML
        raise SuppressionFileError(f"neither TOML nor JSON: {toml_error(error)}") from None
    if table.get("key") != _check(key):
        # With another key nothing in it would ever be recognised, and nobody would notice.
        raise SuppressionFileError("made with another fingerprint key, so it knows nothing here")
    if unknown := sorted(table.keys() - {"key", "suppressions"}):
        raise SuppressionFileError(f"unknown key {short(unknown[0])!r}; there are key, suppressions")
    rows = table.get("suppressions", [])
    if not isinstance(rows, list):
        raise SuppressionFileError("suppressions: must be an array of tables: write [[suppressions]], one for each")

    wanted = [_wanted(row, f"suppressions[{number}]") for number, row in enumerate(rows, 1)]
    left = [one for one in wanted if one.until > now]
    return left, len(wanted) - len(left)


def _wanted(row: Any, place: str) -> Wanted:
    from monitor.store.suppressions import Wanted

    if not isinstance(row, dict):
        raise SuppressionFileError(f"{place}: must be a table")
    if unknown := sorted(row.keys() - set(_KEYS)):
        raise SuppressionFileError(f"{place}: unknown key {short(unknown[0])!r}; there are {', '.join(_KEYS)}")
    value, until, reason = (row.get(name) for name in _KEYS)
    if not isinstance(value, str) or not _PRINT.fullmatch(value):
        raise SuppressionFileError(f"{place}: fingerprint: must be 64 hex digits, as `monitor fingerprint` prints them")
    if not isinstance(reason, str) or not reason.strip():
        raise SuppressionFileError(f"{place}: reason: must say why")
    try:
        moment = datetime.fromisoformat(until) if isinstance(until, str) else until
    except ValueError:
        moment = None
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise SuppressionFileError(f"{place}: until: must be a date and time with a zone, such as 2027-01-31T00:00:00Z")
    return Wanted(value, reason.strip(), moment.timestamp())


def _check(key: bytes) -> str:
    return fingerprint(key, b"exposure-monitor suppressions")


def _quoted(text: str) -> str:
    """A basic string of TOML."""
    quoted = json.dumps(text.encode("utf-8", "replace").decode(), ensure_ascii=False)
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", quoted)
