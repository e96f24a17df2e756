"""What a value that no name or score vouches for is seen to be: a stand-in, words in a URL, code, encoded data.

Pure functions that say why a value that was accepted is told with low (`expression`, `aside`, `amid_data`) or medium
confidence (`unsure`), or an empty text. What only the lines around make likely is weighed in `doubt.py`.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from detectors.match import score
from detectors.match.chance import MIXED
from detectors.match.quick import found
from detectors.match.records import around

__all__ = ["amid_data", "aside", "expression", "quoted", "unsure"]

_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{8,}={0,2}")
_STAND_IN = re.compile(rb"[A-Z]+(?:_[A-Z]+)+")
# What manuals and tests put in the place of a password: `pass;option`, `my%3Apass`, `foo{bar`.
_STAND_INS = re.compile(
    rb"(?:my|some|the|a|your|new|old|bad|wrong|good|any|secret(?=pass)|user|root|admin|database|db)*(?:foo|bar|baz|passw?[oe]?r?d?|password|pwd|pw|key|what|word|wrong|bad|garbage|blah"
    rb"|whatever|(?<=my)(?:database)?user(?:name)?)"
    rb"(?:foo|bar|baz|pass|pwd|pw|word|key|options?|auth(?:ntlm|apop)|ever|here|is|bad)*"
)
_ANYBODY = found(rb"(?i:[/\"'`\s](?:user(?:_?name)?|usr|login)):\z")
# A URL whose port is a word, or whose host is a web site's or that of an example.
_NO_HOST = re.compile(
    rb"@(?:www\.|[^\s/@:\"']{3,60}:[\\\"]{0,3}[\"A-Za-z\x80-\xff \n]"
    rb"|(?:(?:[\w-]+\.)*example(?:\.(?:com|org|net))?|some-?host|my-?host|host(?:name)?|server|[a-z])(?![\w.-]))"
)
_RESERVED = re.compile(rb"@(?:[\w-]+\.)*(?:example\.(?:com|org|net)|[\w-]+\.(?:example|invalid))(?![\w.-])")
_KNOWN = frozenset((b"guest", b"test", b"tests", b"demo", b"topsecret"))
_CODE = re.compile(rb"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+[:)]?|[A-Za-z_][\w.]*(?:\([^)]{0,40}|\[.{0,40})|[A-Za-z_]\w*[):]")
# `--- PASS: TestName (0.00s)`, as those who run tests write.
_PASSED = found(rb"(?:\A|[\s\"'-])PASS: \z")
_NO_LETTER = bytes(c for c in range(256) if c not in range(97, 123))
# What goes on around a piece of base64 behind a sign of it, and the lines that it is written in.
_DATA_BEFORE = re.compile(rb"[A-Za-z0-9+/]{32,}[+/]\Z")
_DATA_BEHIND = re.compile(rb"[+/][A-Za-z0-9+/]{32,}")
_DATA_LINE = re.compile(rb"[ \t]{0,24}[\"']?[A-Za-z0-9+/]{48,}={0,2}(?:\\n)?[\"']?[ \t]?[,+.]?\r?")
# Of a record: what follows a value that it ends in, as it stands or in a string of JSON.
_ENDS_A_RECORD = re.compile(rb"=?=?(?:\r?\n|\\n\")")


def quoted(left: bytes) -> bool:
    return left[-1:] in (b'"', b"'", b"`")


def expression(value: bytes, before: bytes, after: bytes) -> str:
    """Why the value of a rule that does not weigh it is a stand-in or code rather than a secret, or nothing."""
    plain = unquote_to_bytes(value) if b"%" in value else value
    if any(map(plain.__contains__, b"0123456789")) or score.surprise(plain)[0] > 0:
        return ""
    if after[:1] == b"@" and (_ANYBODY(before[-12:]) or (value.isalpha() and _NO_HOST.match(after))):
        return "words in the place of a user's password"
    letters = plain.lower().translate(None, _NO_LETTER)
    if letters in _KNOWN:
        return "a password that everybody knows"
    if _STAND_IN.fullmatch(value) or (plain.isascii() and (len(letters) < 2 or _STAND_INS.fullmatch(letters))):
        return "a stand-in"
    code = _CODE.fullmatch(value) or (value.isascii() and after.lstrip(b" ")[:1] == b"(")
    return "an expression of code" if code and not quoted(before) else ""


def unsure(value: bytes, before: bytes, after: bytes) -> str:
    """Why nobody is sure of the value of a rule that does not weigh it and whose format tells nothing, or nothing."""
    if after[:1] == b"@" and _RESERVED.match(after):
        return "the host of an example"
    plain = unquote_to_bytes(value) if b"%" in value and after[:1] == b"@" else value
    if len(plain) > 31 or any(map(plain.__contains__, b"0123456789")) or score.surprise(plain)[0] > 4.0:
        return ""
    return "words alone, without a digit"


def aside(before: bytes) -> str:
    """Why what looks like the name of a value is the end of something else, or nothing."""
    if before.endswith(b"PASS: ") and _PASSED(before[-16:]):
        return "the verdict of a test"
    line, ends, left = before.rpartition(b"\n")
    if not ends or left.strip(b" \t\"'`"):
        return ""
    above = line[line.rfind(b"\n") + 1 :].rstrip()
    # `Password` above its value is a label; `… initiating IKE_AUTH` is a sentence.
    return "the line above it is prose" if above[-1:].isalnum() and len(above.split()) > 4 else ""


def amid_data(value: bytes, before: bytes, after: bytes) -> str:
    """Why the value is a piece of data in base64 or hex, which hold every short prefix by chance, or nothing."""
    if not _BASE64.fullmatch(value):
        return ""
    if len(value) > 23 and len(set(value[-20:])) < 8 and not value[-20:].isdigit():
        return "of few letters, as sequences of genes are"
    # Without a sign right before it each place of a long run would be tried for nothing.
    left = _DATA_BEFORE.search(before[-400:]) if before[-1:] in (b"+", b"/") else None
    right = _DATA_BEHIND.match(after)
    if any(held and len(set(held[0])) > 20 and MIXED.search(held[0]) for held in (left, right)):
        return "a piece of encoded data"
    own = before[before.rfind(b"\n") + 1 :] + value + after.partition(b"\n")[0]
    if len(own) < 56 or not _DATA_LINE.fullmatch(own):
        return "a line of encoded data" if _a_record_of_data(value, before, after) else ""
    near = (before.rpartition(b"\n")[0].rpartition(b"\n")[2], after.partition(b"\n")[2].partition(b"\n")[0])
    alike = any(len(line) == len(own) and _DATA_LINE.fullmatch(line) for line in near)
    return "a line of encoded data" if alike else ""


def _a_record_of_data(value: bytes, before: bytes, after: bytes) -> bool:
    """Whether a record says a line of data, and the one before or after it another as long."""
    if len(value) < 48 or not _ENDS_A_RECORD.match(after):
        return False
    text, at = before + value + after, len(before)
    said = around(text, at, {}, before=1, after=1, back=at, ahead=len(value) + len(after))
    data = [one for one in said if _DATA_LINE.fullmatch(text, one.start, one.end)]
    own = next((one for one in data if one.start <= at < one.end), None)
    return own is not None and any(one is not own and one.end - one.start == own.end - own.start for one in data)
