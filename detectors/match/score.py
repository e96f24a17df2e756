"""The score of a candidate that no vendor's format vouches for: how likely it is a secret, and why.

A logistic model over what the value looks like and what stands around it. The weights lie in `score.json`, made by
`benchmarks/train_score.py`; nothing but the standard library runs here, some forty microseconds a candidate.
"""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from operator import mul
from pathlib import Path
from typing import Any

import orjson

from detectors.match.chosen import HUMP, chosen
from detectors.match.names import BACK as NAME
from detectors.match.names import named
from detectors.match.quick import found, quick
from detectors.rules.rule import Confidence

__all__ = ["AHEAD", "BACK", "HEX", "UUID", "Score", "confidence", "entropy", "features", "plain", "plain_odds"]
__all__ += ["randomness", "score", "surprise", "table", "total"]

BACK, AHEAD = 160, 48  # bytes left and right of a value that the score looks at
RANDOM = math.log2(26)  # bits a letter of random text has
_ODD_CASE = 6.0  # bits of a part of one or two letters beyond the first, in a run of letters
_DIGITS, _LOWER, _UPPER = string.digits.encode(), string.ascii_lowercase.encode(), string.ascii_uppercase.encode()
_LETTER = _LOWER + _UPPER
_PLAIN = _DIGITS + _LETTER
_ABROAD = bytes(range(128, 256))
_NO_LETTER = bytes(c for c in range(256) if c not in range(97, 123))
# The class of each byte: a digit, a lower or upper case letter, no ASCII, or a sign.
_CLASSES = bytes(
    next((kind for kind, them in zip(b"0aA\x80", (_DIGITS, _LOWER, _UPPER, _ABROAD), strict=True) if c in them), 46)
    for c in range(256)
)
_TABLE = Path(__file__).with_name("score.json")
_LETTERS = re.compile(rb"[A-Za-z]{3,}")
_CHANGES = (b"aA", b"a0", b"Aa", b"A0", b"0a", b"0A")  # in classes
_TAIL = 24  # bytes left of a value that hold its sign
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
# What a password is called, in its languages.
PASSWORD = (
    rb"(?i:pas+w(?:or|ro)?d|passwd|passphrase|passwort|pwd|pswd|kennwort|wachtwoord|has[lo]o|heslo|senha|contrase"
    rb"|passe\b|parola\b|pass[_ -]?phrase|pass[_ -]word|\bpsw|_psw|\bclave|_clave|l(?:o|\xc3\xb6)senord"
    rb"|adgangskode|passord|salasana|(?:s|\xc5\x9f|\xc5\x9e)ifre|lozinka|geslo|parool|jelsz|has\xc5\x82o|\bmdp)"
    rb"|\xe3\x83\x91\xe3\x82\xb9\xe3\x83\xaf\xe3\x83\xbc\xe3\x83\x89|\xe5\xaf\x86\xe7\xa0\x81"
    rb"|\xd0[\xbf\x9f]\xd0\xb0\xd1\x80\xd0\xbe\xd0\xbb\xd1\x8c"
)
_KINDS = (
    ("password", found(PASSWORD)),
    ("secret", found(rb"(?i:secret|credential|salt)")),
    ("token", found(rb"(?i:token|bearer|authorization|\bauth\b|_auth)")),
    (
        "api key",
        found(rb"(?i:(?:api|access|auth|private|signing|encryption|master|account|service|app)[_.-]?key)"),
    ),
    ("pass", found(rb"(?i:pass|pw\b|psk|\bpin)")),
    ("key", found(rb"(?i:key)")),
)
_ABOUT = re.compile(
    rb"(?i:label|title|(?<!con)(?<!plain)(?<!clear)(?<!plain[_-])(?<!clear[_-])(?<!ascii-)text|hint|prompt|placeholder|message|\bmsg|error|help"
    rb"|descri|confirm|forgot|reset|require|invalid"
    rb"|strength|type|name$|field|input|_id$|Id$|(?<!c)url|(?<!sec)uri|path|(?<!pro)file|policy|column|class|format|pattern|locale|i18n|lang)"
)
# Where one of these goes on, it is part of an issuer's name: `LANGFUSE_SECRET`, `filestackKey`.
_WHOLE = re.compile(
    rb"(?i:(?:label|title|text|hint|prompt|placeholder|message|msg|error|help|descri|confirm|forgot|reset|requir|invalid"
    rb"|strength|type|field|input|ur[il]|path|file|polic|column|class|format|pattern|locale|i18n|lang)"
    rb"(?:s|es|er|ers|ed|ing|y|ies|ption|ptor|ation|uage|name)?|.*(?:pas|pwd|pw|secret|token|key|cred|auth).*)"
)
_OF_RESETS = found(rb"(?i:reset|confirm(?:ation)?)_?(?i:token|key|code)\z")  # who has one sets a new password
_MAYBE_ABOUT = quick([re.sub(rb"\(\?<!.*?\)", b"", _ABOUT.pattern)])
_TEST = found(rb"(?i:test|example|dummy|mock|fake|sample|fixture|assert|expect|demo)")
_COMPANY = found(
    rb"(?i:\buser(?:name)?\b|\blogin\b|\bhost\b|\bserver\b|\burl\b|\bemail\b|_USER\b|_ID\b|client_?id|\buid\b)"
)
# Where neither of them is, as a rule.
_NEARBY = found(
    rb"(?i:test|example|dummy|mock|fake|sample|fixture|assert|expect|demo|user|login|host|server|url|mail|_id|client|uid)"
)

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
    """`probability` that it is a secret; `parts`: (feature, what it adds to the log-odds)."""

    probability: float
    parts: tuple[tuple[str, float], ...]

    @property
    def confidence(self) -> Confidence | None:
        """None: not a secret."""
        return _confidence(self.probability)

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


