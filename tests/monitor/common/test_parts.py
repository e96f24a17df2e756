from __future__ import annotations

import pytest

from monitor.common.duration import parse_duration
from monitor.common.parts import UnknownTypeError, part

TABLE = {"span": "monitor.common.duration:parse_duration", "spin": "monitor.common.nowhere:Nothing"}


def test_a_part_is_imported_by_its_name() -> None:
    assert part(TABLE, "clock", "span") is parse_duration


def test_an_unknown_type_names_what_was_meant() -> None:
    with pytest.raises(UnknownTypeError, match=r"unknown clock type 'spn': did you mean sp[ai]n or sp[ai]n\?"):
        part(TABLE, "clock", "spn")
    with pytest.raises(UnknownTypeError, match="known types: span, spin"):
        part(TABLE, "clock", "zzz")
