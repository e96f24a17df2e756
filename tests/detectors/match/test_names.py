from __future__ import annotations

import pytest

from detectors.match.names import named, one_of


@pytest.mark.parametrize(
    ("before", "name"),
    [
        ('"dedup_key": "', "dedup_key"),
        ("event.dedup_key=", "event.dedup_key"),
        ("<dedupKey>", "dedupKey"),
        ("--dedup-key ", "dedup-key"),
        ('{\\"dedup_key\\":\\"', "dedup_key"),
        ("dedup_key string = '", "dedup_key"),
        ("12 = ", ""),
        ("", ""),
    ],
)
def test_the_name_before_a_value(before: str, name: str) -> None:
    assert named(before.encode()).decode() == name


def test_one_of_some_is_told_by_its_whole_name_or_the_last_part_of_it_in_any_case() -> None:
    names = frozenset({"dedup_key", "trace.token"})
    assert one_of(b"Event.DEDUP_KEY=", names) == "dedup_key"
    assert one_of(b"trace.token: ", names) == "trace.token"
    assert one_of(b"a.trace.token: ", names) == ""
    assert one_of(b"my_dedup_key=", names) == ""
