from __future__ import annotations

import pytest

from monitor.common.duration import parse_duration
from monitor.common.failure import failure

SPILLED = "what nobody may see"


def test_it_says_what_and_where_and_no_value() -> None:
    with pytest.raises(ValueError) as caught:
        parse_duration(SPILLED)
    said = failure(caught.value)
    assert said["error_type"] == "ValueError"
    assert [part.partition(":")[0] for part in said["at"].split(" > ")] == [__name__, "monitor.common.duration"]
    assert SPILLED not in str(said)


def test_of_deep_ones_the_innermost_frames_are_told() -> None:
    def deep(left: int) -> float:
        return deep(left - 1) if left else 1 / left

    with pytest.raises(ZeroDivisionError) as caught:
        deep(50)
    assert failure(caught.value)["at"].count(" > ") == 3


def test_one_that_was_never_raised_is_nowhere() -> None:
    assert failure(KeyError(SPILLED)) == {"error_type": "KeyError", "at": ""}
