from __future__ import annotations

import pytest
from pydantic import BaseModel, ConfigDict

from monitor.common.problems import Problem, check, refuse, short, suggest


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")

    count: int = 0


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    parts: tuple[Inner, ...] = ()


def test_what_is_right_is_given_and_what_is_wrong_is_told_with_its_key_path() -> None:
    good, none = check(Outer, {"name": "a", "parts": [{"count": 2}]}, "outer")
    assert (good, none) == (Outer(name="a", parts=(Inner(count=2),)), [])
    wrong, problems = check(Outer, {"parts": [{"cuont": 2}, {"count": "many"}]}, "outer", who="it: ")
    assert wrong is None
    assert problems == [
        Problem("outer.name", "it: missing"),
        Problem("outer.parts[0].cuont", 'it: unknown key; did you mean "count"?; known keys: count'),
        Problem("outer.parts[1].count", "it: must be a whole number"),
    ]


def test_without_a_path_the_key_stands_alone() -> None:
    assert check(Outer, {}, "")[1] == [Problem("name", "missing")]


def test_names_are_shown_and_what_may_be_a_secret_is_not() -> None:
    assert short("services") == "services"
    assert short("a b") == "…"
    assert short("x" * 41) == "…"
    assert suggest("serivces", ["services"]) == '; did you mean "services"?'
    assert suggest("qq", ["services"]) == ""
    assert suggest("url", ["webhook_url", "api_url", "name"]) == '; did you mean "webhook_url" or "api_url"?'


def test_the_first_thing_that_is_wrong_is_said() -> None:
    refuse((False, "a"), ((), "b"), ("", "c"))
    with pytest.raises(ValueError, match=r"^b$"):
        refuse((False, "a"), (["x"], "b"), (True, "c"))
