"""What a mutant may be: every one-line mistake that the operators make in the functions of a source.

None in docstrings, annotations, defaults, decorators, asserts, texts of errors, what is logged, sizes and pauses.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.mutants.mutant import Function, Mutant, functions

__all__ = ["OPERATORS", "candidates"]

_FLIPPED = {"==": "!=", "<": ">=", ">": "<=", "in": "not in", "is": "is not"}
_FLIPPED |= {after: before for before, after in _FLIPPED.items()}
_BOUNDARY = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}
_COMPARED = re.compile(r"\s(not\s+in|is\s+not|==|!=|<=|>=|<|>|in|is)\s")
_TUNING = re.compile(
    r"(?i)timeout|chunk|batch|limit|second|minute|interval|size|cache|wait|delay|pause|retr|sleep|buffer|pool|"
    r"priority|level|width|maxlen|bytes|<<|log\b|logger|memory|gc\."
)
_COMMUTE = {"isinstance", "issubclass", "hasattr", "min", "max", "or_", "and_", "print", "cast", "gather", "text"}

Edit = tuple[int, int, str]  # columns in bytes, what comes in their place


def candidates(room: str, path: str, text: str) -> Iterator[Mutant]:
    """All that the operators make of the functions in `text`, the source of the file at `path`."""
    lines = text.splitlines()
    for where, function in functions(ast.parse(text)):
        counts = [line.strip() for line in lines[function.lineno - 1 : function.end_lineno]]
        for operator, number, (start, end, to) in _edits(function, lines):
            raw = lines[number - 1].encode()
            mutated = (raw[:start] + to.encode() + raw[end:]).decode().strip()
            line = lines[number - 1].strip()
            nth = counts[: number - function.lineno].count(line)
            mutant = Mutant(room, path, where, operator, line, nth, mutated)
            if mutated != line and not re.search(r"\blog\.", line) and line.count("# noqa") == 0:
                yield mutant


def _edits(function: Function, lines: list[str]) -> Iterator[tuple[str, int, Edit]]:
    for node in _inside(function):
        if getattr(node, "lineno", 0) != getattr(node, "end_lineno", -1):
            own = getattr(node, "test", None)  # a statement of several lines may have a condition of one
            if not isinstance(node, ast.If | ast.While) or own is None or own.lineno != own.end_lineno:
                continue
        for operator, make in OPERATORS.items():
            edit = make(node, function, lines)
            if edit is not None:
                yield operator, node.lineno if not hasattr(node, "test") else node.test.lineno, edit


def _inside(function: Function) -> Iterator[ast.AST]:
    """What the function itself does."""
    heap: list[ast.AST] = list(reversed(function.body))
    while heap:
        node = heap.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Assert | ast.JoinedStr):
            continue
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[0] in ("log", "_log", "cast"):
            continue
        yield node
        if isinstance(node, ast.AnnAssign):
            heap += [node.value] if node.value else []
        elif not isinstance(node, ast.Raise):
            heap += reversed(list(ast.iter_child_nodes(node)))


def _flip(node: ast.AST, function: Function, lines: list[str]) -> Edit | None:
    return _comparison(node, lines, _FLIPPED)


def _boundary(node: ast.AST, function: Function, lines: list[str]) -> Edit | None:
    return _comparison(node, lines, _BOUNDARY)


def _comparison(node: ast.AST, lines: list[str], table: dict[str, str]) -> Edit | None:
    """Of the last comparison in a row; that of `a < b < c` too."""
    if not isinstance(node, ast.Compare):
        return None
    before = node.comparators[-2] if len(node.comparators) > 1 else node.left
    start, end = before.end_col_offset or 0, node.comparators[-1].col_offset
    found = _COMPARED.search(lines[node.lineno - 1].encode()[start:end].decode())
    to = table.get(" ".join(found[1].split())) if found else None
    return (start + found.start(1), start + found.end(1), to) if found and to else None


def _negate(node: ast.AST, function: Function, lines: list[str]) -> Edit | None:
    test = node.test if isinstance(node, ast.If | ast.While | ast.IfExp) else None
    if test is None or isinstance(test, ast.Constant | ast.Compare) or ast.unparse(test) == "TYPE_CHECKING":
        return None
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return test.col_offset, test.operand.col_offset, ""
    return test.col_offset, test.end_col_offset or 0, f"not ({_said(test, lines)})"


def _logic(node: ast.AST, function: Function, lines: list[str]) -> Edit | None:
    if not isinstance(node, ast.BoolOp) or len(node.values) != 2:
        return None
    first, second = node.values
    between = lines[node.lineno - 1].encode()[first.end_col_offset : second.col_offset].decode()
    before, after = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
    whole = _said(node, lines).encode()
    at = (first.end_col_offset or 0) - node.col_offset
    changed = (
        whole[:at].decode() + re.sub(rf"\b{before}\b", after, between) + whole[at + len(between.encode()) :].decode()
    )
    return node.col_offset, node.end_col_offset or 0, f"({changed})"


def _constant(node: ast.AST, function: Function, lines: list[str]) -> Edit | None:
    line = lines[getattr(node, "lineno", 1) - 1]
    if not isinstance(node, ast.Constant) or "echo(" in line or _TUNING.search(line) or _TUNING.search(function.name):
        return None
    if isinstance(node.value, bool):
        to = str(not node.value)
    elif isinstance(node.value, int) and 0 <= node.value < 10:
        to = str(node.value + 1)
    else:
        return None
    return node.col_offset, node.end_col_offset or 0, to


def _remove(node: ast.AST, function: Function, lines: list[str]) -> Edit | None:
    """A call, or a change of something that has a value without it."""
    call = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    kept = isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute | ast.Subscript)
    if not (call or kept or isinstance(node, ast.AugAssign)) or _TUNING.search(lines[node.lineno - 1]):
        return None
    if function.name == "__init__" or "super()" in lines[node.lineno - 1]:
        return None
    return node.col_offset, node.end_col_offset or 0, "pass"


def _answer(node: ast.AST, function: Function, lines: list[str]) -> Edit | None:
    if not isinstance(node, ast.Return) or node.value is None or function.name in ("__repr__", "__str__"):
        return None
    if function.returns is not None and ast.unparse(function.returns) == "bool":
        to = f"not ({_said(node.value, lines)})"
    else:
        to = "None"
    return node.value.col_offset, node.value.end_col_offset or 0, to


def _swap(node: ast.AST, function: Function, lines: list[str]) -> Edit | None:
    if not isinstance(node, ast.Call) or len(node.args) < 2 or ast.unparse(node.func).split(".")[-1] in _COMMUTE:
        return None
    first, second = node.args[:2]
    alike = all(isinstance(one, ast.Name | ast.Attribute | ast.Subscript | ast.BinOp) for one in (first, second))
    if not alike or ast.unparse(first) in ("tx", "connection", "self") or _TUNING.search(lines[node.lineno - 1]):
        return None  # whatever is called would refuse most others at once
    between = lines[node.lineno - 1].encode()[first.end_col_offset : second.col_offset].decode()
    return first.col_offset, second.end_col_offset or 0, _said(second, lines) + between + _said(first, lines)


def _jump(node: ast.AST, function: Function, lines: list[str]) -> Edit | None:
    bare = isinstance(node, ast.Return) and node.value is None
    if bare or isinstance(node, ast.Break | ast.Continue | ast.Raise):
        return node.col_offset, node.end_col_offset or 0, "pass"
    return None


def _said(node: ast.expr, lines: list[str]) -> str:
    return lines[node.lineno - 1].encode()[node.col_offset : node.end_col_offset].decode()


OPERATORS = {
    "comparison": _flip,
    "boundary": _boundary,
    "condition": _negate,
    "and/or": _logic,
    "constant": _constant,
    "removed": _remove,
    "answer": _answer,
    "swapped": _swap,
    "jump": _jump,
}
