from __future__ import annotations

import re

from detectors.match.region import REACH_AHEAD, REACH_BACK, Region, run_ahead, run_back

LETTERS = re.compile(rb"[a-z]*")


def test_runs_are_followed_so_far_and_no_further() -> None:
    data = b"-" + b"a" * (REACH_BACK + REACH_AHEAD) + b"-"
    assert (run_back(data, 10, LETTERS), run_ahead(data, 10, LETTERS)) == (1, 10 + REACH_AHEAD)
    assert run_back(data, REACH_BACK + 10, LETTERS) == 10
    assert (run_back(data, 0, LETTERS), run_ahead(data, len(data), LETTERS)) == (0, len(data))


def test_a_region_without_a_way_back_is_pointed_at_as_a_whole() -> None:
    assert Region(3, 9, b"text").places()(1, 2) == (3, 9)


def test_a_piece_of_one_length_is_the_same_text_and_any_other_is_taken_whole() -> None:
    place = Region(10, 18, b"ab=cd", marks=lambda: [(0, 10), (2, 12), (3, 15), (5, 17)]).places()  # ab%3Dcd
    assert [place(0, 1), place(2, 3), place(3, 5), place(1, 4)] == [(10, 11), (12, 15), (15, 17), (11, 16)]
