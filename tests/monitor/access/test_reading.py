from __future__ import annotations

from monitor.access.reading import Reading


def test_what_is_given_together_is_asked_about_one_by_one() -> None:
    assert Reading("1", 0.0, "secret/app", "p").items == ("secret/app",)
    assert Reading("1", 0.0, "secret/app", "p", names=("A", "B")).items == ("secret/app#A", "secret/app#B")
