"""What shape an incident has, and what becomes of one more of it."""

from __future__ import annotations

import pytest

from monitor.routing.fold import ALONE, PERIOD, FoldCount, count, fold_key, shape_of

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2026-11-02T13:58:12Z db password=hunt**** user=7", "2026-11-03T09:00:00Z other Password: hunt**** retry"),
        ('{"id": 12, "password": "hunt****"}', '{"id":99871,"password":"hunt****","x":1}'),
        ("run --password hunt**** --user a", "start --password hunt****"),
    ],
)
def test_the_name_before_a_value_is_its_shape(one: str, other: str) -> None:
    assert shape_of(one, "hunt****") == shape_of(other, "hunt****") == "field password"


def test_without_a_name_it_is_the_line_less_what_varies() -> None:
    one = shape_of("13:58:12 worker 12 sends ghp_****, 3 left", "ghp_****")
    assert one == shape_of("13:59:40 worker 7 sends ghp_****, 2,000 left", "ghp_****").replace("#,#", "#")
    assert one != shape_of("13:59:40 login of ghp_****, 2 left", "ghp_****")


def test_without_a_line_there_is_no_shape() -> None:
    assert shape_of(None, "ghp_****") == shape_of("", "ghp_****") == ""


def test_a_line_that_shows_it_differently_has_a_shape_all_the_same() -> None:
    assert shape_of("token … refused", "ghp_****").startswith("line token")


def test_a_key_tells_rule_source_severity_and_shape_apart_and_shows_none_of_them() -> None:
    base = ("acme-key", "services", "high", "field password")
    keys = {fold_key(*base)}  # type: ignore[arg-type]
    for place in range(4):
        keys.add(fold_key(*(f"{value}x" if at == place else value for at, value in enumerate(base))))  # type: ignore[arg-type]
    assert len(keys) == 5
    assert all("password" not in key and len(key) < 40 for key in keys)


def test_the_first_five_are_told_alone_and_then_they_are_folded() -> None:
    counted: FoldCount | None = None
    reasons = []
    for number in range(ALONE + 2):
        fold = count(counted, NOW + number)
        counted = fold.counted
        reasons.append(fold.reason)
    assert reasons == ["first", *["few"] * (ALONE - 1), "many", "many"]


def test_a_thread_goes_on_while_they_keep_coming_and_a_quiet_day_ends_it() -> None:
    full = FoldCount(ALONE, NOW)
    assert count(full, NOW + PERIOD - 1).folds
    assert count(full, NOW + PERIOD).reason == "again"
    assert count(FoldCount(ALONE, NOW, folded_at=NOW + PERIOD - 1), NOW + PERIOD + 1).folds
    assert count(full, NOW - 1).reason == "again", "a clock that was put back hides nothing"
