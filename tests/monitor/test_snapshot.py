from __future__ import annotations

from monitor.snapshot import Known


def test_a_list_is_stale_when_it_is_older_than_is_good() -> None:
    known = Known(at=100.0, good=60.0)
    assert [known.stale(now) for now in (100.0, 160.0, 160.5)] == [False, False, True]
