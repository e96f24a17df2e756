from __future__ import annotations

import pytest

from monitor.access.forms.fields import MalformedError, identity, moment


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
