"""Maps which tests execute which mutant's line, then runs those of each mutant until one fails."""

from __future__ import annotations

import ast
import json
import time
from collections import defaultdict
from collections.abc import Sequence
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from tests.mutants.draw import ROOMS
from tests.mutants.mutant import Mutant, applied, functions, line_of
from tests.mutants.tree import Tree

__all__ = ["Tests", "chosen", "doubtful", "job", "judged", "map_tests", "play", "play_alone", "rows", "table"]

# Those of the rooms, and those that play them together.
TESTS = (
    "store sources delivery runbook actions daemon test_mask.py test_mask_forms.py test_scrub.py test_excerpt.py "
    "test_quoted.py test_scanner.py test_every_text.py test_blocks.py cli/test_mask.py cli/test_incidents.py "
    "cli/test_runbook.py cli/test_action.py cli/test_outbox.py cli/test_silences.py"
)
_PROBE = "__import__('mutants_probe').seen({number})"


def chosen(mutants: Sequence[Mutant], tree: Tree, many: int) -> list[Mutant]:
    """The first `many` of each room whose code `tree` has, rooms in turn: a part of them is a part of every room."""
    rooms = [[mutant for mutant in mutants if mutant.room == room and tree.has(mutant)][:many] for room in ROOMS]
    return [mutant for mutant in chain.from_iterable(zip_longest(*rooms)) if mutant]


class Tests:
    """What each test costs, and by whom the lines of mutants are executed: as mapped in `folder`.

    `like`: that of another tree, whose tests have the same names for the most part, and which caught what is played.
    """

    def __init__(self, folder: Path, *, like: Path | None = None) -> None:
        self._like = like
        self._caught = {row["name"]: row["by"] for row in rows(like / "results.jsonl")} if like else {}
        self._banned = set(rows(folder / "banned.jsonl"))
        self.cost = {
            name: (cpu, wall) for name, passed, cpu, wall in rows((like or folder) / "cost.jsonl") if passed
        }  # one that fails without a mutant tells nothing
        self._by: dict[str, set[str]] = defaultdict(set)
        lines: list[str] = rows((like or folder) / "lines.jsonl")
        for number, test in rows((like or folder) / "seen.jsonl"):
            self._by[lines[number]].add(test)

    def of(self, mutant: Mutant) -> list[str]:
        """First those of the file's own test, then the others; each time the cheapest first."""
        own, caught = own_test(mutant), self._caught.get(mutant.name)
        known = [test for test in self._by[mutant.name] if test in self.cost and test not in self._banned]

        def turn(test: str) -> tuple[bool, bool, float]:
            return test != caught, not test.startswith(own), self.cost[test][0] + self.cost[test][1] / 4

        return sorted(known, key=turn)

    def whole(self, mutant: Mutant) -> list[str]:
        """Files all of whose tests run besides: where no test is known, or there may be tests that are not mapped."""
        return [own_test(mutant)] if self._like is not None or not self.of(mutant) else []

    def ban(self, names: Sequence[str], folder: Path) -> None:
        with (folder / "banned.jsonl").open("a", encoding="utf-8") as file:
            file.writelines(f"{json.dumps(name)}\n" for name in names)


def own_test(mutant: Mutant) -> str:
    return f"tests/{Path(mutant.path).parent}/test_{Path(mutant.path).stem.strip('_')}.py"