class _Bits(dict[int, tuple[float, "_Bits"]]):
    """By the next letter, in either case, the bits that it carries behind the two before it, and those behind it. Made
    as they are asked for: there are 18,000, and a start asks for few."""

    def __init__(self, before: int, last: int) -> None:
        self._at, self._last = 26 * (27 + 26 * before + last), last

    def __missing__(self, letter: int) -> tuple[float, _Bits]:
        one = (letter | 32) - ord("a")
        self[letter] = out = int(table()["letters"][self._at + one], 36) / 2, _behind(self._last, one)
        return out


@cache
def _behind(before: int, last: int) -> _Bits:
    """Behind two letters, by their places in the alphabet; -1: none, where a word begins."""
    return _Bits(before, last)


@lru_cache(maxsize=2)  # filters ask for it, and the score does
def surprise(value: bytes) -> tuple[float, int]:
    """Bits that the letters of `value` carry beyond those of words, positive for random ones, and how many they are."""
    bits, letters = 0.0, 0
    start = _behind(-1, -1)
    for run in _LETTERS.findall(value):
        # Case counts where it changes oddly: `getToken` are two words, `gEtoK` five.
        humps = (run,) if run.islower() or run.isupper() else HUMP.findall(run)
        # Those of hex and base64 say nothing by themselves.
        words = [hump for hump in humps if len(hump) > 2]
        for word in words:
            at = start
            for one in word:
                more, at = at[one]
                bits += more
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
    out: dict[str, float] = {"length": min(len(value), 40) / 40}
    _of_value(value, out)
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
    return total(plain(value, before, after))


def _of_value(value: bytes, out: dict[str, float]) -> None:
    size = max(1, len(value))
    classes = value.translate(_CLASSES)
    count = classes.count
    digits, lower, upper, symbols = count(b"0"), count(b"a"), count(b"A"), count(b".")
    bits, letters = surprise(value) if lower + upper > 2 else (0.0, 0)
    out["random letters" if bits > 0 else "wordlike"] = min(1.0, abs(bits) / 24)
    if letters:
        out["odd letters" if bits > 0 else "common letters"] = min(1.0, abs(bits) / letters / 3)
    if digits:
        out["digits"] = digits / size
    out["changes"] = min(1.0, 2 * sum(map(count, _CHANGES)) / size)
    if symbols:
        out["symbols"] = min(1.0, symbols / size * 3)
        _of_symbols(value, digits, out)
    if size < 8:
        out["short"] = (8 - size) / 4
    for name, holds in (
        ("has digits", digits),
        ("mixed", digits and lower and upper),
        ("long", size >= 16),
        ("hex", size >= 16 and not (lower and upper) and HEX.fullmatch(value)),
        ("letters only", letters == size),
        ("beyond ASCII", digits + lower + upper + symbols < size and b"\x80" in classes),
        ("word and number", digits and symbols < 2 and _WORD_NUMBER.fullmatch(value)),
        ("digits only", digits == size),
    ):
        if holds:
            out[name] = 1.0


