from __future__ import annotations

from typing import Any

import pytest

from monitor.access.forms.fields import MalformedError, at, identity, listed, moment, tables, text


def test_what_is_not_there_or_of_another_type_is_empty() -> None:
    record: dict[str, Any] = {"a": {"b": "c", "n": 7, "l": [1, {"x": 1}]}, "long": "x" * 10_000}
    assert text(record, "a", "b") == "c"
    assert text(record, "a", "n") == text(record, "a", "b", "c") == text(None, "a") == text([], "a") == ""
    assert text(record, "long") == "x" * 10_000
    assert listed(record, "a", "l") == [1, {"x": 1}]
    assert tables(record, "a", "l") == [{"x": 1}]
    assert listed(record, "a", "b") == ()
    assert at(record, "a", "x") is None


@pytest.mark.parametrize(
    "value",
    [
        "1970-01-02T00:00:00Z",
        "1970-01-02T01:00:00.000000123+01:00",
        "1970-01-02 00:00:00",
        86_400,
        86_400.0,
    ],
)
def test_a_moment(value: object) -> None:
    assert moment(value) == pytest.approx(86_400.0)


def test_a_moment_by_its_size() -> None:
    assert moment(1_790_000_000) == moment(1_790_000_000_000) == moment(1_790_000_000_000_000) == 1_790_000_000.0


@pytest.mark.parametrize(
    "value", [None, True, "soon", "x" * 1000, [], {}, -1, float("inf"), float("nan"), "0001-01-01"]
)
def test_no_moment(value: object) -> None:
    with pytest.raises(MalformedError):
        moment(value)


def test_an_identity_is_the_same_for_the_same_facts() -> None:
    assert identity("a", 1.5) == identity("a", 1.5) != identity("a", 1.6)
    assert identity("ab", "c") != identity("a", "bc")
    assert identity("\ud800")
