from __future__ import annotations

import re

import pytest

from detectors.author.exemplify import candidates
from detectors.rules.template import expand


@pytest.mark.parametrize(
    "pattern",
    [
        r"acme_[a-z0-9]{24}",
        r"(?i)key\s*[=:]\s*([a-f0-9]{32,64})",
        r"(?:live|test)-[A-Z2-7]{16}\b",
        r"KEY-[QPZRY9X8GF2TVDW0]{30}",
        r"x(?:y|z)?[^\s]{8}",
    ],
)
def test_each_candidate_expands_to_text_that_the_pattern_finds(pattern: str) -> None:
    found = candidates(pattern)
    assert found
    for template in found:
        for seed in range(5):
            assert re.search(pattern, expand(template, seed)), template


def test_the_plainest_come_first_and_none_twice() -> None:
    found = candidates(r"acme_[a-z0-9]{24}")
    assert found[0].startswith("value: acme_")
    assert len(found) == len(set(found))
