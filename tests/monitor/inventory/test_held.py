"""What a manager holds never shows its value."""

from __future__ import annotations

from monitor.inventory.held import HeldSecret, Known, by_age


def test_no_value_and_no_digest_in_a_traceback_or_a_log() -> None:
    held = HeldSecret("DATABASE_PASSWORD", b"kept from sight", digest="3a7bd3", environment="production")
    assert "DATABASE_PASSWORD" in repr(held)
    assert "production" in repr(held)
    assert "kept" not in repr(held)
    assert "3a7bd3" not in repr(held)


def test_what_was_read_is_up_to_date_for_so_long() -> None:
    known = Known(at=1000.0, good=60.0)
    assert [known.stale(now) for now in (1000.0, 1060.0, 1060.5)] == [False, False, True]


def test_of_versions_the_newest_is_current() -> None:
    assert [by_age(place) for place in range(4)] == ["current", "previous", "retired", "retired"]
