from __future__ import annotations

import ctypes

import pytest

from monitor.machine.clock import clock, drift


def test_the_kernel_says_whether_something_keeps_the_clock_right() -> None:
    kernel = ctypes.create_string_buffer(512)
    synchronised = ctypes.CDLL(None).adjtimex(kernel) != 5  # TIME_ERROR
    found = [(each.key, each.mend) for each in clock()]
    assert found == ([] if synchronised else [("host.clock", "timedatectl set-ntp true")])


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(2.0, None), (-29.0, None), (61.0, "61 s ahead of"), (-3600.0, "3,600 s behind")],
)
def test_a_clock_that_is_not_that_of_a_sink_is_named_with_its_drift(seconds: float, said: str | None) -> None:
    found = list(drift("chat", seconds))
    assert [each.kind for each in found] == ["environment"] * bool(said)
    assert all(str(said) in each.message and '"chat"' in each.message for each in found)
