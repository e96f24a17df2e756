"""Doubt about a finding that no vendor's format vouches for: what the lines around it say it is.

The score looks at a name and its value. Around them stands what a person sees at a glance: a table of constants, a
digest that a test compares with, an expression of code. That lowers the confidence of what was found, never whether it
is found. A logistic model again, over the features of the score and those of here, whose weights lie in `score.json`,
too. Only what was accepted is looked at.
"""

from __future__ import annotations

import base64
import binascii
import itertools
import math
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from detectors.match import score
from detectors.match.quick import found
from detectors.rules.rule import Confidence

__all__ = ["AHEAD", "BACK", "clipped", "doubt", "expression", "kinds", "surroundings", "weighed"]

BACK, AHEAD = 640, 320  # bytes left and right of a value that are looked at
_LINES, _WIDE = 4, 200  # lines above and below; bytes of each
_WORD = re.compile(rb"w+")
_SIGNS = bytes(119 if chr(c).isascii() and (chr(c).isalnum() or c == 95) else c for c in range(256))  # letters as `w`
_DIGEST = found(
    re.compile(
        rb"(?i:hmac|\bsha\b|sha(?:1|2|256|384|512)|md[45]|digest|hash|checksum|fingerprint|thumbprint|crc|signature|signed"
        rb"|encrypt|cipher|derive)"
    )
)
_PUBLIC = found(
    re.compile(
        rb"(?i:salt|nonce|\biv\b|\baad\b|challenge|accept|public|pub_?key|cert|log_id|pin\b|hostkey|wrong|seq|sort|cache)"
    )
)
_CHECKED = found(
    re.compile(rb"(?i:assert|expect|\bequals?\b|strn?cmp|memcmp|\bshould|\bis\(|\bok\(|compare|check|[!=]==?[ (\"'])")
)
_COMPARED = re.compile(rb"(?:[!=]==?[ \t]*[bLu@]?[\"'(]{1,2}|cmp\w*\s?\([^()\n]{0,60},\s*[\"'])\Z")
_COMPANY = found(
    re.compile(rb"(?i:user(?:name)?\b|\blogin|\buid\b|\bhost\b|e-?mail|\baccount|client_?id|realm|endpoint|connect)")
)
_TEST = found(re.compile(rb"(?i:\btest|_test|test_|\bspec\b|describe|fixture|mock|assert|expect)"))
_GOES_ON = re.compile(rb"[\"'`]?\s{0,2}(?:\+|\.\.|\.append|\\?\.\.\.|\xe2\x80\xa6|\.\s?[\"'$]|<<|%)")
_COMMENT = re.compile(rb"\s*(?://|/?\*|#(?!\s?(?:define|include))|--\s|;|%|\.\\\"|dnl|REM\b|'\s)")
_CODE = re.compile(rb"[;{}(),\]]\s*\Z|[;{}]\s*(?://|/\*|#)")
_SETTING = re.compile(rb"\s*[\"']?[\w.\[\]/-]{1,60}[\"']?\s{0,20}[:=]\s{0,4}[\"']?")
_SET = (b"", b'"', b"'", b",", b'",', b"',")  # what ends such a line
_IDENTIFIER = re.compile(rb"[A-Za-z_]\w*")
_DECLARED = found(
    re.compile(
        rb"\b(?:const|static|struct|class|enum|typedef|void|int|char|public|private|unsigned|bool|func|return|if|import)\b"
    )
)
_TYPE = re.compile(rb"\s{0,2}\*{0,2}\s?[A-Za-z_]\w*[;,)= ]")
_HEX = re.compile(rb"(?:0[xX])?((?:[0-9a-fA-F]{2}){4,})")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{8,}={0,2}")
# Lines of a log, which are alike, and of which none is code.
_RECORD = found(
    re.compile(
        rb"\d\d:\d\d:\d\d|\blevel[\"']?[=:]|\b(?:INFO|WARN(?:ING)?|ERROR|DEBUG|NOTICE|TRACE|FATAL)\b|\"(?:ts|time|timestamp|msg)\":"
    )
)
_OF_RULES = ("loose", "near", "asserted", "compared", "constructed", "spoken", "key", "short", "quoted")