def _of_symbols(value: bytes, digits: int, out: dict[str, float]) -> None:
    size, written = len(value), _MAYBE_WRITTEN(value)
    blanks = written and b" " in value
    for name, holds in (
        ("uuid", size == 36 and UUID.fullmatch(value)),
        ("blanks", blanks),
        ("brackets", written and len(value.translate(None, _BRACKETS)) < size),
        ("code", written and _CODE.search(value)),
        ("prose", blanks and _PROSE.search(value)),
        ("joined", written and _JOINED.fullmatch(value)),
        ("path", value.startswith(_PATHS) or value.count(b"/") > 1),
        ("ends a phrase", not digits and value.endswith(_ENDS)),
        ("starts with a sign", value.startswith(_SIGNS)),
        ("padded", size >= 16 and value.endswith(b"=")),
    ):
        if holds:
            out[name] = 1.0


def _of_context(value: bytes, before: bytes, after: bytes, out: dict[str, float]) -> None:
    # What stands before `'…' === req.apiKey` names something else.
    name = b"" if _REVERSED.match(after) else named(before[-NAME:])
    for _ in range(2):
        last = name[name.rfind(b".") + 1 :]
        if last not in _VERBS and last not in _SLOTS:
            break
        if last in _VERBS and len(last) < len(name):
            name = name[: -len(last) - 1]  # `password.equals("…")`
            break
        further = named(before[-NAME : before.rindex(name) - len(before)])
        if further and (closed := before.rfind(b"</" + further)) >= 0:
            further = named(before[:closed][-NAME:])  # of `<key>Password</key><string>`
        if last in _SLOTS and _of_name(further, b"")[0] == "name none":
            break
        name = further or name
    name = b"Password" if name == b"PasswordText" and b" Type=" in before else name  # in a header of SOAP
    left = before[before.rfind(b"\n") + 1 :][-_TAIL:]
    tail = left if name and name in left else before[-_TAIL:]
    kind, about, plain, place = _of_place(name, tail, after[:2] if after[:1] in (b".", b"<") else after[:1])
    out.update(place)
    if _NEARBY(b"%b\n%b" % (before, after)):
        if _TEST(before):
            out["test nearby"] = 1.0
        if _COMPANY(before[:-1]) or _COMPANY(after):
            out["user or host nearby"] = 1.0
    if name and len(value) > 3 and _same(value, name, plain):
        out["value repeats name"] = 1.0
    elif not about and _of_passwords(kind, value) and chosen(value):
        for feature in _WORDLIKE:  # of a password they say nothing
            out.pop(feature, None)


@lru_cache(maxsize=1024)  # in dense text the same for one value after another
def _of_place(name: bytes, tail: bytes, behind: bytes) -> tuple[str, bool, bytes, Mapping[str, float]]:
    """As `_of_name`, with what the name and the signs around a value come to. `tail`, `behind`: right beside it."""
    kind, about, plain = _of_name(name, b"" if name else tail)
    quote = tail[-1:] in (b'"', b"'", b"`")
    operator = (tail[len(name) :] if name in tail else tail).rstrip(b" \"'`\\")[-1:]
    sign = _OPERATORS.get(operator, "")
    called = behind in (b"(", b"[", b"{", b"+") or (behind[:1] == b"." and behind[1:].isalnum())
    held = (
        (kind, True),
        ("quoted" if quote else "bare", True),
        ("name in capitals", b"_" in name and name.isupper()),
        ("name with dots", quote and b"." in name),
        ("compared", b"==" in tail[-6:] or b"!=" in tail[-6:]),
        (sign, sign and (sign != "in markup" or behind == b"</")),
        ("name about it", about and not (sign == "handed over" and _BESIDE.search(tail))),
        ("goes on as code", not quote and called),
    )
    return kind, about, plain, {feature: 1.0 for feature, holds in held if holds}


