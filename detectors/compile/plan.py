"""What Hyperscan is asked to look for and what its answers stand for: made from the rules, or taken from a cache."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache as once_a_process
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import hyperscan
import orjson

from detectors import cache
from detectors.compile.anchors import anchored, ways
from detectors.compile.apart import apart
from detectors.compile.codecs import Codec, codecs
from detectors.rules.checksums import CHECKS
from detectors.rules.rule import Rule, RuleError
from detectors.rules.triggers import ASSIGNED, TRIGGERS

__all__ = ["Compiled", "Plan", "compiled", "dumped", "filler", "make", "name", "searched", "tried"]

# From some 800 literals, if the shortest has four characters, Hyperscan looks at every second or fourth position only,
# which lets so many false candidates through that it is up to twice as slow. Two bytes that no text holds keep it at
# every position; below a hundred literals it uses another matcher.
_MANY, _STRIDE = 100, r"\xc0\xc1"
# From ten thousand literals on it looks at seven bits of the next character, and not at five, which lets a third fewer
# candidates through. What so many expressions miss to that texts that are no text make up for, two in each expression;
# more have enough.
_DENSE, _PADDING = range(5000, 9000), 1350
_LONG = 3000  # expressions from which on it pays to compile them apart
_KEEP = 8  # databases in the cache
_MOST = 0.9  # of the default rules: without more of them it pays to compile what is left, which every byte goes through
_APART = 100  # shipped rules from which on a user's own are compiled by themselves
_FILLERS = {"percent": ".", "base64": "[A-Za-z0-9+/_-]"}

Expressions = Sequence[tuple[bytes, int]]  # text, id


@dataclass(frozen=True)
class Plan:
    """By id of an expression: rules that share a trigger or a hint, then decoders. Several expressions may have one id.

    `hinted`: ids that find a part of a keyword. `assigned`: those that find an assignment. `near`: rules by id of the
    second database, which is asked around those, for parts of keywords.
    """

    rules: Sequence[Sequence[int]]
    codecs: Sequence[Codec]
    hinted: range
    assigned: Sequence[int]
    near: Sequence[Sequence[int]]

    @cached_property
    def exact(self) -> frozenset[int]:
        """Ids of which every single end counts, not only the window around it."""
        return frozenset((*self.assigned, *range(len(self.rules), len(self.rules) + len(self.codecs))))

    @cached_property
    def once(self) -> frozenset[int]:
        """Ids of which the first end in a block is all that is told."""
        return frozenset(len(self.rules) + number for number, codec in enumerate(self.codecs) if codec.once)


class Compiled(NamedTuple):
    """A plan with its databases: one that scans every byte, and one for hints near an assignment, or None."""

    plan: Plan
    database: Any
    near: Any


def compiled(rules: Sequence[Rule], cache_dir: Path | None) -> tuple[Compiled, ...]:
    """Plans and databases of these rules, from the package or from the cache where one holds them.

    A user's own rules are compiled by themselves beside many shipped ones: to change one of them costs a fraction of a
    second, and not the seconds that all take. Raises RuleError when a rule names a check that there is none of, and
    hyperscan.error.
    """
    shipped = [number for number, rule in enumerate(rules) if rule.family != "custom"]
    if not _APART <= len(shipped) < len(rules):
        return (_compiled(rules, cache_dir, "hsdb"),)
    own = sorted({*range(len(rules))} - {*shipped})
    base = [rules[number] for number in shipped]
    first = _compiled(base, cache_dir, "hsdb")
    second = _compiled([rules[number] for number in own], cache_dir, "hsown", base, _spared(first))
    return _numbered(first, dict(enumerate(shipped))), _numbered(second, dict(enumerate(own)))


def tried(rules: Sequence[Rule]) -> tuple[Compiled, ...]:
    """The same for rules that are to find a few texts: in two databases. That of what all rules share, the decoders and
    what finds assignments, takes most of a second to compile, so it comes compiled; that of one rule takes little."""
    near = any(set(rule.keywords) - set(rule.anywhere) for rule in rules)
    return (first := _common(near)), _compiled(rules, None, "hsown", (), _spared(first))


@once_a_process
def _common(near: bool) -> Compiled:
    return _compiled((), None, "hsdb", assigned=near)


def _spared(first: Compiled) -> bool | None:
    return False if first.plan.assigned else None


def name(rules: Sequence[Rule], assigned: bool | None = None) -> str:
    """What the file of these is called where they come compiled; of none, with or without what finds assignments: of
    what all rules share."""
    return _name(_key(rules, None, assigned), "hsdb")


def dumped(rules: Sequence[Rule], assigned: bool | None = None) -> bytes:
    """What is in it. Raises as `compiled` does."""
    return _dumped(_key(rules, None, assigned), _compiled(rules, None, "hsdb", assigned=assigned))


def _name(key: bytes, suffix: str) -> str:
    return f"{key.hex()[:32]}.{suffix}"


def _numbered(part: Compiled, numbers: Mapping[int, int]) -> Compiled:
    """By other numbers of its rules, without those that have none."""
    plan = part.plan
    named, near = (
        [[numbers[rule] for rule in rules if rule in numbers] for rules in each] for each in (plan.rules, plan.near)
    )
    return part._replace(plan=replace(plan, rules=named, near=near))


def _compiled(
    rules: Sequence[Rule],
    cache_dir: Path | None,
    suffix: str,
    beside: Sequence[Rule] | None = None,
    assigned: bool | None = None,
) -> Compiled:
    """Those of some rules, as `make` plans them."""
    key = _key(rules, beside, assigned)
    path = cache_dir / _name(key, suffix) if cache_dir is not None else None
    out = _load(cache.shipped(_name(key, suffix)), key)
    if out is None and path is not None:
        out = _load(cache.read(path), key)
    if out is None and beside is None and len(rules) >= _APART:
        out = _fewer(rules)
    if out is None:
        plan, expressions, near = make(rules, beside, assigned)
        database = _compile(searched(rules, plan, expressions), plan.once)
        out = Compiled(plan, database, _compile(near) if near else None)
        if path is not None:
            cache.write(path, _dumped(key, out), _KEEP)
    return out


def _fewer(rules: Sequence[Rule]) -> Compiled | None:
    """Of the default rules without a few what all of them have, as it comes compiled: to turn one off takes no seconds.
    None: they are others, or they do not come compiled."""
    from detectors.rules.load import shipped_rules

    default = shipped_rules(["default"]) or []
    if not len(default) * _MOST <= len(rules) < len(default):
        return None
    places = {rule.id: place for place, rule in enumerate(default)}
    numbers = {places[rule.id]: number for number, rule in enumerate(rules) if rule.id in places}
    if len(numbers) < len(rules) or any(_asked(default[one]) != _asked(rules[numbers[one]]) for one in numbers):
        return None
    key = _key(default)
    whole = _load(cache.shipped(_name(key, "hsdb")), key)
    return _numbered(whole, numbers) if whole is not None else None


def make(
    rules: Sequence[Rule], beside: Sequence[Rule] | None = None, assigned: bool | None = None
) -> tuple[Plan, Expressions, Expressions]:
    """A plan and the expressions of its databases, without the decoders that other rules `beside` have, even if that is
    none of them. `assigned`: whether it finds assignments; None: where its own hints ask for them. Where others do that
    already it is spared. Raises RuleError."""
    from detectors.compile.hints import WHOLE, held_names, hints

    _refuse_unknown_checks(rules)
    triggers: dict[tuple[str, ...], list[int]] = {}
    for number, rule in enumerate(rules):
        if not rule.keywords and rule.trigger != "@issuer":
            triggers.setdefault(rule.shape.triggers, []).append(number)
    always = hints((number, rule.anywhere) for number, rule in enumerate(rules))
    loose = len(always)
    always += held_names(
        ((number, set(rule.keywords) - set(rule.anywhere)) for number, rule in enumerate(rules)),
        [number for number, rule in enumerate(rules) if rule.trigger == "@issuer"],
    )
    near = hints(((number, set(rule.keywords) - set(rule.anywhere)) for number, rule in enumerate(rules)), WHOLE)
    places = ASSIGNED if (near if assigned is None else assigned) else ()
    for texts in places:
        triggers.setdefault(texts, [])
    decoders = codecs(rules)
    if beside is not None:
        had = {*codecs(beside)}
        decoders = [one for one in decoders if one not in had]
    if len(triggers) + len(always) > _MANY or not (triggers or always or decoders):  # of nothing there is no database
        triggers[_STRIDE,] = []
    if sum(map(len, triggers)) + len(always) + len(decoders) in _DENSE:
        # Each by itself: of one id they would take twice as long to compile.
        triggers.update(((text,), []) for text in _padding())
    asked = [*triggers.values(), *(numbers for _, numbers in always)]
    expressions = [(text.encode("ascii"), id_) for id_, texts in enumerate(triggers) for text in texts]
    expressions += zip((text for text, _ in always), count(len(triggers)), strict=False)
    # One id for all that means the same to a decoder: which makes the database a fifth smaller.
    kinds = {kind: number for number, kind in enumerate(dict.fromkeys(kind for kind, _ in decoders), len(asked))}
    expressions += ((text, kinds[kind]) for kind, text in decoders)
    if len(near) > _MANY:
        near.append((_STRIDE.encode("ascii"), ()))
    plan = Plan(
        rules=asked,
        codecs=[*kinds],
        hinted=range(len(triggers), len(triggers) + loose),
        assigned=[number for number, texts in enumerate(triggers) if texts in places],
        near=[numbers for _, numbers in near],
    )
    expressions = [
        (way, number)
        for text, number in expressions
        for way in ([text] if filler(rules, plan, number) is None else ways(text))
    ]
    return plan, expressions, [(text, number) for number, (text, _) in enumerate(near)]


def _refuse_unknown_checks(rules: Iterable[Rule]) -> None:
    known = ", ".join(CHECKS)
    problems = [
        f"{rule.source}: {rule.id}: checksum: no check is called {rule.checksum!r}; there are {known}"
        for rule in rules
        if rule.checksum is not None and rule.checksum not in CHECKS
    ]
    if problems:
        raise RuleError(problems)


def _padding() -> Iterator[str]:
    """Literals of bytes that no text holds, two in each expression, as Hyperscan takes a small class apart."""
    for number in range(_PADDING):
        first, *rest = (0x80 | number >> shift & 0x7F for shift in (0, 3, 6, 4))
        lead = 0xF5 + number % 5
        yield rf"\x{lead:02x}[\x{first:02x}\x{first ^ 64:02x}]" + "".join(rf"\x{lead:02x}\x{code:02x}" for code in rest)


def filler(rules: Sequence[Rule], plan: Plan, number: int) -> str | None:
    """What an expression may have in place of characters that are not looked for; None: it must stay as it is.

    What a decoder is asked about has to be what it decodes, such as hex digits; in a URL anything may stand. A user's
    own trigger is a condition, which nothing looks at again.
    """
    decoder = number - len(plan.rules)
    if decoder >= 0:
        return _FILLERS.get(plan.codecs[decoder].name)
    if not plan.rules[number] and number not in plan.assigned:
        return None  # nobody asks for it
    own = (rules[rule] for rule in plan.rules[number] if rules[rule].family == "custom")
    return None if any(rule.trigger is not None and rule.trigger not in TRIGGERS for rule in own) else "."


def searched(rules: Sequence[Rule], plan: Plan, expressions: Expressions) -> Expressions:
    """The expressions as Hyperscan gets them."""
    return [
        (text if (fill := filler(rules, plan, number)) is None else anchored(text, fill), number)
        for text, number in expressions
    ]


def _compile(expressions: Expressions, once: Collection[int] = ()) -> Any:
    texts, ids = [text for text, _ in expressions], [number for _, number in expressions]
    flags = [hyperscan.HS_FLAG_SINGLEMATCH if number in once else 0 for number in ids]
    if len(texts) > _LONG and (dump := apart(texts, ids, flags)) is not None:
        return _restored(dump)
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(expressions=texts, ids=ids, flags=flags)
    return database


def _key(rules: Sequence[Rule], beside: Sequence[Rule] | None = None, assigned: bool | None = None) -> bytes:
    """A digest of all that a plan and its databases are made from."""
    # The info string names library version, features of the CPU and mode; a database moved between machines differs.
    probe = _compile([(b"probe", 0)])
    asked = [[_asked(rule) for rule in some] for some in (rules, beside or ())]
    content = orjson.dumps((*asked, beside is None, assigned))
    return hashlib.sha256(repr(probe.info()).encode() + cache.code() + content).digest()


def _asked(rule: Rule) -> tuple[object, ...]:
    """What counts of it here."""
    return (
        *(rule.pattern, rule.trigger, rule.keywords, rule.anywhere),
        *(rule.severity, rule.decode, rule.checksum, rule.family == "custom"),
    )


def _load(body: bytes | None, key: bytes) -> Compiled | None:
    """What this is, or None when it is of other rules, or made by another library or for another processor."""
    if body is None or body[: len(key)] != key:
        return None
    head, _, databases = bytes(body[len(key) :]).partition(b"\n")
    try:
        size, (rules, decoders, hinted, assigned, near) = orjson.loads(head)
        plan = Plan(rules, [Codec(*one) for one in decoders], range(*hinted), assigned, near)
        return Compiled(plan, _restored(databases[:size]), _restored(databases[size:]) if near else None)
    except (hyperscan.error, ValueError, TypeError, AttributeError):
        return None  # whole, but not what this code wrote


def _restored(dump: bytes) -> Any:
    database = hyperscan.loadb(dump, hyperscan.HS_MODE_BLOCK)
    hyperscan.Scratch(database)  # which looks at what it is, as loading does not
    return database


def _dumped(key: bytes, what: Compiled) -> bytes:
    plan = what.plan
    database, near = (hyperscan.dumpb(it) if it is not None else b"" for it in (what.database, what.near))
    decoders, hinted = [tuple(one) for one in plan.codecs], (plan.hinted.start, plan.hinted.stop)
    head = orjson.dumps((len(database), (plan.rules, decoders, hinted, plan.assigned, plan.near)))
    return key + head + b"\n" + database + near