# A name of code or a call where a value could stand, and what goes on behind it.
_NAMED = re.compile(
    rb"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+[:)]?|[a-z_]+_[a-z_]+|[a-z]+(?:[A-Z][a-z]+)+|[A-Z][A-Z_]+"
    rb"|[A-Za-z_][\w.]*(?:[(\[].{0,40}|=\w+\)?|:)|\w+\)"
)
_FOLLOWED = re.compile(rb"[ \t]?[(\[),;.:}]|[ \t]?(?:\r?\n|\Z|[-+*|&?]|->)")
_CALLED = re.compile(rb"[A-Za-z_][\w.]*[(\[]\w*")
# A URL whose port is a word, or that of a web site: in a translation its password is the word for one.
_TEMPLATE = re.compile(rb"@(?:www\.|[^\s/@:\"']{3,60}:[\\\"]{0,3}[\"A-Za-z\x80-\xff \n])")
_WORD_OF_IT = re.compile(rb"[A-Za-z\x80-\xff]+")
_STAND_IN = re.compile(rb"[A-Z]+(?:_[A-Z]+)+")
# SQL names whom it is about before `identified by`, prose does not.
_IDENTIFIED = re.compile(rb"[iI]dentified\s(?:with\s\S{1,40}\s)?by\s{1,4}[\"'`]?\Z")
_OF_SQL = re.compile(rb"(?i:\b(?:create|alter|grant|user|role|link|connect|exists)\b)|@[\"'`%\w]")
_BYTE = re.compile(rb"0x([0-9a-fA-F]{2})")
_OF_PUBLIC = re.compile(rb"(?i:public|verif)")


def kinds(rule: str) -> tuple[str, ...]:
    """Features of a rule, by its id: how much each of the loose ones is worth is learnt."""
    return tuple(f"rule {kind}" for kind in _OF_RULES if rule.startswith("generic-") and kind in rule)


def surroundings(value: bytes, before: bytes, after: bytes) -> dict[str, float]:
    """What stands around a value, by name; absent ones are 0. Empty where nothing does, or a log.

    `before`, `after`: at most BACK and AHEAD bytes beside it."""
    above, below = before.split(b"\n"), after.split(b"\n")
    left, right = above.pop(), below.pop(0)
    near = [line[:_WIDE] for line in (*above[-_LINES:], *below[:_LINES]) if line.strip()]
    own = left[-_WIDE:] + b" " + right[:_WIDE]
    if not near or _RECORD(own):
        return {}
    out: dict[str, float] = {}
    _of_lines(left, value, right, near, out)
    _of_words(left, own, b"\n".join(near), out)
    _of_place(value, left, right, out)
    if len(value) > 3 and (value in own or any(value in line for line in near)):
        out["repeated, quoted" if _quoted(left) else "repeated, bare"] = 1.0
    if _readable(value):
        out["readable"] = 1.0
    return out


def _of_lines(left: bytes, value: bytes, right: bytes, near: Sequence[bytes], out: dict[str, float]) -> None:
    """How the lines around resemble its own, and code."""
    shape = _shape(left[-_WIDE:] + value[:80] + right[:_WIDE])
    alike = sum(1 for line in near if _shape(line) == shape) if len(shape) > 2 else 0
    if alike:
        out["lines alike"] = min(1.0, alike / 4)
    opens = left.lstrip()[:10]
    same = sum(1 for line in near if line.lstrip().startswith(opens)) if len(opens) > 7 else 0
    if same:
        out["lines open alike"] = min(1.0, same / 4)
    code = sum(1 for line in near if _CODE.search(line))
    if code:
        out["code"] = code / len(near)


def _of_words(left: bytes, own: bytes, text: bytes, out: dict[str, float]) -> None:
    """What the words around speak of."""
    if _DIGEST(own):
        out["digest on its line"] = 1.0
    if _PUBLIC(left[-80:]):
        out["salt or public"] = 1.0
    if _CHECKED(left[-_WIDE:]):
        out["checked"] = 1.0
    if _COMPARED.search(left[-90:]):
        out["compared here"] = 1.0
    if _COMPANY(own):
        out["user on its line"] = 1.0
    elif _COMPANY(text):
        out["user nearby"] = 1.0
    if _TEST(own) or _TEST(text):
        out["test around"] = 1.0
    if _DECLARED(left[-_WIDE:]):
        out["declared"] = 1.0


def _of_place(value: bytes, left: bytes, right: bytes, out: dict[str, float]) -> None:
    """What stands right beside it."""
    if _GOES_ON.match(right):
        out["goes on"] = 1.0
    if _COMMENT.match(left):
        out["comment"] = 1.0
    if right.strip() in _SET and _SETTING.fullmatch(left[-120:]):
        out["setting"] = 1.0
    if _quoted(left):
        return
    if _IDENTIFIER.fullmatch(value):
        out["bare identifier"] = 1.0
        if _CODE.search(right) or right[:1] in b";,)(.[":
            out["bare in code"] = 1.0
        if _TYPE.match(right):
            out["bare before a name"] = 1.0
    if right[:1] in (b";", b")", b","):
        out["bare, code goes on"] = 1.0