def _of_passwords(kind: str, value: bytes) -> bool:
    return kind in ("name password", "name pass") or (kind == "name secret" and value[:1].isupper())


def stands_for_password(value: bytes, before: bytes) -> bool:
    """Whether the name of a password stands before it, and people make one so or it spells no words in quotes."""
    likely = chosen(value) or (before[-1:] in (b'"', b"'") and surprise(value)[0] > 0)
    return likely and _of_passwords(_of_name(named(before[-NAME:]), b"")[0], value)


# What a test or a page does with a value, and what makes a text of one: the name stands before it.
_VERBS = frozenset(
    b"type fill val eq eql equal equals be to toBe toEqual toStrictEqual isEqualTo send_keys sendKeys set_value"
    b" setValue byte Some from new make with is was q qq default defaultValue".split()
)
_SLOTS = (b"value", b"Value", b"string")  # `name: DB_PASSWORD`, and a line further `value: …`
_BESIDE = re.compile(rb"[\w)}\]],\s*[bu@]?\\?[\"'`]?$")  # another argument before it, not its name in quotes
_REVERSED = re.compile(rb"\\{0,3}[\"'`]\s?(?:\.equals(?:IgnoreCase)?\(|[!=]==?)\s?[A-Za-z_$]")
_OPERATORS = {b"(": "handed over", b",": "handed over", b">": "in markup"}
_OPERATORS |= {b":": "after a colon", b"=": "after an equals sign"}


@lru_cache(maxsize=1024)
def _of_name(name: bytes, tail: bytes) -> tuple[str, bool, bytes]:
    """The kind of a name, or of what stands in its place; whether it speaks about a secret; its letters."""
    kind = next((kind for kind, pattern in _KINDS if pattern(name or tail)), "none")
    about = _MAYBE_ABOUT(name) and bool(_ABOUT.search(_without_issuer(name))) and not _OF_RESETS(name)
    return f"name {kind}", about, name.lower().translate(None, _NO_LETTER)


def _without_issuer(name: bytes) -> bytes:
    """The name from its first word on that is none of an issuer's name in which one of `_ABOUT` happens to stand."""
    for word in HUMP.finditer(name):
        if _WHOLE.fullmatch(word[0]):
            break
        if len(word[0]) > 4 and _ABOUT.search(word[0]) and any(pattern(name[word.end() :]) for _, pattern in _KINDS):
            return name[word.end() :]
    return name


def _same(value: bytes, name: bytes, letters: bytes) -> bool:
    """Whether the value says again what its name says, whose letters in lower case are `letters`."""
    value = value.lower()
    plain = value.translate(None, _NO_LETTER)
    return len(plain) > 3 and (plain in letters or (len(name) > 3 and name.lower() in value))


def score(value: bytes, before: bytes, after: bytes) -> Score:
    """Weigh one candidate. `before`: at most BACK bytes left of it; `after`: AHEAD right of it."""
    weights, bias = _weights()
    weighed = features(value, before, after)
    parts = [(name, weights[name] * amount) for name, amount in weighed.items() if name in weights]
    return Score(_probability(bias + sum([share for _, share in parts])), tuple(parts))


def confidence(value: bytes, before: bytes, after: bytes) -> Confidence | None:
    """That of the score, without what it is made of."""
    odds, least = plain_odds(value, before, after), _weights()[0]["repetitive"]
    likely = _confidence(_probability(odds))
    if likely == _confidence(_probability(odds + least)):
        return likely  # whatever the one left out comes to
    return _confidence(_probability(odds + least * _repetitive(value)))


def total(weighed: Mapping[str, float]) -> float:
    """The log-odds of features."""
    weights, bias = _weights()
    return float(bias + sum(map(mul, map(weights.__getitem__, weighed), weighed.values())))


def _probability(odds: float) -> float:
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, odds))))


def _confidence(at: float) -> Confidence | None:
    high, medium, low = table()["thresholds"]
    return "high" if at >= high else "medium" if at >= medium else "low" if at >= low else None


class _Weights(dict[str, float]):
    """Of what the model does not know: nothing."""

    def __missing__(self, name: str) -> float:
        return 0.0


@cache
def _weights() -> tuple[_Weights, float]:
    return _Weights(table()["weights"]), table()["bias"]
