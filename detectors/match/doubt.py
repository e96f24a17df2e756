"""Doubt about a finding that no vendor's format vouches for: what the lines around it say it is.

The score looks at a name and its value. Around them stands what a person sees at a glance: a table of constants, a
digest that a test compares with, an expression of code. That lowers the confidence of what was found, never whether it
is found. A logistic model again, over the features of the score and those of here, whose weights lie in `score.json`,
too. Only what was accepted is looked at.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, lru_cache
from itertools import repeat
from operator import mul
from typing import NamedTuple

from detectors.match import score
from detectors.match.names import BACK as NAME
from detectors.match.names import bare, identifies, named
from detectors.match.plain import aside, quoted
from detectors.match.quick import found
from detectors.rules.rule import Confidence

__all__ = ["AHEAD", "BACK", "LINES", "by_name", "clipped", "doubt", "kinds", "surroundings", "together", "weighed"]

_NEAR = 4  # lines above and below a value
_CODE = re.compile(rb"[;{}(),\]]\s*\Z|[;{}]\s*(?://|/\*|#)")
_IDENTIFIER = re.compile(rb"[A-Za-z_]\w*")
BACK, AHEAD = 640, 320  # bytes left and right of a value that are looked at
_WIDE = 200  # bytes of a line
_HEAD = 64  # of a long one: where a log's has its time
_WORD = re.compile(rb"w+")
_SIGNS = bytes(119 if chr(c).isascii() and (chr(c).isalnum() or c == 95) else c for c in range(256))  # letters as `w`
_DIGEST = found(
    rb"(?i:hmac|\bsha\b|sha(?:1|2|256|384|512)|md[45]|digest|hash|checksum|fingerprint|thumbprint|crc|signature|signed"
    rb"|encrypt|cipher|derive)"
)
_PUBLIC = found(
    rb"(?i:salt|nonce|\biv\b|\baad\b|challenge|accept|public|pub_?key|cert|log_id|pin\b|hostkey|wrong|seq|sort|cache"
    rb"|(?:bad|invalid|incorrect)[ _-]?(?:pass|pw|token|secret|key))"
)
_OF_COMPANY = rb"(?i:user(?:name)?\b|\blogin|\buid\b|\bhost\b|e-?mail|\baccount|client_?id|realm|endpoint|connect)"
_OF_TESTS = rb"(?i:\btest|_test|test_|\bspec\b|describe|fixture|mock|assert|expect)"
_COMPANY, _TEST, _SPEAKS = found(_OF_COMPANY), found(_OF_TESTS), found(_OF_COMPANY + b"|" + _OF_TESTS)
_SETTING = re.compile(rb"\s*[\"']?[\w.\[\]/-]{1,60}[\"']?\s{0,20}[:=]\s{0,4}[\"']?")
_SET = (b"", b'"', b"'", b",", b'",', b"',")  # what ends such a line
_DECLARED = found(
    rb"\b(?:const|static|struct|class|enum|typedef|void|int|char|public|private|unsigned|bool|func|return|if|import)\b"
)
# Lines of a log, which are alike, and of which none is code.
_RECORD = found(
    rb"\d\d:\d\d:\d\d|\(\d{1,6}\.\d{1,3} ?ms\)|\blevel[\"']?[=:]"
    rb"|\b(?:INFO|WARN(?:ING)?|ERROR|DEBUG|NOTICE|TRACE|FATAL)\b|\"(?:ts|time|timestamp|msg)\":"
)
_OPENED = (b'{"', b'{ "')
LINES = "lines"  # that there are any, which is not weighed
_GENERIC, _ANY = "rule generic", "any key"
_OF_RULES = ("loose", "constructed", "spoken", "key", "short", "quoted")
# `crypt` of Unix: two characters of salt and 64 bits, so that the last character is one of sixteen.
_CRYPT = re.compile(rb"(?=.*[A-Z])(?=.*[a-z])[./0-9A-Za-z]{12}[.26AEIMQUYcgkosw]")
_ANY_KEY = found(rb"(?:^|[\s$.,;({\[|&\"'])key[\"']?\s{0,8}(?:=>|===?|[:=])\s{0,8}[\"']?\z")
_PARAMETER = found(rb"[?&][\w.-]{0,40}(?i:token|key|sig|auth|code|id)=\z")
_OF_PASSWORDS = found(rb"(?i:passw(?:or)?d|passwd|pwd|pass)\W{1,8}\z")


def kinds(rule: str) -> tuple[str, ...]:
    """Features of a rule, by its id: how much each of the loose ones is worth is learnt."""
    if not rule.startswith("generic-"):
        return ()
    any_key = (_ANY,) if rule == "generic-key" else ()
    return (_GENERIC, *any_key, *(f"rule {kind}" for kind in _OF_RULES if kind in rule))


def surroundings(value: bytes, before: bytes, after: bytes) -> dict[str, float]:
    """What stands around a value, by name; absent ones are 0. Empty where nothing does, or a log.

    `before`, `after`: at most BACK and AHEAD bytes beside it."""
    above, below = before.rsplit(b"\n", _NEAR + 1), after.split(b"\n", _NEAR + 1)
    if len(above) == 1 and len(below) == 1:  # a text in a string
        above, below = before.rsplit(b"\\n", _NEAR + 1), after.split(b"\\n", _NEAR + 1)
    left, right = above.pop(), below.pop(0)
    near = [one for one in map(_line, (*above[-_NEAR:], *below[:_NEAR])) if one is not None]
    if not near or (own := _of_line(left, right)) is None or _event(above, left, right, below):
        return {}
    out = {LINES: 1.0}
    _of_lines(left, value, right, near, out)
    _of_words(own, near, out)
    bare_ = not quoted(left)
    if bare_ and _IDENTIFIER.fullmatch(value):
        out["bare identifier"] = 1.0
        if _CODE.search(right) or right[:1] in b";,)(.[":
            out["bare in code"] = 1.0
    # Mostly it stands nowhere else at all, as one look at either side tells.
    if len(value) > 3 and (value in before or value in after) and _repeated(value, left, right, near):
        out["repeated, bare" if bare_ else "repeated, quoted"] = 1.0
    return out


def _repeated(value: bytes, left: bytes, right: bytes, near: Iterable[_Line]) -> bool:
    return value in left[-_WIDE:] or value in right[:_WIDE] or any(value in line.text for line in near)


def _event(above: Sequence[bytes], left: bytes, right: bytes, below: Sequence[bytes]) -> bool:
    """Whether the line is an object of JSON beside another, with nothing between: events, wherever their time is."""
    if above and above[-1].rstrip().endswith(b"}") and left.startswith(_OPENED):
        return True
    return bool(below) and right.rstrip().endswith(b"}") and below[0].startswith(_OPENED)


class _Line(NamedTuple):
    """A line near a value: what is looked at of it, its shape, what it opens with, whether it is code, and whether it
    speaks of a user or a test."""

    text: bytes
    shape: bytes
    opens: bytes
    code: bool
    user: bool
    test: bool


@lru_cache(maxsize=1024)  # a line stands near eight others
def _line(line: bytes) -> _Line | None:
    """None: it is blank."""
    if not line or line.isspace():
        return None
    text = line[:_WIDE]
    user, test = (_COMPANY(text), _TEST(text)) if _SPEAKS(text) else (False, False)  # one look, as most say neither
    return _Line(text, _shape(text), text.lstrip()[:10], _CODE.search(text) is not None, user, test)


def _of_lines(left: bytes, value: bytes, right: bytes, near: Sequence[_Line], out: dict[str, float]) -> None:
    """How the lines around resemble its own, and code."""
    whole = left[-_WIDE:] + value[:80] + right[:_WIDE]
    own = _line(whole) if len(whole) <= _WIDE else None  # which is remembered: values near this one look at it, too
    shape = own.shape if own is not None else _shape(whole)
    alike = [line.shape for line in near].count(shape) if len(shape) > 2 else 0
    if alike:
        out["lines alike"] = min(1.0, alike / 4)
    opens = left.lstrip()[:10]
    same = [line.opens.startswith(opens) for line in near].count(True) if len(opens) > 7 else 0
    if same:
        out["lines open alike"] = min(1.0, same / 4)
    code = [line.code for line in near].count(True)
    if code:
        out["code"] = code / len(near)


_DIGESTS, _PUBLICS, _USER, _TESTS, _DECLARES, _SETS = (
    *("digest on its line", "salt or public", "user on its line", "test around", "declared", "setting"),
)


@lru_cache(maxsize=256)  # in dense text the same for one value after another
def _of_line(left: bytes, right: bytes) -> Mapping[str, bool] | None:
    """What the line of a value says without it; None: it is one of a log."""
    own = left[-_WIDE:] + b" " + right[:_WIDE]
    if _RECORD(own) or (len(left) > _WIDE and _RECORD(left[:_HEAD])):
        return None
    return {
        _DIGESTS: _DIGEST(own),
        _PUBLICS: _PUBLIC(left[-80:]),
        _USER: _COMPANY(own),
        _TESTS: _TEST(own),
        _DECLARES: _DECLARED(left[-_WIDE:]),
        _SETS: right.strip() in _SET and _SETTING.fullmatch(left[-120:]) is not None,
    }


def _of_words(own: Mapping[str, bool], near: Iterable[_Line], out: dict[str, float]) -> None:
    """What the words on its line, and those around, speak of."""
    for name, told in own.items():
        if told:
            out[name] = 1.0
        elif name == _USER and any(line.user for line in near):
            out["user nearby"] = 1.0
        elif name == _TESTS and any(line.test for line in near):
            out[name] = 1.0


def _shape(line: bytes) -> bytes:
    """The signs of a line, each run of words as one."""
    return _WORD.sub(b"w", line.translate(_SIGNS, b" \t\r"))


def _at_most(value: bytes, before: bytes, rule: Sequence[str], features: Mapping[str, float]) -> str:
    """Why nobody is sure of a value, whatever its looks, or nothing: most, but not nearly all of such are secrets."""
    form = _CRYPT if len(value) == 13 else score.HEX if len(value) in (32, 40) else None
    if form is not None and form.fullmatch(value) and _OF_PASSWORDS(before[-24:]):
        return "it has the form of a hash of a password"
    tail = before[-48:]
    if (b"?" in tail or b"&" in tail) and _PARAMETER(tail):
        return "a parameter of an address"
    if _ANY in rule or (b"key" in tail and _ANY_KEY(tail[-32:])):
        return "nothing says what the key is for"
    return "nothing names it" if _GENERIC in rule and "name none" in features else ""


def by_name(before: bytes, alone: bool = False) -> str:
    """Why a name says that the value behind it opens nothing, or nothing. `alone`: in a log, or with no line around,
    where every event has a key of its own."""
    name = named(before[-NAME:])
    if identifies(name):
        return "its name is that of an identifier"
    return "its name does not say what the key opens" if alone and bare(name) else ""


def weighed(
    value: bytes, before: bytes, after: bytes, rule: Sequence[str], around: Mapping[str, float]
) -> Mapping[str, float]:
    """What the model weighs, by name. `rule`: the features of its rule. Empty where there is nothing to doubt by."""
    if not around:
        return {}
    near = value, before[-score.BACK :], after[: score.AHEAD]
    return together(score.plain(*near), score.plain_odds(*near), around, rule)


def together(
    features: Mapping[str, float], odds: float, around: Mapping[str, float], rule: Sequence[str]
) -> dict[str, float]:
    """Features of the score, what they come to, those of what stands around, and of the rule."""
    own = {**features, **around, **dict.fromkeys(rule, 1.0), "score": clipped(odds)}
    own.pop(LINES, None)
    if _ANY in rule and "hex" in features:
        own["any key, hex"] = 1.0
    return own


def clipped(total: float) -> float:
    """The log-odds of the score, as doubt weighs them."""
    return max(-4.0, min(8.0, total)) / 4


class _Model(NamedTuple):
    weights: Mapping[str, float]
    bias: float
    high: float
    medium: float


@cache
def _model() -> _Model:
    table = score.table()["doubt"]
    return _Model(table["weights"], table["bias"], *table["thresholds"])


def doubt(
    sure: Confidence, value: bytes, before: bytes, after: bytes, rule: Sequence[str], *, explain: bool = True
) -> tuple[Confidence, str]:
    """The confidence that is left of `sure`, and why it is less, or nothing. `explain`: with what is weighed most."""
    if sure == "low":
        return sure, ""
    if why := aside(before):
        return "low", why
    around = surroundings(value, before, after)
    if why := by_name(before, not around):
        return "low", why
    features = weighed(value, before, after, rule, around)
    if sure == "high" and (why := _at_most(value, before, rule, features)):
        sure = "medium"
    if not features:
        return sure, why

    weights, bias, high, medium = _model()
    odds = bias + sum(map(mul, map(weights.get, features, repeat(0.0)), features.values()))
    likely = 1 / (1 + math.exp(-max(-30.0, min(30.0, odds))))
    if likely >= high or (likely >= medium and sure == "medium"):
        return sure, why
    # Lines that say nothing tell no more than that one cannot be sure.
    left: Confidence = "medium" if likely >= medium or (sure == "high" and len(around) == 1) else "low"
    if not explain:
        return left, why
    parts = [(name, weights[name] * amount) for name, amount in features.items() if name in weights]
    largest = ", ".join(f"{name} {share:+.1f}" for name, share in sorted(parts, key=lambda part: part[1])[:2])
    return left, f"around it {likely:.2f}: {largest}"
