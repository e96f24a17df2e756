"""The score of a candidate that no vendor's format vouches for: how likely it is a secret, and why.

A logistic model over what the value looks like and what stands around it. The weights lie in `score.json`, made by
`benchmarks/train_score.py`; nothing but the standard library runs here, some forty microseconds a candidate.
"""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from operator import mul
from pathlib import Path
from typing import Any

import orjson

from detectors.match.chosen import HUMP, chosen
from detectors.match.names import BACK as NAME
from detectors.match.names import named
from detectors.match.place import company, kind_of, nearby, of_passwords, place
from detectors.match.quick import quick
from detectors.rules.rule import Confidence

__all__ = ["AHEAD", "BACK", "HEX", "RANDOM", "UUID", "Score", "Weighing", "confidence", "confidence_by", "different"]
__all__ += ["enough", "entropy", "features", "of_value", "plain", "plain_odds", "probability", "randomness", "score"]
__all__ += ["stands_for_password", "surprise", "table", "weighing"]

BACK, AHEAD = 160, 48  # bytes left and right of a value that the score looks at
RANDOM = math.log2(26)  # bits a letter of random text has
_ODD_CASE = 6.0  # bits of a part of one or two letters beyond the first, in a run of letters
_DIGITS, _LOWER, _UPPER = string.digits.encode(), string.ascii_lowercase.encode(), string.ascii_uppercase.encode()
_LETTER = _LOWER + _UPPER
_PLAIN = _DIGITS + _LETTER
_ABROAD = bytes(range(128, 256))
# The class of each byte: a digit, a lower or upper case letter, no ASCII, or a sign.
_CLASSES = bytes(
    next((kind for kind, them in zip(b"0aA\x80", (_DIGITS, _LOWER, _UPPER, _ABROAD), strict=True) if c in them), 46)
    for c in range(256)
)
# Of a letter in either case its place in the alphabet.
_PLACES = bytes((code | 32) - 97 if chr(code).isascii() and chr(code).isalpha() else 0 for code in range(256))
_TABLE = Path(__file__).with_name("score.json")
_LETTERS = re.compile(rb"[A-Za-z]{3,}")
_CHANGES = (b"aA", b"a0", b"Aa", b"A0", b"0a", b"0A")  # in classes
_BRACKETS = b"(){}[]<>"
_SIGNS = (b"$", b"%", b"@", b"#", b"<", b"{", b":", b"&", b"*", b"-", b"(", b"[", b"!")
_PATHS = (b"/", b".", b"~")
_ENDS = (b".", b":", b"?", b"!", b",", b";")
_CODE = re.compile(
    rb"\w\((?:[^()]*\)(?:\W|$)|[^()]*$|[^()]*\()|\)$|\[\w|\]$|\)\.|->|=>|::|\w\.\w+\.\w|^[!=<>]=|&&|\|\|"
)
_PROSE = re.compile(rb"[A-Za-z\x80-\xff]{2}[.,:;?!]?$")
HEX = re.compile(rb"(?:[0-9a-f]+|[0-9A-F]+)")
UUID = re.compile(rb"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_WORD_NUMBER = re.compile(rb"[A-Za-z]+[_.-]?[0-9]{1,4}")
_JOINED = re.compile(rb"[A-Za-z0-9]+(?:[-_./:][A-Za-z0-9]+)+")
_MAYBE_WRITTEN = quick((rb"[ (){}\[\]<>]", _CODE.pattern), (_JOINED.pattern,))
_WORDLIKE = ("wordlike", "common letters", "joined", "word and number")
_BOTH = tuple(
    (one, other, f"{one}, {other}")
    for one, other in (
        ("quoted", "wordlike"),
        ("quoted", "random letters"),
        ("name password", "wordlike"),
        ("quoted", "joined"),
        ("bare", "word and number"),
        ("bare", "joined"),
        ("quoted", "prose"),
        ("hex", "name key"),
        ("uuid", "name key"),
    )
)


@dataclass(frozen=True, slots=True)
class Score:
    """`odds`: log-odds that it is a secret; `parts`: (feature, what it adds to them)."""

    odds: float
    parts: tuple[tuple[str, float], ...]

    @property
    def probability(self) -> float:
        """That it is a secret."""
        return probability(self.odds)

    @property
    def confidence(self) -> Confidence | None:
        """None: not a secret."""
        return _confidence(self.odds)

    def reason(self, count: int = 3) -> str:
        """In words with the largest parts, such as `score 0.97: value random +3.1, name password +0.9`."""
        largest = sorted(self.parts, key=lambda part: -abs(part[1]))[:count]
        parts = ", ".join(f"{name} {share:+.1f}" for name, share in largest)
        return f"score {self.probability:.2f}: {parts}"


@cache
def table() -> Mapping[str, Any]:
    """What was learnt: weights, thresholds, letters."""
    out: Mapping[str, Any] = orjson.loads(_TABLE.read_bytes())
    return out


@cache
def _bits() -> tuple[bytes, bytes, bytes]:
    """Twice the bits that a letter carries: as the first of a word, behind the first, and behind two."""
    digits = bytes.maketrans(b"0123456789abcdefghijklmnopqrstuvwxyz", bytes(range(36)))
    twice = table()["letters"].encode().translate(digits)
    return twice[:26], twice[26:702], twice[702:]


@lru_cache(maxsize=2)  # filters ask for it, and the score does
def surprise(value: bytes) -> tuple[float, int]:
    """Bits that the letters of `value` carry beyond those of words, positive for random ones, and how many they are."""
    bits, letters = 0.0, 0
    first, second, others = _bits()
    for run in _LETTERS.findall(value):
        # Case counts where it changes oddly: `getToken` are two words, `gEtoK` five.
        humps = (run,) if run.islower() or run.isupper() else HUMP.findall(run)
        # Those of hex and base64 say nothing by themselves.
        words = [hump for hump in humps if len(hump) > 2]
        for word in words:
            at = word.translate(_PLACES)
            one, two = at[0], at[1]
            twice = first[one] + second[26 * one + two]
            for three in at[2:]:
                twice += others[676 * one + 26 * two + three]
                one, two = two, three
            bits += twice / 2
            letters += len(word)
        short = len(humps) - len(words)
        if short > 1 and len(humps) > 2 and len(run) > 4:
            bits += _ODD_CASE * (short - 1)  # a name has one such part, `userID`, not three, `aZswFw`
    return bits - RANDOM * letters, letters


@cache
def _expected(alphabet: int, size: int) -> tuple[float, float]:
    """Mean and deviation of the Shannon entropy of `size` random characters of an alphabet (Miller's correction)."""
    if size < 2:
        return 0.0, 1.0
    rate = size / alphabet
    # The entropy of counts that follow Poisson's law, summed over one character of the alphabet.
    mean = probability = 0.0
    term = math.exp(-rate)
    for count in range(1, int(rate + 12 * math.sqrt(rate) + 14)):
        term *= rate / count
        mean -= alphabet * term * count / size * math.log2(count / size)
        probability += term
    return mean, max(0.04, 0.55 / math.sqrt(size))


def _alphabet(value: bytes) -> int:
    """How many characters the one has that `value` seems to be of."""
    size, count = len(value), value.translate(_CLASSES).count
    digits, lower, upper = count(b"0"), count(b"a"), count(b"A")
    if digits == size:
        return 10
    if not (lower and upper) and HEX.fullmatch(value):
        return 16
    symbols = set(value.translate(None, _PLAIN)) if digits + lower + upper < size else ()
    return 10 * (digits > 0) + 26 * (lower > 0) + 26 * (upper > 0) + (2 if len(symbols) <= 2 else 24)


@lru_cache(maxsize=2)  # a rule asks for it, and its score does
def entropy(value: bytes) -> float:
    """Shannon entropy in bits a character; 0 for the empty value."""
    size = len(value)
    if not size:
        return 0.0
    logs = _logs()
    counts = Counter(value).values()
    held = sum(map(logs.__getitem__, counts)) if size < len(logs) else sum([n * math.log2(n) for n in counts])
    return max(0.0, math.log2(size) - held / size)


@lru_cache(maxsize=2)  # asked for in three places
def different(value: bytes) -> int:
    """How many characters it is made of."""
    return len(set(value))


@cache
def enough(size: int, bits: float) -> int:
    """So many different characters in `size` have more than that entropy, however often one of them is repeated."""
    for many in range(1, size + 1):
        often = size - many + 1
        if math.log2(size) - often * math.log2(often) / size > bits + 0.01:  # more than a sum is off by
            return many
    return size + 1


@cache
def _logs() -> tuple[float, ...]:
    return (0.0, *(n * math.log2(n) for n in range(1, 1024)))


@cache
def _plenty(alphabet: int, size: int) -> int:
    """So many different characters in `size` are enough for an entropy less than one deviation below the expected."""
    mean, deviation = _expected(alphabet, size)
    return enough(size, mean - 0.99 * deviation)


def randomness(value: bytes) -> float:
    """How far the Shannon entropy of `value` lies from that of random characters of its own alphabet and length.

    In deviations: 0 for the average random value, below -3 for hardly one in a thousand.
    """
    mean, deviation = _expected(_alphabet(value), len(value))
    return (entropy(value) - mean) / deviation


def _repetitive(value: bytes) -> float:
    """From 0 for one that may be random to 1."""
    if different(value) >= _plenty(_alphabet(value), len(value)):
        return 0.0
    return max(0.0, min(1.0, (-1 - randomness(value)) / 4))


def features(value: bytes, before: bytes, after: bytes, repetitive: bool = True) -> dict[str, float]:
    """What the model weighs, by name; absent ones are 0. `before`, `after`: text beside it; `repetitive`: all."""
    out = of_value(value)
    if repetitive and (amount := _repetitive(value)):
        out["repetitive"] = amount
    _of_context(value, before, after, out)
    for one, other, both in _BOTH:
        if one in out and other in out:
            out[both] = out[one] * out[other]
    return out


@lru_cache(maxsize=2)  # doubt asks for it after the score did
def plain(value: bytes, before: bytes, after: bytes) -> Mapping[str, float]:
    """The features but for the one that takes longest."""
    return features(value, before, after, repetitive=False)


@lru_cache(maxsize=2)
def plain_odds(value: bytes, before: bytes, after: bytes) -> float:
    """What they come to."""
    return weighing().total(plain(value, before, after))


def of_value(value: bytes) -> dict[str, float]:
    """What the model weighs of a value wherever it stands, by name."""
    size = max(1, len(value))
    out: dict[str, float] = {"length": min(len(value), 40) / 40}
    count = value.translate(_CLASSES).count
    digits, lower, upper, symbols = count(b"0"), count(b"a"), count(b"A"), count(b".")
    bits, letters = surprise(value) if lower + upper > 2 else (0.0, 0)
    out["random letters" if bits > 0 else "wordlike"] = min(1.0, abs(bits) / 24)
    if letters:
        out["odd letters" if bits > 0 else "common letters"] = min(1.0, abs(bits) / letters / 3)
    out["changes"] = min(1.0, 2 * sum(map(count, _CHANGES)) / size)
    if digits:
        out["digits"], out["has digits"] = digits / size, 1.0
    if symbols:
        out["symbols"] = min(1.0, symbols / size * 3)
        _of_symbols(value, digits, out)
    if size < 8:
        out["short"] = (8 - size) / 4
    elif size > 15:
        out["long"] = 1.0
    mixed = lower and upper
    for name, holds in (
        ("mixed", mixed and digits),
        ("hex", size > 15 and not mixed and HEX.fullmatch(value)),
        ("letters only", letters == size),
        ("beyond ASCII", digits + lower + upper + symbols < len(value)),
        ("word and number", 0 < digits < 5 and symbols < 2 and _WORD_NUMBER.fullmatch(value)),
        ("digits only", digits == size),
    ):
        if holds:
            out[name] = 1.0
    return out


def _of_symbols(value: bytes, digits: int, out: dict[str, float]) -> None:
    if _MAYBE_WRITTEN(value):
        blanks = value.find(b" ") >= 0
        for name, holds in (
            ("blanks", blanks),
            ("brackets", len(value.translate(None, _BRACKETS)) < len(value)),
            ("code", _CODE.search(value)),
            ("prose", blanks and _PROSE.search(value)),
            ("joined", _JOINED.fullmatch(value)),
            ("uuid", UUID.fullmatch(value)),
        ):
            if holds:
                out[name] = 1.0
    for name, holds in (
        ("path", value.startswith(_PATHS) or value.count(b"/") > 1),
        ("ends a phrase", not digits and value.endswith(_ENDS)),
        ("starts with a sign", value.startswith(_SIGNS)),
        ("padded", value.endswith(b"=") and len(value) > 15),
    ):
        if holds:
            out[name] = 1.0


def _of_context(value: bytes, before: bytes, after: bytes, out: dict[str, float]) -> None:
    where = place(before, after)
    out.update(dict.fromkeys(where.features, 1.0))
    if nearby([b"%b\n%b" % (before, after)]):
        out.update(dict.fromkeys(company(before, after), 1.0))
    if where.repeated(value):
        out["value repeats name"] = 1.0
    elif where.holds_chosen(value):
        for feature in _WORDLIKE:  # of a password they say nothing
            out.pop(feature, None)


def stands_for_password(value: bytes, before: bytes) -> bool:
    """Whether the name of a password stands before it, and people make one so or it spells no words in quotes."""
    likely = chosen(value) or (before[-1:] in (b'"', b"'") and surprise(value)[0] > 0)
    return likely and of_passwords(kind_of(named(before[-NAME:])), value)


def score(value: bytes, before: bytes, after: bytes) -> Score:
    """Weigh one candidate. `before`: at most BACK bytes left of it; `after`: AHEAD right of it."""
    weights = weighing()
    weighed = features(value, before, after)
    parts = [(name, weights[name] * amount) for name, amount in weighed.items() if name in weights]
    return Score(weights.bias + sum([share for _, share in parts]), tuple(parts))


def confidence(value: bytes, before: bytes, after: bytes) -> Confidence | None:
    """That of the score, without what it is made of."""
    return confidence_by(plain_odds(value, before, after), value)


def confidence_by(odds: float, value: bytes) -> Confidence | None:
    """The same by the log-odds of all features but `repetitive`, which takes longest."""
    likely, least = _confidence(odds), weighing()["repetitive"]
    if likely == _confidence(odds + least):
        return likely  # whatever the one left out comes to
    return _confidence(odds + least * _repetitive(value))


def probability(odds: float) -> float:
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, odds))))