def map_tests(tree: Tree, mutants: Sequence[Mutant], folder: Path, wall: float) -> None:
    """Run the tests once, with a probe before the line of each mutant."""
    tree.restore()
    for path in {mutant.path for mutant in mutants}:
        probes: dict[int, list[int]] = defaultdict(list)
        text = tree.text(path)
        for number, mutant in enumerate(mutants):
            if mutant.path == path:
                probes[statement_of(text, mutant)].append(number)
        tree.write(path, probed(text, probes))
    for name in ("plan.json", "seen.jsonl", "cost.jsonl"):
        (tree.told / name).unlink(missing_ok=True)
    names = [f"tests/monitor/{name}" for name in TESTS.split()]
    tree.pytest(*[name for name in names if (tree.root / name).exists()], wall=wall)
    tree.restore()
    for name in ("seen.jsonl", "cost.jsonl"):
        (tree.told / name).replace(folder / name)
    with (folder / "lines.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(f"{json.dumps(mutant.name)}\n" for mutant in mutants)


def statement_of(text: str, mutant: Mutant) -> int:
    """Line of the innermost statement around it, before which another can stand: an `elif` is none."""
    number, lines = line_of(text, mutant), text.splitlines()
    assert number is not None
    function = next(node for where, node in functions(ast.parse(text)) if where == mutant.where)
    around = [
        node.lineno
        for node in ast.walk(function)
        if isinstance(node, ast.stmt)
        and node is not function
        and node.lineno <= number <= (node.end_lineno or 0)
        and not lines[node.lineno - 1].lstrip().startswith(("elif ", "@"))
    ]
    return max(around)


def probed(text: str, probes: dict[int, list[int]]) -> str:
    out = []
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        indent = line[: len(line) - len(line.lstrip())]
        out += [f"{indent}{_PROBE.format(number=one)}\n" for one in probes.get(number, ())]
        out.append(line)
    return "".join(out)


def job(mutant: Mutant, tree: Tree, tests: Tests, cpu: float, wall: float) -> dict[str, Any]:
    """What the plugin is asked to play: the first test that fails ends it."""
    known = tests.of(mutant)
    fits = within(known, tests, cpu)
    return {
        "name": mutant.name,
        "path": mutant.path,
        "text": applied(tree.text(mutant.path), mutant),
        "tests": {test: tests.cost[test][1] for test in fits},
        "whole": tests.whole(mutant),
        "skipped": len(known) - len(fits),
        "cpu": cpu,
        "wall": wall,
        "patience": 1,
        "all": False,
    }


def play(tree: Tree, jobs: Sequence[dict[str, Any]], until: float) -> None:
    """Adds a line to `played.jsonl` for each that was begun before `until`."""
    files = dict.fromkeys(name.partition("::")[0] for one in jobs for name in (*one["tests"], *one["whole"]))
    present = sorted(name for name in files if (tree.root / name).exists())
    plan = {"jobs": jobs, "until": until}
    (tree.told / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    if present and time.time() < until:
        tree.pytest(*present, wall=12 * 3600)
    tree.restore()


def play_alone(tree: Tree, one: dict[str, Any], until: float) -> None:
    """In a process that has imported what is mutated, not what was there before."""
    tree.write(one["path"], one["text"])
    play(tree, [one | {"path": ""}], until)


def judged(mutant: Mutant, played: dict[str, Any]) -> dict[str, Any]:
    """Caught (also when it hung), survived, or unseen by all; by which test, how many ran, how many did not fit."""
    told = [row for row in played["told"] if row[1] != "not played"]
    by, how = next(((test, how) for test, how in told if how in ("failed", "timeout")), ("", ""))
    if by:
        outcome = "timeout" if how == "timeout" else "caught"
    elif played["hung"]:
        outcome = "timeout"
    else:
        outcome = "survived" if told and told == played["told"] else "unseen"
    kept = {name: played[name] for name in ("left", "seconds", "patience", "alone")}
    base = {"room": mutant.room, "operator": mutant.operator, "name": mutant.name}
    return base | {"outcome": outcome, "by": by, "ran": len(told)} | kept


def within(known: Sequence[str], tests: Tests, cpu: float) -> list[str]:
    used, fits = 0.0, []
    for test in known:
        used += tests.cost[test][0]
        if used <= cpu or not fits:
            fits.append(test)
    return fits


def doubtful(tree: Tree, results: Sequence[dict[str, Any]], tests: Tests) -> list[str]:
    """Of the tests that caught a mutant, those that fail without one too: what they say does not count."""
    names = sorted({result["by"] for result in results if result["by"]})
    walls = {name: tests.cost.get(name, (0.0, 5.0))[1] for name in names}
    base = {
        "name": "control",
        "path": "",
        "text": "",
        "tests": walls,
        "whole": [],
        "cpu": 3600.0,
        "wall": 3600.0,
        "skipped": 0,
        "patience": 5,
    }
    play(tree, [base | {"all": True}], until=1e12)
    told = rows(tree.told / "played.jsonl")[-1]["told"]
    passed = {test for test, how in told if how == "passed"}
    return [name for name in names if name not in passed or [name, "failed"] in told]


def rows(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def table(results: Sequence[dict[str, Any]]) -> str:
    """Room by room, in Markdown."""
    lines = ["| room | mutants | caught | of these hung | survived | unseen |", "| --- | --- | --- | --- | --- | --- |"]
    for room in (*ROOMS, "all"):
        own = [result["outcome"] for result in results if room in ("all", result["room"])]
        caught, hung = own.count("caught"), own.count("timeout")
        lines.append(
            f"| {room} | {len(own)} | {caught + hung} | {hung} | {own.count('survived')} | {own.count('unseen')} |"
        )
    return "\n".join(lines)
