from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

from tests.mutants.draw import ROOMS, ROOT, draw, files
from tests.mutants.mutant import Mutant, applied, differs, line_of, read, written
from tests.mutants.operators import OPERATORS, candidates
from tests.mutants.run import probed, statement_of, table

PLAYED = 40  # of each room, as `make mutants` does


def made(body: str, head: str = "def f(a, b):") -> set[tuple[str, str]]:
    """Operator and new line of each mutant of a function."""
    text = "\n".join([head, *(f"    {line}" for line in body.splitlines())]) + "\n"
    found = list(candidates("store", "a.py", text))
    assert all(differs(text, mutant) for mutant in found)
    return {(mutant.operator, mutant.mutated) for mutant in found}


@pytest.mark.parametrize(
    ("body", "operator", "mutated"),
    [
        ("a == b", "comparison", "a != b"),
        ("a not  in b", "comparison", "a in b"),
        ("a is None", "comparison", "a is not None"),
        ("é = 'ü' if a <= b else 1", "boundary", "é = 'ü' if a < b else 1"),
        ("0 <= a < b", "boundary", "0 <= a <= b"),
        ("if a: b = 1", "condition", "if not (a): b = 1"),
        ("while not a: b()", "condition", "while a: b()"),
        ("if a and b: c = 1", "and/or", "if (a or b): c = 1"),
        ("a = b or 1", "and/or", "a = (b and 1)"),
        ("a = b[1]", "constant", "a = b[2]"),
        ("a(b, durable=True)", "constant", "a(b, durable=False)"),
        ("a(b)", "removed", "pass"),
        ("a.count += b", "removed", "pass"),
        ("a.b = b", "removed", "pass"),
        ("return a", "answer", "return None"),
        ("a(b, a)", "swapped", "a(a, b)"),
        ("for a in b:\n    continue", "jump", "pass"),
        ("raise ValueError('a')", "jump", "pass"),
        ("return", "jump", "pass"),
    ],
)
def test_an_operator(body: str, operator: str, mutated: str) -> None:
    assert (operator, mutated) in made(body)


def test_an_answer_of_yes_or_no_is_turned_round() -> None:
    assert made("return a", "def f(a) -> bool:") == {("answer", "return not (a)")}


@pytest.mark.parametrize(
    "body",
    [
        '"""Whether 1 < 2 and so on."""',
        "assert a < b and b",
        "log.info('so', a=1 < 2)",
        "a: Literal[1] = b",
        "a = f'{b[1]}'",
        "timeout = 3",
        "await a(b)",
        "a = 4096",
        "if TYPE_CHECKING: pass",
        "isinstance(a, b).c",
    ],
)
def test_what_says_nothing_about_tests_is_left_alone(body: str) -> None:
    assert not made(body)


SOURCE = """\
class A:
    def f(self):
        if self.a:
            return 1
        if self.a:
            return 1

        def inner():
            if self.a:
                return 1
            elif self.b < 1:
                pass
"""


def of(where: str, line: str, nth: int, mutated: str) -> Mutant:
    return Mutant("store", "a.py", where, "condition", line, nth, mutated)


def test_it_is_found_by_its_function_and_its_text_wherever_they_stand() -> None:
    second = of("A.f", "if self.a:", 1, "if not (self.a):")
    assert line_of(SOURCE, second) == 5
    assert line_of(f"import os\n\n\n{SOURCE}", second) == 8
    changed = applied(SOURCE, second)
    assert changed is not None
    assert changed.splitlines()[4] == "        if not (self.a):"
    assert changed.count("not") == 1
    assert line_of(SOURCE, of("A.f.inner", "if self.a:", 0, "pass")) == 9


def test_its_code_may_be_gone() -> None:
    assert applied(SOURCE, of("A.g", "if self.a:", 0, "pass")) is None
    assert applied(SOURCE, of("A.f.inner", "if self.a:", 1, "pass")) is None


def test_a_probe_stands_before_the_statement() -> None:
    lines = {
        nth: statement_of(SOURCE, mutant)
        for nth, mutant in enumerate(
            [of("A.f", "return 1", 1, "pass"), of("A.f.inner", "elif self.b < 1:", 0, "elif self.b <= 1:")]
        )
    }
    assert lines == {0: 6, 1: 9}
    with_probes = probed(SOURCE, {line: [number] for number, line in lines.items()})
    ast.parse(with_probes)
    assert with_probes.splitlines()[5].strip() == "__import__('mutants_probe').seen(0)"
    assert with_probes.count("seen(") == 2


def test_the_list_has_enough_of_every_room_for_this_tree() -> None:
    """Where this fails, code has changed: `python -m tests.mutants draw` makes the list anew."""
    mutants = read()
    texts = {mutant.path: (ROOT / mutant.path).read_text(encoding="utf-8") for mutant in mutants if _there(mutant)}
    here = [mutant for mutant in mutants if mutant.path in texts and differs(texts[mutant.path], mutant)]
    assert len({mutant.name for mutant in mutants}) == len(mutants)
    counts = Counter(mutant.room for mutant in here)
    assert counts.keys() == ROOMS.keys()
    assert min(counts.values()) >= PLAYED
    assert {mutant.operator for mutant in here} == OPERATORS.keys()


def _there(mutant: Mutant) -> bool:
    return (ROOT / mutant.path).is_file()


def test_a_seed_draws_the_same_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "tests.mutants.draw.ROOMS", {"delivery": "monitor/delivery/clock.py monitor/delivery/notices.py"}
    )
    drawn = draw(7, 8)
    assert len(drawn) == 8
    assert drawn == draw(7, 8) != draw(8, 8)


def test_a_file_is_of_one_room(monkeypatch: pytest.MonkeyPatch) -> None:
    named = "monitor/delivery/clock.py"
    monkeypatch.setattr("tests.mutants.draw.ROOMS", {"clocks": named, "delivery": "monitor/delivery"})
    assert files("clocks") == [ROOT / named]
    assert ROOT / named not in files("delivery")


def test_the_list_is_written_as_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_text(written(read()), encoding="utf-8")
    assert read(path) == read()


def test_what_hangs_is_caught() -> None:
    rows = [{"room": "store", "outcome": outcome} for outcome in ("caught", "timeout", "survived", "unseen")]
    assert "| store | 4 | 2 | 1 | 1 | 1 |" in table(rows).splitlines()
    assert table(rows).splitlines()[-1] == "| all | 4 | 2 | 1 | 1 | 1 |"
