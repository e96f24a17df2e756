from __future__ import annotations

from monitor.common.inbound import same


def test_signatures_are_compared_whatever_a_header_brings() -> None:
    assert same("v0=abc", "v0=abc")
    assert not same("v0=abd", "v0=abc")
    assert not same("", "v0=abc")
    assert not same("v0=\udcff\xe9", "v0=abc")
