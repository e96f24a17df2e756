"""A mutant: one line of a function, written wrong. It is found by its function and its text, never by its number."""

from __future__ import annotations

import ast
import functools
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

__all__ = ["LIST", "Function", "Mutant", "applied", "differs", "functions", "line_of", "read", "written"]

LIST = Path(__file__).with_name("mutants.jsonl")

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Mutant:
    room: str
    path: str
    where: str  # qualified name of the innermost function
    operator: str
    line: str  # as it stands there, without its indentation
    nth: int  # which of the same lines in that function, from 0
    mutated: str

    @property
    def name(self) -> str:
        return f"{self.path}:{self.where}: {self.line} → {self.mutated}{f' #{self.nth + 1}' if self.nth else ''}"


def read(path: Path = LIST) -> list[Mutant]:
    return [Mutant(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def written(mutants: list[Mutant]) -> str:
    return "".join(json.dumps(asdict(mutant), ensure_ascii=False) + "\n" for mutant in mutants)


def functions(tree: ast.Module) -> Iterator[tuple[str, Function]]:
    """Every function with its qualified name; of several with one name (`@property`, its setter), each."""

    def found(node: ast.AST, way: str) -> Iterator[tuple[str, Function]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{way}{child.name}", child
            inner = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            yield from found(child, f"{way}{child.name}." if inner else way)

    yield from found(tree, "")


@functools.lru_cache(16)
def _spans(text: str) -> dict[str, list[range]]:
    """Qualified name → numbers of the lines of each function with it."""
    found: dict[str, list[range]] = {}
    for where, function in functions(ast.parse(text)):
        found.setdefault(where, []).append(range(function.lineno, (function.end_lineno or 0) + 1))
    return found


def _place(text: str, mutant: Mutant) -> tuple[range, int] | None:
    lines = text.splitlines()
    for numbers in _spans(text).get(mutant.where, ()):
        same = [number for number in numbers if lines[number - 1].strip() == mutant.line]
        if len(same) > mutant.nth:
            return numbers, same[mutant.nth]
    return None


def line_of(text: str, mutant: Mutant) -> int | None:
    """Number of its line in `text`, the source of its file, from 1; None: its code is gone."""
    place = _place(text, mutant)
    return place[1] if place else None


def differs(text: str, mutant: Mutant) -> bool:
    """Whether with it the function is another, and still one."""
    place = _place(text, mutant)
    if place is None:
        return False
    numbers, _ = place

    def parsed(whole: str) -> str:
        return ast.dump(ast.parse("\n".join(["if 1:", *(f" {whole.splitlines()[number - 1]}" for number in numbers)])))

    try:
        return parsed(applied(text, mutant) or text) != parsed(text)
    except SyntaxError:
        return False


def applied(text: str, mutant: Mutant) -> str | None:
    """`text` with it; None: its code is gone."""
    number = line_of(text, mutant)
    if number is None:
        return None
    lines = text.splitlines(keepends=True)
    lines[number - 1] = lines[number - 1].replace(mutant.line, mutant.mutated)
    return "".join(lines)
