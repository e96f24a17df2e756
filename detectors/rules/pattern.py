"""What can be read off a pattern: the trigger for Hyperscan, widths for the confirm window, literals to anchor on.

A rule has one pattern (RE2 ∩ Hyperscan). Hyperscan runs a *trigger* derived from it: the pattern without what cannot
help to find it (word boundaries at its ends, optional heads and tails, the upper bound of a last repeat). A trigger
matches wherever the pattern does, reports one end where the pattern would report dozens, and starts at its literal.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Sequence
from functools import lru_cache

# The standard library's own parser: private, but unchanged since 3.11 and under test here. The alternative, a second
# regex parser of ours, would be larger than this module.
from re import _constants as _c  # type: ignore[attr-defined]
from re import _parser as _p  # type: ignore[attr-defined]
from typing import Any, NamedTuple

__all__ = [
    "REPEATS",
    "Limit",
    "PatternShape",
    "children",
    "emit",
    "groups",
    "matches_empty",
    "parse",
    "says_words",
    "shape",
    "unbounded",
]

Nodes = Sequence[tuple[Any, Any]]
REPEATS = (_c.MAX_REPEAT, _c.MIN_REPEAT)
UNBOUNDED = 4096  # bytes a `*`, `+` or `{n,}` may add to the confirm window
_HEAD = 4  # fixed characters an expression should start with: shorter ones stand in any text by chance
_WAYS = 10  # expressions one trigger may become; more cost more than the longer literals save

_SHORTEST = 6  # characters that a value may have at least
_WIDE = 4  # so much more than the least a repeat may be
_TOKEN = re.compile(
    r"(?P<atom>\\.|\[\^?\]?(?:\\.|[^\]\\])*\])|(?P<name>\(\?P<\w+>)|\{(?P<least>\d+),(?P<most>\d+)\}|(?P<plain>[^\\[(){}|]+)|.",
    re.DOTALL,
)

_CATEGORIES = {
    _c.CATEGORY_DIGIT: r"\d",
    _c.CATEGORY_NOT_DIGIT: r"\D",
    _c.CATEGORY_SPACE: r"\s",
    _c.CATEGORY_NOT_SPACE: r"\S",
    _c.CATEGORY_WORD: r"\w",
    _c.CATEGORY_NOT_WORD: r"\W",
}

_FLAGS = (("i", re.I), ("s", re.S), ("m", re.M))


class PatternShape(NamedTuple):
    """`trigger`: Hyperscan expression; `triggers`: the same as one or more, each with a start of its own.

    `back`, `ahead`: bytes of window before and after a trigger's end. `literals`: one of them stands in every match
    (empty: nothing to anchor on); lower case when `caseless`.
    """

    trigger: str
    triggers: tuple[str, ...]
    back: int
    ahead: int
    literals: tuple[str, ...]
    caseless: bool
    prefix: str  # fixed text right before or at the start of the secret, for masking


@lru_cache(maxsize=4)  # a rule is parsed for its problems, then for its shape
def parse(pattern: str) -> Any:
    """The standard library's tree of a pattern. Raises re.error."""
    with warnings.catch_warnings():
        # `[[a]` might mean a nested set in some future Python; RE2 and Hyperscan read it as today's does.
        warnings.simplefilter("ignore", FutureWarning)
        return _p.parse(pattern)


def groups(pattern: str) -> dict[str, int]:
    """Named groups and their numbers. Raises re.error."""
    return dict(parse(pattern).state.groupdict)


def says_words(pattern: str) -> bool:
    """Whether the first group says one of some words (`live|test`): a part of the format, not the value."""
    value = next(arg[3] for op, arg in _walk(parse(pattern)) if op is _c.SUBPATTERN and arg[0] == 1)
    return _width(value) < _SHORTEST or all(map(_of_words, _walk(value)))


def _of_words(node: tuple[Any, Any]) -> bool:
    op, arg = node
    return op in (_c.LITERAL, _c.SUBPATTERN, _c.BRANCH, _c.AT) or (op is _c.MAX_REPEAT and arg[1] == 1)


class Limit(NamedTuple):
    """That a repeat of `what`, of at least `width` characters, is there `most` times at most. `where`: 0 before the
    value, 1 in it, 2 behind it."""

    where: int
    what: str
    width: int
    most: int


