"""Values are found by their shape, whatever they are called."""

from __future__ import annotations

import pytest

from benchmarks.labels.places import language, places, room, stratum


@pytest.mark.parametrize(
    ("line", "tongue", "values"),
    [
        ("  colour: heather42", "yaml", ["heather42"]),
        ('"two words",x=orange,"next one" + "violets"', "python", ["violets"]),
        ("don't read 'heather42' here", "text", ["heather42"]),
        ('open("room=garden1 wall=north-2")', "python", ["garden1", "north-2"]),
        ("at: https://host.example/way, then", "yaml", ["https://host.example/way"]),
        ("paint --colour heather42 --fast", "shell", ["heather42"]),
        ("<colour>heather42</colour>", "xml", ["heather42"]),
        ("colour heather42", "ini", ["heather42"]),
        ('put("heather", `violets`)', "javascript", ["heather", "violets"]),
        ("colour = heather42 + moss", "python", []),
        ('say("Colour heather42")', "python", ["heather42"]),
        ('{"colour": "heather42"}', "json", ["heather42"]),
        ('"short" "' + "x" * 201 + '"', "python", []),
    ],
)
def test_a_value_is_found_by_where_it_stands(line: str, tongue: str, values: list[str]) -> None:
    assert [line[start:end] for start, end in places(line, tongue)] == values


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("https://host.example/way", "url"),
        ("https://one:two@host.example", "userinfo"),
        ("${COLOUR}", "variable"),
        ("0123abcd" * 2, "hex"),
        ("Xy0" * 6, "base64"),
        ("heather!42", "symbol"),
        ("heather42", "mixed"),
        ("heather", "words"),
        ("garden/heather", "path"),
        ("192.0.2.1", "digits"),
    ],
)
def test_a_stratum_is_told_by_the_characters(value: str, kind: str) -> None:
    assert stratum(value) == kind


def test_a_member_is_known_by_its_name() -> None:
    assert [language(path) for path in ("a/b.py", "a/.env", "Dockerfile", "a.yml.example", "a.png", "vendor/a.go")] == [
        *("python", "env", "dockerfile", "yaml"),
        *("", ""),
    ]
    rooms = {"tests/a.py": "examples", "src/a.yaml": "settings", "src/a.py": "program", "README.md": "examples"}
    assert {path: room(path) for path in rooms} == rooms
