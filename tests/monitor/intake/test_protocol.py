from __future__ import annotations

from monitor.intake.protocol import ScanError


def test_a_scan_error_says_where_to_go_on() -> None:
    error = ScanError("/p: the engine failed at offset 5: ValueError", 5, 99)
    assert (str(error), error.start, error.end) == ("/p: the engine failed at offset 5: ValueError", 5, 99)
