from __future__ import annotations

from monitor.web.console.paging import part


def test_rows_and_those_on_other_pages_are_all() -> None:
    names = [f"{number:03}" for number in range(107)]
    seen: list[str] = []
    after = ""
    while True:
        shown = part(reversed(names), str, after, 50)
        assert len(shown.rows) + shown.more == shown.total == 107
        seen += shown.rows
        if not shown.next:
            break
        after = shown.next
    assert seen == names


def test_a_place_that_is_gone_is_no_end() -> None:
    assert part(["a", "c", "d"], str, "b").rows == ["c", "d"]
    assert part(["a"], str, "b").more == 1
