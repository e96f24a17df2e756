from __future__ import annotations

from monitor.inventory.known import Known


def test_what_was_read_is_up_to_date_for_so_long() -> None:
    known = Known(at=1000.0, good=60.0)
    assert [known.stale(now) for now in (1000.0, 1060.0, 1060.5)] == [False, False, True]
