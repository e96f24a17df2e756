from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monitor.domain.model import Position
from monitor.intake.ledger import STATE, Ledger, losses, place, total


def rows(positions: list[Position]) -> dict[str, Mapping[str, Any]]:
    assert {position.source for position in positions} <= {place("app")}
    return {position.key: position.state or {} for position in positions}


def ledger(kept: Mapping[str, Mapping[str, Any]] | None = None) -> Ledger:
    made = Ledger("app")
    made.restore(kept or {})
    return made


def test_losses_add_up_by_reason_and_place_and_only_what_changed_is_kept() -> None:
    one = ledger()
    one.enter("gone", 10, "/a", "bytes", 1.0)
    one.enter("gone", 5, "/a", "bytes", 3.0)
    one.enter("gone", 1, "/b", "bytes", 2.0)
    kept = rows(one.changed())
    assert [(loss.place, loss.count, loss.first, loss.last) for loss in losses(kept)] == [
        ("/a", 15, 1.0, 3.0),
        ("/b", 1, 2.0, 2.0),
    ]
    assert one.changed() == []
    one.enter("gone", 2, "/b", "bytes", 9.0)
    assert list(rows(one.changed())) == ["gone:/b"]


def test_it_goes_on_over_a_restart_also_with_what_was_lost_before_it_was_read() -> None:
    first = ledger()
    first.enter("gone", 10, "/a", "bytes", 1.0)
    kept = rows(first.changed())
    again = Ledger("app")
    again.enter("gone", 7, "/a", "bytes", 5.0)
    assert again.changed() == []  # or it would take the place of what is kept
    again.restore(kept)
    [loss] = losses(rows(again.changed()))
    assert (loss.count, loss.first, loss.last) == (17, 1.0, 5.0)


def test_how_much_nobody_was_told_of_is_known_after_a_restart() -> None:
    first = ledger()
    first.enter("gone", 10, "/a", "bytes", 1.0)
    told = first.untold()
    first.enter("gone", 5, "/a", "bytes", 2.0)  # while a notice is on its way
    first.told(told["gone"])
    first.enter("killed", 0, "", "messages", 2.0)
    again = ledger(rows(first.changed()))
    again.told(())
    assert again.changed() == []
    again.enter("gone", 1, "/a", "bytes", 3.0)
    [loss] = losses(rows(again.changed()))
    assert (loss.count, loss.untold) == (16, 6)
    again.told(again.untold()["killed"])
    [loss] = losses(rows(again.changed()))
    assert (loss.reason, loss.unknown, loss.untold) == ("killed", 1, None)


def test_what_nobody_can_count_is_counted_as_that() -> None:
    one = ledger()
    one.enter("session_lost", 0, "", "messages", 1.0)
    one.enter("session_lost", 0, "", "messages", 2.0)
    [loss] = losses(rows(one.changed()))
    assert (loss.count, loss.unknown) == (0, 2)


def test_thousands_of_places_take_a_hundred_rows_and_the_sum_is_exact() -> None:
    one = ledger()
    kept: dict[str, Mapping[str, Any]] = {}
    for number in range(5000):
        one.enter("gone", 1, f"/{number}", "bytes", float(number))
        kept |= rows(one.changed())
    assert len(kept) == 101
    [(key, loss)] = total(losses(kept)).items()
    assert key == ("gone", "bytes")
    assert (loss.count, loss.first, loss.last) == (5000, 0.0, 4999.0)


def test_other_rows_are_none_of_it() -> None:
    assert losses({STATE: {"kept": 1.0}, "x": {}, "y": {"reason": "r", "count": "many"}}) == []


def test_while_its_rows_get_another_name_nothing_is_given_out_and_then_under_the_new_one() -> None:
    one = ledger()
    one.enter("gone", 10, "/a", "bytes", 1.0)
    one.pause()
    one.enter("gone", 5, "/a", "bytes", 2.0)
    assert one.changed() == []
    one.resume("other")
    [row] = one.changed()
    assert (row.source, row.state and row.state["count"]) == (place("other"), 15)
    fresh = Ledger("app")  # what was kept of it is not known yet: a pause changes nothing about that
    fresh.enter("gone", 1, "/a", "bytes", 1.0)
    fresh.pause()
    fresh.resume("app")
    assert fresh.changed() == []
