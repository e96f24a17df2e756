from __future__ import annotations

import pytest

from detectors.match.chosen import chosen


@pytest.mark.parametrize(
    "value",
    [
        *("violet-anvil-river-89", "GreenAnchor-663", "RustyPepperMaple42!", "Berlin_2024", "sunny.1620"),
        *("Kestrel65-koc", "Winter2402!", "sableKettle01%", "amber-kettle12"),
    ],
)
def test_words_and_a_number_are_chosen(value: str) -> None:
    assert chosen(value.encode())


@pytest.mark.parametrize(
    "value",
    [
        *("ErrorCode-404", "orders-db-primary-2", "field_123", "GreenAnchor", "v2", "getToken(1)"),
        *("Winter2402", "ErrorCode404!", "api-server12"),
    ],
)
def test_names_of_things_are_not(value: str) -> None:
    assert not chosen(value.encode())
