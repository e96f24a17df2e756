"""A source, a sink and a secret manager bring their documentation: each names here what it lacks."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.components import CHAPTERS, Component, components, current, keys

LONGEST = 200  # letters in a cell of a table

ALL = list(components())


def test_each_key_is_described_by_its_component() -> None:
    for one in ALL:
        lines = "".join(f"\n    - `{key}`: …" for key in sorted(one.undescribed()))
        assert not lines, f"{one.place}: the docstring of {one.config.__name__} needs a line for each of{lines}"
        assert not one.unknown(), f"{one.place}: its docstring describes {one.unknown()}, which are no keys"
        long = [item.keys for item in one.items() if len(item.meaning) > LONGEST]
        assert not long, f"{one.place}: more than {LONGEST} letters of {long}: say it in the text above or below"
    for chapter in CHAPTERS:
        for model in chapter.shared:
            described = {key for item in Component(chapter._replace(shared=()), "", model).items() for key in item.keys}
            assert keys(model) - described == set(), model.__name__


def test_each_component_has_an_example_with_every_key() -> None:
    for one in ALL:
        shown = one.entries()
        assert shown, (
            f'{one.place}: needs EXAMPLE = """…""" beside {one.config.__name__}, as config.example.toml has it'
        )
        assert {entry.get("type") for entry in shown} == {one.type}, one.place
        # What all share is shown by one of them.
        lacks = one.keys() - {key for entry in shown for key in entry}
        assert not lacks, f"{one.place}: EXAMPLE does not show {lacks}"


def test_what_components_share_is_shown_by_one_of_them() -> None:
    for chapter in CHAPTERS:
        shown = {key for one in ALL if one.chapter is chapter for entry in one.entries() for key in entry}
        assert set().union(*map(keys, chapter.shared)) <= shown, chapter.name


def test_the_defaults_in_the_examples_are_the_defaults() -> None:
    for one in ALL:
        lines = re.findall(r"(?m)^#([a-z_]+) = (.*)$", one.example)
        commented = {key for key, _ in lines} - {key for key, rest in lines if "default:" in rest}
        for entry in one.entries():
            given = one.config.model_validate(entry)
            for name, field in one.config.model_fields.items():
                default = field.get_default(call_default_factory=False)
                if name in commented and name in entry and not field.is_required() and default not in (None, ()):
                    assert getattr(given, name) == default, f"{one.place}: {name}"


@pytest.mark.parametrize(("path", "text"), current(whole=False).items(), ids=lambda value: getattr(value, "name", ""))
def test_the_page_and_the_example_say_what_components_say(path: Any, text: str) -> None:
    """After a change of either: make docs."""
    assert path.read_text(encoding="utf-8") == text


def test_at_a_release_both_have_every_component() -> None:
    page, example = current(whole=True).values()
    for one in ALL:
        assert one.section() in page
        assert one.example in example