def unbounded(pattern: str) -> tuple[str, list[Limit]] | None:
    """The pattern without upper bounds of repeats, and these: it matches wherever the pattern does,
    if not only there, and its automaton is smaller by as much as they count. None: no repeat is wide, or the value is
    part of one."""
    out, what = "", ""
    limits: list[Limit] = []
    groups: list[int] = []  # where those begin that are open
    where, value = 0 if "(?P<" in pattern else 1, -1
    for token in _TOKEN.finditer(pattern):
        text = token[0]
        if token["name"]:
            where, value = 1, token.start()
        elif token["least"] and int(token["most"]) - int(token["least"]) >= _WIDE:
            width = parse(what).getwidth()[0] if what.startswith("(") else 1
            limits.append(Limit(where, what, width, int(token["most"])))
            text = f"{{{token['least']},}}"
        out, what = out + text, text[-1] if token["plain"] else text
        if text == "(" or token["name"]:
            groups.append(token.start())
        elif text == ")":
            what = pattern[(begin := groups.pop()) : token.end()]
            if begin <= value:
                where = 2
                if pattern[token.end() : token.end() + 1] in {"*", "+", "{"}:
                    return None
    return (out, limits) if limits else None


def matches_empty(pattern: str) -> bool:
    """Whether nothing of the pattern is required."""
    return _can_be_empty(list(parse(pattern)))


def shape(pattern: str, trigger: str | None = None, anywhere: bool = False) -> PatternShape:
    """Analyse `pattern`. Raises re.error (with a column) on what the common syntax does not allow.

    `anywhere`: what points at a match may be any part of it, so the window is the match's own width both ways.
    """
    nodes = list(parse(pattern))
    tree = parse(pattern if trigger is None else trigger)
    core, head, tail = _trim(nodes) if trigger is None else (list(tree), 0, 0)
    anywhere = anywhere or trigger is not None
    flags = tree.state.flags & re.IGNORECASE
    on = "".join(letter for letter, bit in _FLAGS if tree.state.flags & bit)
    text, *ways = [f"(?{on}:{emit(way, flags)})" if on else emit(way, flags) for way in (core, *_ways(core))]
    if trigger is not None:
        # Its author's own boundaries stay, though what is derived from a pattern goes without any.
        text, ways = trigger, [trigger] if _anchored(core) else ways
    literals, caseless = _literals(core, bool(flags))
    return PatternShape(
        trigger=text,
        triggers=tuple(ways) if len(ways) > 1 else (text,),
        back=_width(nodes) if anywhere else _width(core) + head,
        ahead=_width(nodes) if anywhere else tail,
        literals=tuple(literals),
        caseless=caseless,
        prefix=_secret_prefix(nodes),
    )


def children(op: Any, arg: Any) -> Sequence[Any]:
    """What a node holds, each way by itself."""
    if op is _c.SUBPATTERN:
        return (arg[3],)
    if op is _c.BRANCH:
        return (*arg[1],)
    return (arg[2],) if op in REPEATS else ()


def _walk(nodes: Nodes) -> Iterable[tuple[Any, Any]]:
    """Every node of the tree."""
    for op, arg in nodes:
        yield op, arg
        for inner in children(op, arg):
            yield from _walk(inner)


def _width(nodes: Nodes) -> int:
    """Longest text the nodes can match, each unbounded repeat counted as UNBOUNDED."""
    total = 0
    for op, arg in nodes:
        width = max(map(_width, children(op, arg)), default=0 if op is _c.AT else 1)
        if op in REPEATS:
            low, high, _ = arg
            width = UNBOUNDED + low * width if high is _c.MAXREPEAT else high * width
        total += width
    return total


def _can_be_empty(nodes: Nodes) -> bool:
    return all(
        op is _c.AT or (op in REPEATS and not arg[0]) or any(map(_can_be_empty, children(op, arg))) for op, arg in nodes
    )


def _anchored(nodes: Nodes) -> bool:
    """Whether a boundary or an anchor stands anywhere in it."""
    return any(op is _c.AT for op, _ in _walk(nodes))


def _trim(nodes: Nodes) -> tuple[list[tuple[Any, Any]], int, int]:
    """Drop what is optional at both ends. Returns the core and the widths dropped before and after it."""
    core, head = _without_optional(nodes, 0)
    more = 0
    if core and core[0][0] in REPEATS:
        core[0], more = _as_few(core[0])
    elif core and core[0][0] is _c.SUBPATTERN:
        op, (*group, inner) = core[0]
        if len(core) == 1:
            inner, more, tail = _trim(inner)
            return [(op, (*group, inner))], head + more, tail
        inner, more = _without_optional(inner, 0, least=1)
        core[0] = (op, (*group, inner))
    core, tail = _trim_tail(core)
    return core, head + more, tail


