from __future__ import annotations

import pytest

from monitor.common.cuts import CONTEXT, LOOKAHEAD, carried, last_word, settled
from tests.detectors import texts


@pytest.mark.parametrize(
    ("data", "full", "cut"),
    [
        (b"seen", False, 4),
        (b"seen" + b"x" * 200, False, 4),
        (b"seen" + b"x" * 200, True, 204 - LOOKAHEAD),
        (b"seen" + b"x" * 9, True, 4),
        (b"seenone\ntwo\nthree", False, 12),
        (b"seenone\ntwo\nthree", True, 12),
        (b"se\nn" + b"x" * 200, False, 4),
    ],
)
def test_where_a_text_may_be_cut(data: bytes, full: bool, cut: int) -> None:
    assert settled(data, 4, len(data), full=full) == cut


def test_so_much_is_carried_along_as_the_longest_match_of_every_rule() -> None:
    assert (carried(10), carried(CONTEXT), carried(CONTEXT + 7)) == (0, 0, 7)
    assert max(rule.shape.back + rule.awaits for rule in texts.rules()) <= CONTEXT


def test_the_last_word_of_an_open_line() -> None:
    assert [last_word(text) for text in (b"a b", b'a="b', b"a b ", b"ab", b"")] == [2, 3, 4, 0, 0]
