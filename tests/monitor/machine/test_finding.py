from __future__ import annotations

from monitor.machine.finding import host_error, host_notice


def test_what_is_wrong_with_a_host_says_how_bad_it_is_and_what_mends_it() -> None:
    assert host_error("disk", "full", "df -h")._asdict() == {
        "kind": "environment", "key": "host.disk", "message": "full", "line": None, "mend": "df -h"
    }  # fmt: skip
    assert host_notice("clock", "wrong").kind == "notice"
