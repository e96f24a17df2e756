"""What everybody sees of a value by its form and what stands right beside it: code, markup, a stand-in, encoded data.

Pure functions that say why a value that was accepted is told with low (`expression`, `plainly`) or medium confidence
(`unsure`), or an empty text. What only the lines around make likely is weighed in `doubt.py`.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
from collections import Counter
from collections.abc import Sequence
from urllib.parse import unquote_to_bytes

from detectors.match import score
from detectors.match.filters import words
from detectors.match.records import around

__all__ = ["BASE64", "CODE", "COMMENT", "IDENTIFIER", "NEAR"]
__all__ += ["amid_data", "aside", "expression", "plainly", "quoted", "unsure"]

NEAR = 4  # lines above and below a value
COMMENT = re.compile(rb"\s*(?://|/?\*|#(?!\s?(?:define|include))|--\s|;|%|\.\\\"|dnl|REM\b|'\s)")
CODE = re.compile(rb"[;{}(),\]]\s*\Z|[;{}]\s*(?://|/\*|#)")
IDENTIFIER = re.compile(rb"[A-Za-z_]\w*")
BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{8,}={0,2}")


# A name of code or a call where a value could stand, and what goes on behind it.
_NAMED = re.compile(
    rb"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+[:)]?|[a-z_]+\d?[a-z]*_[a-z_]+|[a-z]+(?:[A-Z][a-z]+)+|[A-Z][A-Z_]+"
    rb"|[A-Za-z_][\w.]*(?:[(\[].{0,40}|=[\w.]+\)?:?|:)|\w+\)"
)
_FOLLOWED = re.compile(rb"[ \t]?[(\[),;.:}]|[ \t][-+]?==?[ \t]|[ \t]?(?:\r?\n|\Z|[-+*|&?]|->)")
_CALLED = re.compile(rb"[A-Za-z_][\w.]*(?:[(\[]\w*|\[\w+\])")
# A URL whose port is a word, or that of a web site: in a translation its password is the word for one.
_TEMPLATE = re.compile(rb"@(?:www\.|[^\s/@:\"']{3,60}:[\\\"]{0,3}[\"A-Za-z\x80-\xff \n])")
_EXAMPLE = re.compile(
    rb"@(?:(?:[\w-]+\.)*example(?:\.(?:com|org|net))?|some-?host|my-?host|host(?:name)?|server|[a-z])(?![\w.-])"
)
_RESERVED = re.compile(rb"@(?:[\w-]+\.)*(?:example\.(?:com|org|net)|[\w-]+\.(?:example|invalid))(?![\w.-])")
_WORD_OF_IT = re.compile(rb"[A-Za-z\x80-\xff]+")
_STATEMENT = re.compile(rb"[ \t]{0,4}[-+*/|&]?=[ \t]")  # on the line below
_STAND_IN = re.compile(rb"[A-Z]+(?:_[A-Z]+)+")
# What manuals and tests put in the place of a password: `pass;option`, `my%3Apass`, `foo{bar`, or signs only.
_STAND_INS = re.compile(
    rb"(?:my|some|the|a|your|new|old|bad|wrong|good|any|secret(?=pass)|user|root|admin|database|db)*(?:foo|bar|baz|passw?[oe]?r?d?|password|pwd|pw|key|what|word|wrong|bad|garbage|blah"
    rb"|whatever|(?<=my)(?:database)?user(?:name)?)"
    rb"(?:foo|bar|baz|pass|pwd|pw|word|key|options?|auth(?:ntlm|apop)|ever|here|is|bad)*"
)
_ANYBODY = re.compile(rb"(?i:[/\"'`\s](?:user(?:_?name)?|usr|login)):\Z")
# SQL names whom it is about before `identified by`, prose does not.
_IDENTIFIED = re.compile(rb"[iI]dentified\s(?:with\s\S{1,40}\s)?by\s{1,4}[\"'`]?\Z")
_OF_SQL = re.compile(rb"(?i:\b(?:create|alter|grant|user|role|link|connect|exists)\b)|@[\"'`%\w]")
_BYTE = re.compile(rb"0x([0-9a-fA-F]{2})")
_OF_PUBLIC = re.compile(rb"(?i:public|verif|ch(?:ec)?ksum)")
# How bytes start that formats fix: labels of SMPTE, the padding of passwords in PDF.
_FIXED = (bytes.fromhex("060e2b34"), bytes.fromhex("28bf4e5e4e758a41"))
_LOWER = re.compile(rb"[a-z]{2}")
_NO_LETTER = bytes(c for c in range(256) if c not in range(97, 123))
_PLAIN = bytes(c for c in range(128) if chr(c).isalnum() or c in b"\r")
# A word of a list: five others stand before it and three behind, with nothing but commas between.
_OF_A_LIST = re.compile(rb"(?:[^\s,\"'=:;()<>{}]{2,24},){5}\Z")
_LIST_GOES_ON = re.compile(rb"(?:,[^\s,\"'=:;()<>{}]{2,24}){3},")
_UUID = re.compile(rb"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_CALLS = re.compile(rb" ?\([^()\n]{0,80}\)[;,)]")
_ELEMENT = re.compile(rb"[\w$)]\((?:[\"'][\w-]{1,40}[\"']|[\w.$]{1,40}),\s?\{\s?key:\s?[\"']\Z")  # `h("div", {key: "`
# `--- PASS: TestName (0.00s)`, as those who run tests write.
_PASSED = re.compile(rb"(?:\A|[\s\"'-])PASS: \Z")
_WRONG = re.compile(rb"(?i:(?:bad|wrong|invalid|incorrect)[_-]?(?:pass(?:w(?:or)?d|wd)?|pwd?|token|secret))\W{1,8}\Z")
_CUT = re.compile(rb"[\w+/-]{3,}(?:\.\.|\xe2\x80\xa6)[\w+/=-]{2,}")  # its middle left out
_MINIFIED = re.compile(rb"[,;{ ][A-Za-z_$]{1,2}=[\"']\Z")
_GOES_ON_SO = re.compile(rb"[\"'],[A-Za-z_$]{1,2}=")
_NAME_OF_A_KEY = re.compile(rb"(?i)(?:my|some|an?|test|another|the)?[_ -]?(?:[a-z]{2,8})?[_ -]?(?:key|token|id)")
_COMMIT = re.compile(rb"`?\]\(https?://[^\s)]{4,160}/commit/")
_TROFF = re.compile(rb"f[BIRP1-4](?=[A-Za-z0-9])")  # behind a backslash, a change of font
_PROMPT = re.compile(rb"[\w.-]+@[A-Za-z][\w.-]{3,}[#>$]")
_HEX_ONLY = re.compile(rb"[0-9a-fA-F]+")
_HARDWARE = re.compile(rb"[0-9a-f]{12}|[0-9A-F]{12}|(?:[0-9a-fA-F]{2}[:-]){5}[0-9a-fA-F]{2}")
_OF_A_USER = re.compile(rb"(?i:user|name|login|station)\W{0,4}[^\n]{0,8}\Z")
_PAIR = re.compile(
    rb"(?i)(?:[a-z]{0,12}[_-]?(?:user(?:_?name)?|login|name|foo|key|id)):(?:[a-z]{0,12}[_-]?(?:pass(?:w(?:or)?d)?|pwd?|secret|bar))"
)
# Keys by which others are known, as lists of them hold their digests; tokens that mark a request or an account.
_KNOWN_KEYS = re.compile(
    rb"(?i:(?:allowed|blocked|trusted|known|revoked|pinned|accepted)\w{0,24}keys?|keys?_?(?:block|allow|deny|white|black)_?list)\W{1,8}\Z"
)
_ENCRYPTED = re.compile(
    rb"(?:[eE]ncrypted|[wW]rapped)_?(?:[A-Za-z]{1,16}_?)?(?:[kK]ey|[sS]ecret|[tT]oken)(?:_?[vV]alue)?\W{1,8}\Z"
)
_CONSTANT = re.compile(rb"[A-Z][A-Z0-9]{1,16}(?:_[A-Z0-9]{1,16}){2,}")
_PUBLIC_KEY = re.compile(
    rb"(?:[pP]ublic_?[kK]ey|PUBLIC_?KEY)(?:_?(?:[bB]ytes|BYTES|[hH]ex|HEX|[bB]ase64|BASE64|B64|b64)){0,2}\W{1,8}\Z"
)
# What a service gives to encrypt with: `{"key_id": "…", "key": "…"}`.
_BEHIND_ITS_ID = re.compile(rb"[\"']key_id[\"']: ?[\"'][\w-]{1,40}[\"'], ?[\"']key[\"']: ?[\"']\Z")
_ANY_KEY = re.compile(rb"[\"']key[\"']: ?[\"']\Z")
_ITS_ID = re.compile(rb"[\"'], ?[\"']key_id[\"']: ?[\"']")
_MARKS_A_REQUEST = re.compile(
    rb"(?:\b[cC]lient(?:Request)?Token|(?i:token_?(?:mint|address|account|vault|program)))\W{1,8}\Z|\bopaquelocktoken:\Z"
)
_PARSER = re.compile(rb"\btokenData[\"']?\s?:\s?[\"'`]\Z")  # its tables, as Lezer writes them
_NO_SESSION = re.compile(
    rb"(?i:non|click\w{0,8}|track\w{0,8}|visit\w{0,4}|analytics|stats?)[_-]?sess(?:ion)?(?:_?id)?=\Z"
)
_WEB = re.compile(rb"\b(?:https?|ftps?)://[^\s/@:]{1,60}:\Z")
_PORT = re.compile(rb"\d{2,5}[/?]")
_NO_PERCENT = re.compile(rb"%(?![0-9a-fA-F]{2})")  # no URL has it
_VARIABLE = re.compile(rb"%[A-Z][A-Z0-9_]{2,}%")
_TYPESET = re.compile(rb"\xe2\x80[\x98-\x9f]")  # quotes that only texts have
_CALL_ENDS = re.compile(rb"[A-Za-z_][\w.]*(?:=[\w.]+)?\)+:?")
_PROSE = re.compile(rb" [a-z]{2,} [a-z]{2,}(?: [a-z]|[.,\n])")
_NO_TOKEN = re.compile(rb"eyJ[\w-]{0,16}|eyJ[\w-]{8,}\.[\w-]{0,16}")
_OF_BASIC = re.compile(rb"(?i:basic)\W{1,3}\Z")
_HASHED = re.compile(rb"\{(?i:s?sha\d{0,3}|crypt|argon2|s?md5|pbkdf2[\w-]*)\}")
# What goes on around a piece of base64 behind a sign of it, and the lines that it is written in.
_DATA_BEFORE = re.compile(rb"[A-Za-z0-9+/]{32,}[+/]\Z")
_DATA_BEHIND = re.compile(rb"[+/][A-Za-z0-9+/]{32,}")
_MIXED = re.compile(rb"(?=.*[A-Z])(?=.*[a-z])(?=.*[0-9])")
_DATA_LINE = re.compile(rb"[ \t]{0,24}[\"']?[A-Za-z0-9+/]{48,}={0,2}(?:\\n)?[\"']?[ \t]?[,+.]?\r?")
# Of a record: what follows a value that it ends in, as it stands or in a string of JSON.
_ENDS_A_RECORD = re.compile(rb"=?=?(?:\r?\n|\\n\")")
_MARKUP = (b"[{", b"[\n", b"[[", b'{"', b"<?", b"{\n")
_DIGESTS = frozenset(
    hashlib.new(name, word, usedforsecurity=False).hexdigest().encode()
    for name in ("md5", "sha1", "sha256")
    for word in (b"", *b"password admin test secret root guest user foo bar 123456 1234 hello changeme pass".split())
)


def quoted(left: bytes) -> bool:
    return left[-1:] in (b'"', b"'", b"`")


def expression(value: bytes, before: bytes, after: bytes) -> str:
    """Why the value of a rule that does not weigh it is code or a template rather than a secret, or nothing."""
    if after[:1] == b"@" and _TEMPLATE.match(after) and _WORD_OF_IT.fullmatch(value):
        return "a URL of words"
    if _STAND_IN.fullmatch(value) and score.surprise(value)[0] <= 0:
        return "a stand-in"
    if value[-1:] == b":" and IDENTIFIER.fullmatch(value[:-1]):
        return "a name"
    if _STATEMENT.match(after) and before[-1:].isspace() and not before[before.rfind(b"\n") + 1 :].strip():
        return "a statement"
    plain = unquote_to_bytes(value) if b"%" in value else value
    letters = plain.lower().translate(None, _NO_LETTER)
    signs = plain.isascii() and not any(map(plain.__contains__, b"0123456789"))
    if after[:1] == b"@" and signs and score.surprise(plain)[0] <= 0 and _ANYBODY.search(before[-12:]):
        return "a word, of anybody"
    if after[:1] == b"@" and plain is not value and not plain.isalnum() and _STAND_INS.fullmatch(letters):
        return "a stand-in"
    if signs and (len(letters) < 2 or _STAND_INS.fullmatch(letters)):
        return "a stand-in"
    if after[:1] == b"@" and _EXAMPLE.match(after) and _WORD_OF_IT.fullmatch(value) and score.surprise(value)[0] <= 0:
        return "a word, at the host of an example"
    if _encoded(value, before, after):
        return "a line of encoded data"
    if b"</" in value or _TYPESET.search(value):
        return "markup"
    if _VARIABLE.search(value):
        return "a template"
    if after[:1] == b"@" and _PORT.match(value) and b"://" in before[-72:]:
        return "a port, and what is asked there"
    if after[:1] == b"@" and b"%" in value and _NO_PERCENT.search(value) and _WEB.search(before[-72:]):
        return "no URL has it"
    if before[-1:] == b"=" and _NO_SESSION.search(before[-48:]):
        return "its cookie is no session"
    if not quoted(before) and score.surprise(value)[0] <= 0 and _goes_on(value, after):
        return "code or prose goes on"
    if _IDENTIFIED.search(before[-64:]):
        line = before[before.rfind(b"\n") + 1 :]
        if not _OF_SQL.search(before[-200:]) or (COMMENT.match(line) and line[-24:].islower()):
            return "prose"
    if value[:2] == b"0x":
        return _of_bytes(value, before)
    called = after.lstrip(b" ")[:1] == b"(" or _CALLED.fullmatch(value)
    odd = 12.0 if called else 0.0  # bits beyond those of words
    if len(value) > 64 or quoted(before) or not _NAMED.fullmatch(value) or score.surprise(value)[0] > odd:
        return ""
    if called:
        return "a call"
    lines = [line for line in (*before.split(b"\n")[-NEAR:-1], *after.split(b"\n")[1:NEAR]) if line.strip()]
    code = sum(1 for line in lines if CODE.search(line))
    return "an expression of code" if _FOLLOWED.match(after) and code * 2 > len(lines) else ""


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
    if before.endswith(b"PASS: ") and _PASSED.search(before[-16:]):
        return "the verdict of a test"
    line, ends, left = before.rpartition(b"\n")
    if not ends or left.strip(b" \t\"'`"):
        return ""
    above = line[line.rfind(b"\n") + 1 :].rstrip()
    # `Password` above its value is a label; `… initiating IKE_AUTH` is a sentence.
    return "the line above it is prose" if above[-1:].isalnum() and len(above.split()) > 4 else ""


def amid_data(value: bytes, before: bytes, after: bytes) -> str:
    """Why the value is a piece of data in base64 or hex, which hold every short prefix by chance, or nothing."""
    if not BASE64.fullmatch(value):
        return ""
    if len(value) > 23 and len(set(value[-20:])) < 8 and not value[-20:].isdigit():
        return "of few letters, as sequences of genes are"
    # Without a sign right before it each place of a long run would be tried for nothing.
    left = _DATA_BEFORE.search(before[-400:]) if before[-1:] in (b"+", b"/") else None
    right = _DATA_BEHIND.match(after)
    if any(held and len(set(held[0])) > 20 and _MIXED.match(held[0]) for held in (left, right)):
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


def _goes_on(value: bytes, after: bytes) -> bool:
    """Whether a bare word ends a call (`len(password)`), or the next ones of its sentence follow."""
    if value[-1:] in b"):" and b")" in value and _CALL_ENDS.fullmatch(value):
        return True
    return value.isalpha() and value[1:].islower() and _PROSE.match(after) is not None


def plainly(value: bytes, before: bytes, after: bytes) -> str:
    """Why a value that is weighed is none for all who look at it, or nothing."""
    if value.lower() in _DIGESTS:
        return "a digest of a common word"
    if _NO_TOKEN.fullmatch(value):
        return "the beginning of a token"
    if _encoded(value, before, after):
        return "a line of encoded data"
    if _OF_A_LIST.search(before[-160:]) and _LIST_GOES_ON.match(after):
        return "a word of a list"
    if not quoted(before) and IDENTIFIER.fullmatch(value) and _CALLS.match(after):
        return "a call"
    if _of_a_table(value, before, after):
        return "one of a table of ids"
    if _ELEMENT.search(before[-64:]):
        return "the key of an element"
    if len(value) > 80 and len(set(value.translate(None, _PLAIN))) > 9:
        return "encoded data"
    if why := aside(before):
        return why
    if _WRONG.search(before[-48:]):
        return "a wrong one, by its name"
    if _ENCRYPTED.search(before[-48:]):
        return "encrypted, by its name"
    if not quoted(before) and _CONSTANT.fullmatch(value):
        return "the name of a constant"
    if _PUBLIC_KEY.search(before[-48:]):
        return "a public key, by its name"
    if _BEHIND_ITS_ID.search(before[-72:]) or (_ANY_KEY.search(before[-10:]) and _ITS_ID.match(after)):
        return "a public key, by its id"
    if _KNOWN_KEYS.search(before[-64:]):
        return "one of a list of keys"
    if _MARKS_A_REQUEST.search(before[-48:]):
        return "it marks a request or an account"
    if why := _of_its_place(value, before, after):
        return why
    return "base64 of a text" if _text_in_base64(value) and not _OF_BASIC.search(before[-8:]) else ""


def _of_its_place(value: bytes, before: bytes, after: bytes) -> str:
    """Why it is none by its form and what stands right beside it, or nothing."""
    if _PARSER.search(before[-32:]):
        return "a table of a parser"
    if _MINIFIED.search(before[-12:]) and _GOES_ON_SO.match(after):
        return "a name of minified code"
    if _COMMIT.match(after) and _HEX_ONLY.fullmatch(value):
        return "a commit"
    pieces = [piece for piece in value.split(b".") if len(piece) > 7]
    if len(set(pieces)) < len(pieces):
        return "its parts repeat"
    if _CUT.fullmatch(value):
        return "its middle is left out"
    if before[-1:] == b"\\" and _TROFF.match(value):
        return "markup"
    octets = len(value) > 15 and len(value) % 2 == 0 and _HEX_ONLY.fullmatch(value)
    if octets and _runs(bytes.fromhex(value.decode())):
        return "bytes in a sequence"
    if _PROMPT.fullmatch(value) and not before[before.rfind(b"\n") + 1 :].strip() and after[:1] in b"\r\n":
        return "a prompt"
    if (
        _HARDWARE.fullmatch(value)
        and (at := before.rfind(value)) > 0
        and _OF_A_USER.search(before[max(0, at - 32) : at])
    ):
        return "an address of hardware, which is its user's name as well"
    return ""


def _encoded(value: bytes, before: bytes, after: bytes) -> bool:
    """Whether it stands amid lines of uuencode, ascii85 and the like: as long as the next ones, and full of signs."""
    left, right = before[before.rfind(b"\n") + 1 :], after.partition(b"\n")[0]
    own = left + value + right
    run = left[-64:].rpartition(b" ")[2] + value + right[:64].partition(b" ")[0]
    if len(run) > 99 and not _LOWER.search(run) and len(set(run.translate(None, _PLAIN))) > 11:
        return True
    if len(own) < 45 or b" " in own or len(set(own.translate(None, _PLAIN))) < 8:
        return False
    above = before[: -len(left) - 1].rpartition(b"\n")[2] if left else before[:-1].rpartition(b"\n")[2]
    below = after[len(right) + 1 :].partition(b"\n")[0]
    return abs(len(own) - len(above)) < 2 and abs(len(own) - len(below)) < 2 and b" " not in above + below


def _of_a_table(value: bytes, before: bytes, after: bytes) -> bool:
    """Whether three lines around hold a UUID each, as its own does."""
    if len(value) != 36 or not _UUID.fullmatch(value):
        return False
    near = (*before.split(b"\n")[-NEAR - 1 : -1], *after.split(b"\n")[1 : NEAR + 1])
    return sum(1 for line in near if _UUID.search(line)) > 2


def _text_in_base64(value: bytes) -> bool:
    """Whether it is base64 of a text that is no password: a sentence, an address, JSON, a hash that says what it is."""
    if not BASE64.fullmatch(value):
        return False
    try:
        text = base64.b64decode(value[: len(value) & ~3], b"-_" if b"-" in value or b"_" in value else None)
    except ValueError:
        return False
    if _HASHED.match(text):
        return True
    text = text.rstrip()
    if _PAIR.fullmatch(text) or _NAME_OF_A_KEY.fullmatch(text):
        return True
    if len(text) < 6 or len(value) % 4 or not text.isascii() or not text.replace(b"\n", b"").decode().isprintable():
        return False
    return text.startswith(_MARKUP) or (words(text) or "").startswith(("a sentence", "a path"))


def _runs(numbers: Sequence[int]) -> bool:
    """Whether most of the numbers are the one before and one or two: test vectors count so, with gaps."""
    steps = [(after - before) % 256 for before, after in itertools.pairwise(numbers)]
    return sum(1 for step in steps if step in (1, 2)) * 10 >= len(steps) * 7


def _of_bytes(value: bytes, before: bytes) -> str:
    """Why bytes in hex are no key, or nothing."""
    numbers = [int(digits, 16) for digits in _BYTE.findall(value)]
    steps = {(after - before) % 256 for before, after in itertools.pairwise(numbers)}
    counted = Counter((after - before) % 256 for before, after in itertools.pairwise(numbers)).most_common(2)
    if len(numbers) > 7 and (len(steps) < 3 or sum(count for _, count in counted) * 5 > len(numbers) * 4):
        return "bytes in a sequence"
    if bytes(numbers[:8]).startswith(_FIXED):
        return "bytes that a format fixes"
    if len(numbers) > 7 and all(32 <= number < 127 for number in numbers):
        return "bytes of a text"
    if numbers[:8] == [255] * 8:
        return "bytes of a prime"  # as all of Oakley's start
    return "bytes of a public key" if _OF_PUBLIC.search(before[before.rfind(b"\n") + 1 :]) else ""