def _quoted(left: bytes) -> bool:
    return left[-1:] in (b'"', b"'", b"`")


def _shape(line: bytes) -> bytes:
    """The signs of a line, each run of words as one."""
    return _WORD.sub(b"w", line.translate(_SIGNS, b" \t\r"))


def _readable(value: bytes) -> bool:
    """Whether it is hex or base64 of text."""
    held = _HEX.fullmatch(value)
    try:
        if held is not None:
            text = binascii.unhexlify(held[1])
        elif _BASE64.fullmatch(value):
            text = base64.b64decode(value[: len(value) & ~3], b"-_" if b"-" in value or b"_" in value else None)
        else:
            return False
    except ValueError:
        return False
    text = text.rstrip(b"\x00")
    return len(text) > 5 and text.isascii() and text.decode("ascii").isprintable()


def expression(value: bytes, before: bytes, after: bytes) -> str:
    """Why the value of a rule that does not weigh it is code or a template rather than a secret, or nothing."""
    if after[:1] == b"@" and _TEMPLATE.match(after) and _WORD_OF_IT.fullmatch(value):
        return "a URL of words"
    if after[:1] == b"@" and _STAND_IN.fullmatch(value):
        return "a stand-in"
    if b"</" in value:
        return "markup"
    if _IDENTIFIED.search(before[-64:]) and not _OF_SQL.search(before[-200:]):
        return "prose"
    if value[:2] == b"0x":
        return _of_bytes(value, before)
    called = after.lstrip(b" ")[:1] == b"(" or _CALLED.fullmatch(value)
    odd = 12.0 if called else 0.0  # bits beyond those of words
    if len(value) > 64 or _quoted(before) or not _NAMED.fullmatch(value) or score.surprise(value)[0] > odd:
        return ""
    if called:
        return "a call"
    lines = [line for line in (*before.split(b"\n")[-_LINES:-1], *after.split(b"\n")[1:_LINES]) if line.strip()]
    code = sum(1 for line in lines if _CODE.search(line))
    return "an expression of code" if _FOLLOWED.match(after) and code * 2 > len(lines) else ""


def _of_bytes(value: bytes, before: bytes) -> str:
    """Why bytes in hex are no key, or nothing."""
    numbers = [int(digits, 16) for digits in _BYTE.findall(value)]
    steps = {(after - before) % 256 for before, after in itertools.pairwise(numbers)}
    if len(numbers) > 7 and len(steps) < 3:
        return "bytes in a sequence"
    return "bytes of a public key" if _OF_PUBLIC.search(before[before.rfind(b"\n") + 1 :]) else ""


def weighed(value: bytes, before: bytes, after: bytes, rule: Sequence[str]) -> dict[str, float]:
    """What the model weighs, by name. `rule`: the features of its rule. Empty where there is nothing to doubt by."""
    around = surroundings(value, before, after)
    if not around:
        return {}
    features = score.plain(value, before[-score.BACK :], after[: score.AHEAD])
    return {**features, **around, **dict.fromkeys(rule, 1.0), "score": clipped(score.total(features))}


def clipped(total: float) -> float:
    """The log-odds of the score, as doubt weighs them."""
    return max(-4.0, min(8.0, total)) / 4


@cache
def _table() -> Mapping[str, Any]:
    table: Mapping[str, Any] = score.table()["doubt"]
    return table


def doubt(sure: Confidence, value: bytes, before: bytes, after: bytes, rule: Sequence[str]) -> tuple[Confidence, str]:
    """The confidence that is left of `sure`, and why it is less, or nothing."""
    features = weighed(value, before, after, rule) if sure != "low" else {}
    if not features:
        return sure, ""
    weights, (high, medium) = _table()["weights"], _table()["thresholds"]
    parts = [(name, weights[name] * amount) for name, amount in features.items() if name in weights]
    likely = 1 / (1 + math.exp(-max(-30.0, min(30.0, _table()["bias"] + sum(share for _, share in parts)))))
    if likely >= high or (likely >= medium and sure == "medium"):
        return sure, ""
    largest = ", ".join(f"{name} {share:+.1f}" for name, share in sorted(parts, key=lambda part: part[1])[:2])
    return "medium" if likely >= medium else "low", f"around it {likely:.2f}: {largest}"
