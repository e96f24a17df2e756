"""Codecs: what points at encoded text, for the decoders.

Nothing is decoded on suspicion. The triggers are what the rules' own literals look like when encoded (base64 in its
three alignments, hex), the head of gzip in base64, and escapes near a word that names a credential. So plain logs cost
nothing, and a region is decoded only where a secret may be.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from urllib.parse import quote

from detectors.rules.rule import Rule
from detectors.rules.triggers import TRIGGERS
from monitor.common import terminal

__all__ = ["COLUMN", "VALUE", "Codec", "codecs", "ends_here"]

# Words by which base64 is worth undoing where rules go by names, in the ways that programs and people write them.
_IN_BASE64 = tuple(
    form.encode()
    for word in ("token", "secret", "passw", "apikey", "api_key")
    for form in dict.fromkeys((word, word.capitalize(), word.upper(), word.replace("key", "Key")))
)
# Words near which an escape is worth undoing.
_NAMES = rb"(?i:secret|token|passw|api.?key|access.?key|auth|credential|bearer|private)"
_HEX_ALONE = re.compile(rb"[0-9a-f]{1,6}")


class Codec(NamedTuple):
    """What a trigger's end means to a decoder. `length` and `phase` place the start of the encoded group for base64.
    `open`: it counts only where the value after it holds an escape (see `encoded_values`). `once`: the first hit in a
    block will do. `word`, `sign`: of a column of a table, its name and what parts its cells (see `cells`)."""

    name: str
    length: int = 0
    phase: int = 0
    open: bool = False
    once: bool = False
    word: str = ""
    sign: str = ""


# What text in UTF-16 has in it: a mark at its beginning, ends of lines, an assignment, pairs of letters, what tokens
# begin with.
_WIDE = (
    rb"\xff\xfe[^\x00]\x00",
    rb"\xfe\xff\x00[^\x00]",
    rb"\r\x00\n",
    rb"[=:]\x00[\"' ]\x00",
    rb"[aeio]\x00[nrst]\x00",
    rb"[tckh]\x00[eh]\x00",
    rb"[a-z]\x00[_-]\x00",
    rb"(?:y\x00J|A\x00K|A\x00S)\x00",
)

# PowerShell takes as much of `-EncodedCommand` as tells it from other options, and one abbreviation besides.
# A list of arguments in JSON has quotes and a comma between them.
_ENCODED = b"|".join([b"ec", *(b"encodedcommand"[:size] for size in range(1, 15))])

# What ends a record of a log while its value stands in the next one: `password:`, `"token" => (`, `<key>ApiKey</key>`,
# the names above a table. A name by itself counts only where no word stands before it: `invalid token` asks for none.
# With each name the next character is fixed as well, as names stand in every other line of some logs; behind those that
# are rarer any of them will do. `records` looks at what they find.
_ASKING = (
    *"password passwd passphrase secret credentials token apikey accesskey".split(),
    *('"pass', "_pass", "_pwd", "_key", "-key", r"\.key"),
)
_RARE = "passwd passphrase credentials apikey accesskey".split()
_SIGNS = (*":='\")]>|(", " =", " :", " |", " (", " \\", "s:")
_CELLS = (*",;|\t", '",', " |", "\\t")
_MORE_CELLS = r"""[\w "',;|\t\\.-]{1,48}"""
_ALONE = r"""(?:[^\w\s.,][ \t]{0,4}|[FP] |po |[_.,-]["']?)"""
_CAMEL = "Password Passwd Passphrase Pwd Pass Secret Token ApiKey SecretKey AccessKey".split()
_OTHERS = (
    *(r"USER \S{1,64}", r"form-data; name=\\{0,3}\"[\w.-]{1,40}\\{0,3}\"", r":protected\]=>", r":private\]=>"),
    *(rf"(?i:{name})</\w{{2,6}}>" for name in _ASKING),
)
# The same without a blank after it: a row of a table, half a literal.
_ALSO = (
    *(rf"{_ALONE}(?i:(?:access|api|secret) key)", "(?i:(?:access|api|secret) key) is:"),
    *(r"(?i:password|passwd|secret|token|_key) {2,24}\|[^\w\n]{0,12}", r"[\w+/=-]{8}\\{0,3}[\"'] [+.&]"),
)
# A value whose user stands in a record before it.
_SECOND = (
    r"""(?:"log":"|[FP] |- - )P(?:ass|ASS) [^\s"\\]{6}""",
    r"""(?i:password|passwd|senha|_pass|pwd)\\{0,3}["']?\s?[:=]{1,2}>?\s?\\{0,3}["'][^\s"'\\<>{}$]{3,5}\\{0,3}["']""",
)
# The end of a line in a string of JSON or of a record that another one follows, and of a string that is all one says.
_LINES = (r"\\{1,3}n", *(rf"{end}(?:[\w<\[{{]|$)" for end in (r"\n", r"\r\n")))
_LINE, _STRING = f"(?:{'|'.join(_LINES)})", r"""\\{0,3}"[ \t]?(?:[,}]|\w{1,12}=)"""


def _each(signs: Iterable[str], name: str) -> Iterable[str]:
    """What may follow a name, each by itself, or all but a quote as one."""
    signs = list(signs)
    if name not in _RARE:
        return signs
    quotes = [sign for sign in signs if sign == '"']
    return [f"(?:{'|'.join(sign for sign in signs if sign not in quotes)})", *quotes]


def _record_triggers() -> Iterable[bytes]:
    """A name that a record of a log ends in. The last bytes tell how: see `ends_here`."""
    for name in _ASKING:
        # Not behind a quote alone: `"token":"",` asks for nothing.
        for sign in _each((*map(re.escape, _SIGNS), r"\\{1,3}\""), name):
            string = "" if sign == '"' else rf"|[^\w\n\"]{{0,6}}{_STRING}"
            yield rf"(?i:{name}){sign}(?:[^\w\n]{{0,12}}{_LINE}{string})".encode()
    for name in (*_ASKING[:8], "_key"):
        for sign in _each(map(re.escape, _CELLS), name):
            yield rf"(?i:{name}){sign}{_MORE_CELLS}(?:{_LINE}|{_STRING})".encode()
    names = [*(rf"{_ALONE}(?i:{name})" for name in (*_ASKING[:8], "[_-]key")), *(f"[a-z]{name}" for name in _CAMEL)]
    yield from (f"{name}{blank}{_LINE}".encode() for name in names for blank in ("", r" (?: [ \t]{0,12})?"))
    yield from (f"{name} ?(?:{_LINE}|{_STRING})".encode() for name in _OTHERS)
    yield from (f"{name}{_LINE}".encode() for name in _ALSO)
    yield from map(str.encode, _SECOND)


# What a value follows in percent-encoding otherwise than behind a sign of an assignment: a name and what ends its line
# or its cell, words of commands, names in other languages; and what tells a value without one.
_ENCODED_NAMES = rb"password passwd passphrase secret token apikey [_-]key %20key".split()
_ENCODED_WORDS = (b"identified by", b"[_-]key", b"senha", b"passe")
_GAP = rb"(?:%20|\+|%2[Bb])"  # a blank, also of a form
_BLANK = rb"%(?:0[9AaDd]|2[AaCc]|3[Bb]|60|7[Cc])"
_SAID_ENCODED = (
    *(rb"(?i:%b)(?:%%3[Aa])?%b" % (name, _BLANK) for name in _ENCODED_NAMES),
    *(rb"(?i:%b)" % words.replace(b" ", _GAP) + _GAP for words in _ENCODED_WORDS),
    rb"(?i:%ef%bc%9[ad])",  # the colon and the equals sign of full width
    *(rb"(?i:%b)" % quote(word).encode() for word in "ароль 密码 密碼 口令 밀번호 ワード contraseña".split()),
    rb"%0[Aa](?i:pass)" + _GAP,
    rb"%3[Aa]%242[aby]%24",  # bcrypt's hash behind a user
    rb"(?:%3[Aa]|:)(?i:x|x-oauth-basic|unused|none)?%40[A-Za-z0-9]",  # a key as the user of a URL
    rb"%2[Ff]%2[Ff][A-Za-z0-9_~-]{20,100}%40[A-Za-z0-9]",
    rb"(?i:%2fhooks?|webhooks?)(?:%2[Ff]|[\w-]{0,12}\.[\w.-]{1,80}%2[Ff])",
    rb"[=\dA-Fa-f][a-z]{4,20}%2[Cc][A-Za-z0-9]{20}",  # a row: a name and a long value
)


def ends_here(last: bytes) -> bool:
    """Whether a hit with these last two bytes ends in the record that asks for a value, or at the next one."""
    return last == b"\\n" or last[-1:] in (b",", b"}", b"=")


# How the name of a column ends that a credential stands in; and those that count only where nothing, or a part of the
# name, stands before.
_COLUMNS = (
    *("passw(?:or)?d", "passwort", "pass[_ -]?phrase", "pwd", "kennwort", "wachtwoord", r"contrase\S{1,2}a", "senha"),
    *("heslo", "mot_de_passe", "secret", "token", "credentials?", "authcode"),
    "(?:api|access|auth|private|signing|encryption|master|service|account|secure|webhook|license|app|secret|hmac)"
    "[_ .-]?key",
)
_SHORT_COLUMNS = "(?:pass|pw|psk)"
_CELL_ENDS = (r"""\d?["'`]?[,;|\t]""", r"""["'`]? {0,32}\|?\r?\n""", r" {1,32}\|")
# Behind a word, a blank and a short name: not `check pass; user unknown`, which PAM logs of any try.
_WORDS_END = (r"""\d?["'`]?(?:[,|\t]|;[^ ])""", *_CELL_ENDS[1:])
COLUMN = f"(?:{'|'.join(_COLUMNS)}|(?:^|[_ .-]){_SHORT_COLUMNS})".encode()


def _column_triggers() -> Iterable[bytes]:
    """A name that ends a cell or a line: above what stands in the same place there may be more of its kind."""
    for name in (*_COLUMNS, rf"""(?:[_.\-,;|\t\n"]|[,;|\t"] ){_SHORT_COLUMNS}"""):
        yield from (rf"(?i:{name}){end}".encode() for end in _CELL_ENDS)
    yield from (rf"(?i: {_SHORT_COLUMNS}){end}".encode() for end in _WORDS_END)
    yield rb"\)\s{0,8}(?i:values)\s{0,8}\("


# Stands for no trigger: what is assigned, where `encoded_values` says so.
VALUE = Codec("percent", open=True)


def _base64_triggers(literal: bytes) -> Iterable[tuple[bytes, int]]:
    """What `literal` looks like inside base64, for the three alignments: (text, characters before it in its group)."""
    for lead in range(3):
        encoded = base64.b64encode(b"\0" * lead + literal).decode()
        first = (lead * 8 + 5) // 6  # the first character that holds no bit of what stands before
        whole = (lead + len(literal)) * 8 // 6  # characters wholly made of known bits
        yield encoded[first:whole].encode(), first


_ESCAPED = re.compile(r"\\(?:x([0-9a-f]{2})|([^\w]))")
_BASE64_CLASS = re.compile(r"\[(?!\^)[^\]]*(?:\+/|/\+)")
_HOST = re.compile(r"[\w.-]*\.[a-z]{2,5}")
_LEFT = re.compile(r"[\w.~!$'()*,;:@/?=&-]+")  # what percent-encoding may leave as it is
_PLAIN_WORD = re.compile(r"[a-z']+:?|(?i:.*(?:secret|auth|passw|tok|sig=).*)")  # of these @assigned takes care


def _percent_triggers(rule: Rule) -> Iterable[tuple[Codec, bytes]]:
    """What the rule's literals look like when percent-encoded, where that hides them (`hooks.slack.com%2Fservices`) or
    what comes after them (a path, or base64 with its `+`, `/` and `=`)."""
    if rule.keywords or rule.trigger in TRIGGERS or "percent" not in (rule.decode or ("percent",)):
        return
    case = b"(?i)" if rule.shape.caseless else b""
    plain = _ESCAPED.sub(lambda m: chr(int(m[1], 16)) if m[1] else m[2], rule.pattern)
    for word in rule.shape.literals:
        if re.search(r"[/+$]", word.replace("://", "")) and len(re.findall(r"\w", word)) > 1:
            text = re.escape(quote(word, safe="").encode())
            text = re.sub(rb"%(\d)([A-F])", lambda m: b"%%%b[%b%b]" % (m[1], m[2], m[2].lower()), text)
            yield Codec("percent"), case + text
        elif "/" in plain and _HOST.fullmatch(word):
            yield Codec("percent"), case + re.escape(word).encode() + b"%2[Ff]"
        elif (
            len(word) >= 4 and _BASE64_CLASS.search(plain) and _LEFT.fullmatch(word) and not _PLAIN_WORD.fullmatch(word)
        ):
            yield Codec("percent", open=True), case + re.escape(word.encode("latin-1"))


# A host with a slash, or a slash with what stands beside it: its last characters will do.
_SLASH = re.compile(r"(?:[\w-]+\.){1,2}[a-z]{2,5}/(?!/)|://[a-z]{4}|\w{3,8}/[a-z]{3}")


def _slash_triggers(rules: Sequence[Rule]) -> Iterable[bytes]:
    """What the rules' literals look like where JSON escapes slashes, as PHP writes it: all as one, as few logs do."""
    words = set()
    for rule in rules:
        if not rule.keywords and rule.trigger not in TRIGGERS and "escape" in (rule.decode or ("escape",)):
            for word in rule.shape.literals:
                if part := _SLASH.search(word + "/" if _HOST.fullmatch(word) else word):
                    words.add(re.escape(part[0][-9:]).replace("/", r"\\{1,3}/"))
    if words:
        yield f"(?:{'|'.join(sorted(words))})".encode()


def _base64_codecs(rules: Sequence[Rule]) -> Iterable[tuple[Codec, bytes]]:
    """Literals in base64, those of critical rules in hex as well."""
    literals: dict[bytes, bool] = {}  # the start of it → whether losing it is critical
    for rule in rules:
        if rule.keywords or rule.shape.caseless or rule.severity not in ("critical", "high"):
            continue
        if rule.decode is not None and not {"base64", "hex"} & {*rule.decode}:
            continue
        for word in rule.shape.literals:
            if len(word) >= 4:
                raw = word.encode("latin-1")[:6]  # longer tells no more, and many share their start
                literals[raw] = literals.get(raw, False) or rule.severity == "critical"
    if any(rule.trigger in TRIGGERS for rule in rules):
        literals = {word[:6]: False for word in _IN_BASE64} | literals
    seen: set[tuple[bytes, int]] = set()
    for raw, critical in sorted(literals.items()):
        for text, phase in _base64_triggers(raw):
            # `d0b1` stands in digests by chance; the other alignments of that literal are still looked for.
            if len(text) >= 4 and (text, phase) not in seen and not _HEX_ALONE.fullmatch(text):
                seen.add((text, phase))
                trigger = re.sub(rb"[+/]", lambda m: b"[+-]" if m[0] == b"+" else b"[/_]", text)
                yield Codec("base64", len(text), phase), trigger
        if critical:
            digits = raw.hex().encode()
            yield Codec("hex", len(digits)), b"(?i)" + digits


# What an assignment, a quoted value, an option or a URL with credentials turns into in percent-encoding, but not what
# every redirect has in it (`https%3A%2F%2Fhost%2Fpath`). Of an encoded value alone `encoded_values` takes care.
_PERCENT = (
    rb"%3[Dd](?:\+|%2[027Bb]|%3[CEce]|\w)",
    rb"\D%3[Aa](?:\+|%2[0127Bb]|%5[Cc]|[A-Za-z0-9])",
    rb"\d%3[Aa](?:\+|%2[0127Bb]|%5[Cc]|[A-Za-z]|\d(?:\D|\d\w))",  # not the time of a day
    rb"%(?:2[278]|3[Ee](?:%7[Bb])?)[A-Za-z0-9]",
    _GAP + rb"-{1,2}[A-Za-z]",
    # A password, but not the `//` of a URL, between a colon and an at sign.
    rb"(?:%3[Aa]|:)(?:%2[Ff])?(?:[^\s&%/@]|%(?:2[0-9A-Ea-e]|[013-9A-Fa-f]))[^\s&/@]{0,96}%40[A-Za-z0-9]",
    rb"(?i:password|passwd|secret|token|auth" + _GAP + rb"plain|masterauth|requirepass|bindpw"
    rb"|(?:[^a-z]|%20)(?:pass|pwd|pw|psk|auth|creds|bearer|basic|seed|rootpw|md5|sha|oper|authenticate|identify)"
    rb"|passphrase|passwort|kennwort|passe|credentials|apikey|api_key|auth_pass|community|radtest"
    rb"|" + _GAP + rb"(?:key|login|set|add|with|as))" + _GAP,
    rb"----(?:-|%20|\+)BEGIN" + _GAP,
    rb"(?i:passw(?:or)?d|pwd|secret)=[^\s&%]{0,60}%(?:2[134ABFabf]|40)",
    *_SAID_ENCODED,
)
_SIGN, _AGAIN = re.compile(rb"%(?=[(\[0-9])"), rb"%(?:25){0,2}"
# The same for any rules.
_ALWAYS = (
    (Codec("gzip", 28), rb"H4sI[A-Za-z0-9+/_-]{24}"),
    # A command of PowerShell, which is UTF-16 in base64: by its option, or as it begins with a variable.
    (Codec("base64", 32), rb"[-/](?i:%s)[ \"'\\,]{1,6}[A-Za-z0-9+/]{32}" % _ENCODED),
    (Codec("base64", 29), rb"JAB[A-Za-z0-9+/]A(?:[A-Za-z0-9+/]{4}){6}"),
    *((Codec("utf16", once=True), trigger) for trigger in _WIDE),
    *((Codec("percent"), trigger) for trigger in _PERCENT),
    # Quoted-printable: a sign of an assignment, and a line that goes on in the next one.
    *((Codec("terminal"), opening) for opening in terminal.OPENS),
    (Codec("percent"), rb"%1[Bb](?:\[|%5[Bb])"),
    (Codec("quoted"), rb"[\w\"']=3D[!-~]"),
    (Codec("quoted"), rb"[!-<>-~]=\r?\n[!-~]"),
    (Codec("lines"), rb"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----"),
    # Of unicode escapes those of `=`, `:`, `"`, `'`, `+`, `/`; not of `&<>`, which JSON encoders escape everywhere.
    (Codec("escape"), rb"\\u00(?:3[AaDd]|2[27BbFf])"),
    (Codec("escape"), rb"\\x(?:3[AaDd]|2[27])[A-Za-z0-9]"),
    (Codec("escape"), rb":(?:\\+/){2}[^\s/]{1,96}@"),
    # Slashes that PHP escapes: in a value that is no path, in the closing tag of a name.
    (Codec("escape"), rb"[a-z][A-Z0-9+][A-Za-z0-9+]{8,}\\{1,3}/"),
    (Codec("escape"), rb"\\{1,3}/[A-Za-z0-9+]{8,}[a-z][A-Z0-9+]"),
    (Codec("escape"), rb"<\\{1,3}/[\w.-]{0,24}(?i:password|passphrase|token|secret|key)>"),
    (Codec("html"), _NAMES + rb"[^\n&]{0,24}&(?:quot|apos|#3[49]|#x2[27]|#61|#x3[Dd]);"),
)


def codecs(rules: Sequence[Rule]) -> list[tuple[Codec, bytes]]:
    """The decode triggers for these rules, each with what it means."""
    out = [*_base64_codecs(rules), *_ALWAYS, *((Codec("escape"), trigger) for trigger in _slash_triggers(rules))]
    out += dict.fromkeys(one for rule in rules for one in _percent_triggers(rule))
    # What is encoded twice, as what a redirect hands on, shows in the next pass.
    out = [(c, _SIGN.sub(_AGAIN, trigger) if c.name == "percent" else trigger) for c, trigger in out]
    if any(rule.trigger in TRIGGERS for rule in rules):  # these look behind names that speak of a credential
        out += [(Codec("lines"), trigger) for trigger in _record_triggers()]
        out += [(Codec("table"), trigger) for trigger in _column_triggers()]
    return out
