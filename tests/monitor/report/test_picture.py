from __future__ import annotations

import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest

from monitor.report.picture import length, svg


def test_milestones_stand_in_their_order_from_left_to_right() -> None:
    made = ET.fromstring(
        svg([("logged", 0.0), ("told", 2.5), ("acknowledged", 60.0), ("resolved", 90_000.0)], "A & <b>")
    )
    circles = [float(one.attrib["cx"]) for one in made.iter() if one.tag.endswith("circle")]
    assert len(circles) == 4
    assert circles[0] == 50
    assert circles[-1] == 850
    assert all(left < right for left, right in pairwise(circles))
    texts = [one.text for one in made.iter() if one.tag.endswith("text")]
    assert texts == ["logged", "told +2.5 s", "acknowledged +1 min", "resolved +25 h"]


def test_nothing_and_one_moment_are_pictures_too() -> None:
    for milestones in ([], [("read", 5.0)], [("read", 5.0), ("opened", 5.0)]):
        ET.fromstring(svg(milestones, "t"))


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.42, "0.4 s"), (40, "40 s"), (60, "1 min"), (7199, "120 min"), (7200, "2 h"), (200_000, "2 d")],
)
def test_lengths_are_for_people(seconds: float, said: str) -> None:
    assert length(seconds) == said