def _trim_tail(nodes: Nodes) -> tuple[list[tuple[Any, Any]], int]:
    """The same at the end alone, in each way that it may end."""
    core, tail = _without_optional(nodes, -1)
    if not core:
        return core, tail
    op, arg = core[-1]
    more = 0
    if op in REPEATS:
        core[-1], more = _as_few(core[-1])
    elif op is _c.SUBPATTERN:
        inner, more = _trim_tail(arg[3])
        core[-1] = (op, (*arg[:3], inner))
    elif op is _c.BRANCH:
        trimmed = [_trim_tail(way) for way in arg[1]]
        core[-1] = (op, (None, [way for way, _ in trimmed]))
        more = max(width for _, width in trimmed)
    return core, tail + more


def _without_optional(nodes: Nodes, end: int, least: int = 0) -> tuple[list[tuple[Any, Any]], int]:
    """Without what may be left out at one `end` (0 or -1), as long as more than `least` nodes stay; and its width."""
    core, width = list(nodes), 0
    while len(core) > least and _can_be_empty([core[end]]):
        width += _width([core.pop(end)])
    return core, width


def _as_few(node: tuple[Any, Any]) -> tuple[tuple[Any, Any], int]:
    """A repeat as often as it must be, and the width of the rest."""
    op, (low, _, inner) = node
    return (op, (low, low, inner)), _width([node]) - low * _width(inner)


def _ways(nodes: Nodes) -> list[list[tuple[Any, Any]]]:
    """The ways in which a text of these nodes can start, as far as _HEAD characters or _WAYS ways."""
    done: list[list[tuple[Any, Any]]] = []
    open_ = [(0, list(nodes))]  # fixed characters at its start, and the way
    while open_:
        # The shortest first: the limit is spent where it helps most.
        fixed, way = open_.pop(min(range(len(open_)), key=lambda number: open_[number][0]))
        forks = _forks(way[fixed], way[fixed + 1 :]) if fixed < min(_HEAD, len(way)) else None
        if forks is None or len(forks) + len(open_) + len(done) > _WAYS:
            done.append(way)
        elif forks == [way[fixed:]]:
            open_.append((fixed + 1, way))
        else:
            open_ += [(fixed, way[:fixed] + fork) for fork in forks]
    return done


def _forks(node: tuple[Any, Any], rest: list[tuple[Any, Any]]) -> list[list[tuple[Any, Any]]] | None:
    """What `node` and `rest` can be, with less left open in `node`; None when nothing can be fixed."""
    op, arg = node
    if op is _c.LITERAL:
        return [[node, *rest]]
    if op is _c.SUBPATTERN:
        group, add, remove, inner = arg
        if not add and not remove:
            return [[*inner, *rest]]
        # With flags of its own it stays a group, one for each way it can start.
        fixed = next((number for number, item in enumerate(inner) if item[0] is not _c.LITERAL), len(inner))
        forks = _forks(inner[fixed], list(inner[fixed + 1 :])) if fixed < min(_HEAD, len(inner)) else None
        return forks and [[(op, (group, add, remove, [*inner[:fixed], *fork])), *rest] for fork in forks]
    if op is _c.BRANCH:
        return [[*branch, *rest] for branch in arg[1]]
    if op is _c.IN and all(kind in (_c.LITERAL, _c.RANGE) for kind, _ in arg):
        bounds = [(value, value) if kind is _c.LITERAL else value for kind, value in arg]
        if sum(last - first + 1 for first, last in bounds) <= _WAYS:
            return [[(_c.LITERAL, code), *rest] for first, last in bounds for code in range(first, last + 1)]
    if op in REPEATS:
        low, high, inner = arg
        if low:
            more = [] if high == 1 else [(op, (low - 1, high if high is _c.MAXREPEAT else high - 1, inner))]
            return [[*inner, *more, *rest]]
        if high == 1:
            return [[*inner, *rest], rest]
    return None


def _char(code: int) -> str:
    character = chr(code)
    if character.isascii() and (character.isalnum() or character in " _\"'`<>=:;,/@!#%&~"):
        return character
    return f"\\x{code:02x}" if code < 256 else f"\\x{{{code:x}}}"