def _confidence(odds: float) -> Confidence | None:
    high, medium, low = _thresholds()
    return "high" if odds >= high else "medium" if odds >= medium else "low" if odds >= low else None


@cache
def _thresholds() -> tuple[float, ...]:
    """In log-odds."""
    return tuple(math.log(at / (1 - at)) for at in table()["thresholds"])


class Weighing(dict[str, float]):
    """What features add to the log-odds, by name; what the model does not know adds nothing. `bias`: of all."""

    def __init__(self, weights: Mapping[str, float], bias: float) -> None:
        super().__init__(weights)
        self.bias = bias

    def __missing__(self, name: str) -> float:
        return 0.0

    def total(self, features: Mapping[str, float]) -> float:
        """The log-odds of features."""
        return self.bias + self.parts(features)

    def parts(self, features: Mapping[str, float]) -> float:
        """What they add to those."""
        return float(sum(map(mul, map(self.__getitem__, features), features.values())))

    def given(self, features: Iterable[str]) -> Weighing:
        """How others are weighed where these are there."""
        out = Weighing(self, self.bias + sum(map(self.__getitem__, features)))
        for one, other, both in _BOTH:
            for held, further in ((one, other), (other, one)):
                if held in features:
                    out[further] = out[further] + self[both]
        return out


@cache
def weighing() -> Weighing:
    """By what the score weighs."""
    return Weighing(table()["weights"], table()["bias"])
