"""Doubt about a finding that no vendor's format vouches for: what the lines around it say it is.

The score looks at a name and its value. Around them stands what a person sees at a glance: a table of constants, a
digest that a test compares with, an expression of code. That lowers the confidence of what was found, never whether it
is found. A logistic model again, over the features of the score and those of here, whose weights lie in `score.json`,
too. Only what was accepted is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence
from functools import cache, lru_cache

from detectors.match import score
from detectors.match.names import BACK as NAME
from detectors.match.names import bare, identifies, named
from detectors.match.plain import aside, quoted
from detectors.match.quick import among, found
from detectors.rules.rule import Confidence

__all__ = ["AHEAD", "BACK", "LINES", "by_name", "clipped", "doubt", "kinds", "surroundings", "together", "weighed"]

NEAR = 4  # lines above and below a value
_CODE = re.compile(rb"[;{}(),\]]\s*\Z|[;{}]\s*(?://|/\*|#)")
_MAYBE_CODE = among((rb"[;{}(),\]][\s\v]*$|[;{}][\s\v]*(?://|/\*|#)",))
_IDENTIFIER = re.compile(rb"[A-Za-z_]\w*")
BACK, AHEAD = 640, 320  # bytes left and right of a value that are looked at
WIDE = 200  # bytes of a line
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
_COMPANY, _TEST, _SPEAKS = found(_OF_COMPANY), found(_OF_TESTS), among((_OF_COMPANY, _OF_TESTS))
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
    above, below = before.rsplit(b"\n", NEAR + 1), after.split(b"\n", NEAR + 1)
    if len(above) == 1 and len(below) == 1:  # a text in a string
        above, below = before.rsplit(b"\\n", NEAR + 1), after.split(b"\\n", NEAR + 1)
    left, right = above.pop(), below.pop(0)
    if event(above[-1] if above else b"", left, right, below[0] if below else b""):
        return {}
    lines = Lines((*above[-NEAR:], *below[:NEAR]))
    return lines.around(
        value, (left, right), slice(0), slice(len(lines.texts)), twice=value in before or value in after
    )


def event(above: bytes, left: bytes, right: bytes, below: bytes) -> bool:
    """Whether the line is an object of JSON beside another, with nothing between: events, wherever their time is."""
    if left.startswith(_OPENED) and above.rstrip().endswith(b"}"):
        return True
    return below.startswith(_OPENED) and right.rstrip().endswith(b"}")


class Lines:
    """Of lines near values, by their numbers: their shape (None: blank), what they open with, whether they are code,
    and speak of a user or of tests; each looked at once, for all values that it stands near."""

    def __init__(self, texts: Sequence[bytes]) -> None:
        self.texts = cut = [text[:WIDE] for text in texts]
        shapes = _shape(b"\n".join(cut)).split(b"\n") if cut else []
        self.shapes = [None if not text or text.isspace() else shape for text, shape in zip(texts, shapes, strict=True)]
        self._opens = [text.lstrip()[:10] for text in cut]
        self._code, self._users, self._tests = [False] * len(cut), [False] * len(cut), [False] * len(cut)
        for number in _MAYBE_CODE(cut):
            self._code[number] = self.shapes[number] is not None and _CODE.search(cut[number]) is not None
        for number in _SPEAKS(cut):
            self._users[number], self._tests[number] = _COMPANY(cut[number]), _TEST(cut[number])

    def around(
        self,
        value: bytes,
        beside: tuple[bytes, bytes],
        above: slice,
        below: slice,
        *,
        twice: bool,
        shape: bytes | None = None,
    ) -> dict[str, float]:
        """What they say of a value. `beside`: the rest of its line; `twice`: it stands there once more; `shape`: that
        of its line, if it is known."""
        left, right = beside
        shapes = self.shapes[above] + self.shapes[below]
        count = len(shapes) - shapes.count(None)
        if not count or (own := _of_line(left, right)) is None:
            return {}
        out = {LINES: 1.0, **own}
        shape = shape or _shape(left[-WIDE:] + value[:80] + right[:WIDE])
        if len(shape) > 2 and (alike := shapes.count(shape)):
            out["lines alike"] = min(1.0, alike / 4)
        begin = left.lstrip()[:10]
        opens = self._opens[above] + self._opens[below]
        same = opens.count(begin) if len(begin) == 10 else [one.startswith(begin) for one in opens].count(True)
        if same and len(begin) > 7:
            out["lines open alike"] = min(1.0, same / 4)
        if code := (self._code[above] + self._code[below]).count(True):
            out["code"] = code / count
        if _USER not in own and (True in self._users[above] or True in self._users[below]):
            out["user nearby"] = 1.0
        if True in self._tests[above] or True in self._tests[below]:
            out[_TESTS] = 1.0
        bare_ = not quoted(left)
        if bare_ and _IDENTIFIER.fullmatch(value):
            out["bare identifier"] = 1.0
            if _CODE.search(right) or right[:1] in b";,)(.[":
                out["bare in code"] = 1.0
        if (
            twice
            and len(value) > 3
            and (value in left[-WIDE:] or value in right[:WIDE] or self._hold(value, above, below))
        ):
            out["repeated, bare" if bare_ else "repeated, quoted"] = 1.0
        return out

    def _hold(self, value: bytes, above: slice, below: slice) -> bool:
        return any(value in text for text in self.texts[above] + self.texts[below])


_DIGESTS, _PUBLICS, _USER, _TESTS, _DECLARES, _SETS = (
    *("digest on its line", "salt or public", "user on its line", "test around", "declared", "setting"),
)


@lru_cache(maxsize=256)  # in dense text the same for one value after another
def _of_line(left: bytes, right: bytes) -> Mapping[str, float] | None:
    """What the line of a value says without it; None: it is one of a log."""
    own = left[-WIDE:] + b" " + right[:WIDE]
    if _RECORD(own) or (len(left) > WIDE and _RECORD(left[:_HEAD])):
        return None
    said = (
        (_DIGESTS, _DIGEST(own)),
        (_PUBLICS, _PUBLIC(left[-80:])),
        (_USER, _COMPANY(own)),
        (_TESTS, _TEST(own)),
        (_DECLARES, _DECLARED(left[-WIDE:])),
        (_SETS, right.strip() in _SET and _SETTING.fullmatch(left[-120:])),
    )
    return {name: 1.0 for name, told in said if told}


def _shape(line: bytes) -> bytes:
    """The signs of a line, each run of words as one."""
    return _WORD.sub(b"w", line.translate(_SIGNS, b" \t\r"))


def at_most(value: bytes, before: bytes, rule: Sequence[str], features: Container[str]) -> str:
    """Why nobody is sure of a value, whatever its looks, or nothing: most, but not nearly all of such are secrets."""
    form = _CRYPT if len(value) == 13 else score.HEX if len(value) in (32, 40) else None
    if form is not None and form.fullmatch(value) and _OF_PASSWORDS(before[-24:]):
        return "it has the form of a hash of a password"
    tail = before[-48:]
    if (tail.find(b"?") >= 0 or tail.find(b"&") >= 0) and _PARAMETER(tail):
        return "a parameter of an address"
    if _ANY in rule or (tail.find(b"key") >= 0 and _ANY_KEY(tail[-32:])):
        return "nothing says what the key is for"
    return "nothing names it" if _GENERIC in rule and "name none" in features else ""


def by_name(before: bytes, alone: bool = False) -> str:
    """Why a name says that the value behind it opens nothing, or nothing. `alone`: in a log, or with no line around,
    where every event has a key of its own."""
    return _by_name(named(before[-NAME:]), alone)


@lru_cache(maxsize=1024)
def _by_name(name: bytes, alone: bool) -> str:
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


@cache
def weighing() -> score.Weighing:
    """By what the model of doubt weighs."""
    table = score.table()["doubt"]
    return score.Weighing(table["weights"], table["bias"])


def given(features: Sequence[str], rule: Sequence[str]) -> score.Weighing:
    """The same where a value stands in such a place and is of such a rule."""
    out = weighing().given((*features, *rule))
    if _ANY in rule:
        out["hex"] = out["hex"] + out["any key, hex"]
    return out


@cache
def _thresholds() -> tuple[float, float]:
    high, medium = score.table()["doubt"]["thresholds"]
    return high, medium


def remains(sure: Confidence, likely: float, around: Mapping[str, float]) -> Confidence:
    """Of a confidence, by how likely it is right by what is around."""
    high, medium = _thresholds()
    if likely >= high or (likely >= medium and sure == "medium"):
        return sure
    # Lines that say nothing tell no more than that one cannot be sure.
    return "medium" if likely >= medium or (sure == "high" and len(around) == 1) else "low"


def doubt(
    sure: Confidence, value: bytes, before: bytes, after: bytes, rule: Sequence[str], *, explain: bool = True
) -> tuple[Confidence, str]:
    """The confidence that is left of `sure`, and why it is less, or nothing. `explain`: with what is weighed most."""
    if sure == "low":
        return sure, ""
    if why := aside(before):
        return "low", why
    beside = surroundings(value, before, after)
    if why := by_name(before, not beside):
        return "low", why
    features = weighed(value, before, after, rule, beside)
    if sure == "high" and (why := at_most(value, before, rule, features)):
        sure = "medium"
    if not features:
        return sure, why

    weights = weighing()
    likely = score.probability(weights.total(features))
    left = remains(sure, likely, beside)
    if left == sure or not explain:
        return left, why
    parts = [(name, weights[name] * amount) for name, amount in features.items() if name in weights]
    largest = ", ".join(f"{name} {share:+.1f}" for name, share in sorted(parts, key=lambda part: part[1])[:2])
    return left, f"around it {likely:.2f}: {largest}"