def _class(items: Iterable[tuple[Any, Any]]) -> str:
    out = []
    negate = False
    for op, arg in items:
        if op is _c.NEGATE:
            negate = True
        elif op is _c.LITERAL:
            out.append(_char(arg))
        elif op is _c.RANGE:
            out.append(f"{_char(arg[0])}-{_char(arg[1])}")
        else:
            out.append(_CATEGORIES[arg])
    return f"[{'^' if negate else ''}{''.join(out)}]"


def emit(nodes: Nodes, flags: int) -> str:
    """The nodes as an expression for Hyperscan, without word boundaries."""
    out: list[str] = []
    for op, arg in nodes:
        if op is _c.LITERAL:
            out.append(_char(arg))
        elif op is _c.NOT_LITERAL:
            out.append(f"[^{_char(arg)}]")
        elif op is _c.ANY:
            out.append(".")
        elif op is _c.IN:
            out.append(_class(arg))
        elif op is _c.AT and arg in (_c.AT_BOUNDARY, _c.AT_NON_BOUNDARY):
            continue  # escapes hide boundaries (`%3Dvalue`); the confirm regex sees to them
        elif op is _c.AT:
            out.append(
                {
                    _c.AT_BEGINNING: "^",
                    _c.AT_BEGINNING_STRING: r"\A",
                    _c.AT_END: "$",
                    _c.AT_END_STRING: "$",
                }[arg]
            )
        elif op is _c.SUBPATTERN:
            _, add, remove, inner = arg
            on = "".join(letter for letter, bit in _FLAGS if add & bit)
            off = "".join(letter for letter, bit in _FLAGS if remove & bit)
            out.append(f"(?{on}{'-' + off if off else ''}:{emit(inner, flags)})")
        elif op is _c.BRANCH:
            out.append("(?:" + "|".join(emit(b, flags) for b in arg[1]) + ")")
        elif op in REPEATS:
            low, high, inner = arg
            body = emit(inner, flags)
            if len(inner) != 1 or inner[0][0] not in (_c.LITERAL, _c.IN, _c.ANY, _c.NOT_LITERAL, _c.SUBPATTERN):
                body = f"(?:{body})"
            if (low, high) == (1, 1):
                count = ""
            elif high is _c.MAXREPEAT:
                count = {0: "*", 1: "+"}.get(low, f"{{{low},}}")
            elif low == high:
                count = f"{{{low}}}"
            else:
                count = "?" if (low, high) == (0, 1) else f"{{{low},{high}}}"
            out.append(body + count)
        else:
            raise re.error(f"{str(op).lower().replace('_', ' ')} is not part of the common syntax")
    return "".join(out)


def _literals(nodes: Nodes, caseless: bool) -> tuple[list[str], bool]:
    """The best set of literals of which one stands in every match: the set whose shortest member is longest."""
    best: tuple[list[str], bool] = ([], caseless)

    def better(candidate: tuple[list[str], bool]) -> None:
        nonlocal best
        score = min(map(len, candidate[0]), default=0)
        if score > min(map(len, best[0]), default=0):
            best = candidate

    run = ""
    for op, arg in nodes:
        if op is _c.LITERAL:
            run += chr(arg)
            better(([run], caseless))
            continue
        if op is _c.AT:
            continue
        if op is _c.SUBPATTERN:
            _, add, remove, inner = arg
            inner_caseless = (caseless or bool(add & re.I)) and not remove & re.I
            better(_literals(inner, inner_caseless))
        elif op is _c.BRANCH:
            sets = [_literals(b, caseless) for b in arg[1]]
            if all(s[0] for s in sets):
                better(([w for s in sets for w in s[0]], any(s[1] for s in sets)))
                if run and all(b and b[0][0] is _c.LITERAL for b in arg[1]):
                    better(([run + w for s in sets for w in s[0]], caseless))  # a head that the parser factored out
        elif op in REPEATS and arg[0] >= 1:
            better(_literals(arg[2], caseless))
        run = ""
    return best


def _secret_prefix(nodes: Nodes) -> str:
    """The literal the `secret` group starts with (`ghp_`), or "" when the group starts with a class."""
    # It is by contract the first group.
    return _leading(next((arg[3] for op, arg in _walk(nodes) if op is _c.SUBPATTERN and arg[0] == 1), ()))


def _leading(nodes: Nodes) -> str:
    text = ""
    for op, arg in nodes:
        if op is _c.LITERAL:
            text += chr(arg)
        elif op is _c.SUBPATTERN and not text:
            return _leading(arg[3])
        elif op is not _c.AT:
            break
    return text
