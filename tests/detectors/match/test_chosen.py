from __future__ import annotations

import pytest

from detectors.match.chosen import chosen, handed, made, opens


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


@pytest.mark.parametrize("before", ['db_password = "', "PASS ", "app --dbpass ", '"mysql", "-p', "creds: bob:"])
def test_there_a_password_comes(before: str) -> None:
    assert opens(before.encode())
    assert not opens(before.encode() + b"x = ")


@pytest.mark.parametrize(
    "before", ['login("bob", "', 'password = "old" -> "', "ParameterKey: dbPassphrase\n  ParameterValue: "]
)
def test_there_a_password_is_handed_over(before: str) -> None:
    assert handed(before.encode())
    assert not handed(b'open("bob", "')


@pytest.mark.parametrize("value", ["falcon8713", "Hotel978", "Winter_2024", "arsenal061!"])
def test_a_word_with_digits_is_made_by_people_where_only_a_password_stands(value: str) -> None:
    assert made(value.encode())


@pytest.mark.parametrize("value", ["column2024", "Step12", "release_2024", "sha256", "falcon8", "rd04"])
def test_the_name_of_a_thing_with_digits_is_not(value: str) -> None:
    assert not made(value.encode())
