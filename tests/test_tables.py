from __future__ import annotations

import pytest

from tests.tables import each


def test_all_rows_are_tried_and_each_that_fails_is_named() -> None:
    seen = []

    @each(("number", "word"), [(1, "a"), (2, "b"), (3, "c")])
    def odd(number: int, word: str) -> None:
        """Says why."""
        seen.append(word)
        assert number % 2, "even"

    assert (odd.__name__, odd.__doc__) == ("odd", "Says why.")
    with pytest.raises(AssertionError, match=r"^\(2, 'b'\): even") as error:
        odd()
    assert seen == ["a", "b", "c"]
    assert "'a'" not in str(error.value)


def test_an_error_that_is_no_failure_is_not_swallowed() -> None:
    @each("number", [0])
    def divided(number: int) -> None:
        assert 1 / number

    with pytest.raises(ZeroDivisionError):
        divided()


def test_a_table_without_rows_is_a_mistake() -> None:
    with pytest.raises(AssertionError, match="without rows"):
        each("number", [])
