"""The list: so many mutants of each room in a seeded order, each of which can be made in an older tree too."""

from __future__ import annotations

import random
import subprocess
from collections import Counter
from collections.abc import Iterator
from itertools import chain, zip_longest
from pathlib import Path

from tests.mutants.mutant import Mutant, differs
from tests.mutants.operators import OPERATORS, candidates

__all__ = ["ROOMS", "draw", "files"]

ROOT = Path(__file__).parents[2]
ROOMS = {  # room → files and folders; a file is of the first room that names it
    "masking": (
        "monitor/scanning/mask.py monitor/scanning/redact.py detectors/excerpt.py "
        "monitor/scanning/quoted_secret.py monitor/cli/mask.py"
    ),
    "store": "monitor/store",
    "sources": "monitor/sources",
    "delivery": "monitor/delivery",
    "runbook": "monitor/runbook monitor/actions",
}


def files(room: str) -> list[Path]:
    first = {path: name for name in reversed(ROOMS) for path in _below(ROOMS[name])}
    return sorted(path for path, name in first.items() if name == room)


def _below(places: str) -> Iterator[Path]:
    for place in places.split():
        path = ROOT / place
        yield from path.rglob("*.py") if path.is_dir() else [path]


def draw(seed: int, many: int, before: str | None = None) -> list[Mutant]:
    """`many` of each room; `before`: a commit in which each can be made too."""
    return list(chain.from_iterable(_of_room(room, seed, many, before) for room in ROOMS))


def _of_room(room: str, seed: int, many: int, before: str | None) -> list[Mutant]:
    paths = files(room)
    found: dict[str, list[Mutant]] = {operator: [] for operator in OPERATORS}
    texts: dict[str, list[str]] = {}
    for path in paths:
        text, place = path.read_text(encoding="utf-8"), str(path.relative_to(ROOT))
        texts[place] = [text] if before is None else [text, _shown(before, place)]
        for mutant in candidates(room, place, text):
            found[mutant.operator].append(mutant)
    dice = random.Random(f"{seed} {room}")
    for mutants in found.values():
        dice.shuffle(mutants)
    most = max(3, -(-2 * many // len(paths)))
    taken: dict[tuple[str, str, str, int], Mutant] = {}
    by_function, by_path = Counter[str](), Counter[str]()
    for mutant in filter(None, chain.from_iterable(zip_longest(*found.values()))):  # an operator in turn
        line = mutant.path, mutant.where, mutant.line, mutant.nth
        function = f"{mutant.path}:{mutant.where}"
        free = line not in taken and by_function[function] < 2 and by_path[mutant.path] < most
        if len(taken) < many and free and all(differs(text, mutant) for text in texts[mutant.path]):
            taken[line] = mutant
            by_function[function] += 1
            by_path[mutant.path] += 1
    return list(taken.values())


def _shown(commit: str, place: str) -> str:
    done = subprocess.run(["git", "show", f"{commit}:{place}"], cwd=ROOT, capture_output=True, check=False, text=True)
    return done.stdout
