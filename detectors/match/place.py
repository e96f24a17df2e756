"""Where a value stands: the name before it, what that is one of, and the signs around the value."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from detectors.match.chosen import HUMP, chosen
from detectors.match.names import BACK as NAME
from detectors.match.names import decides, named
from detectors.match.quick import among, found, quick

__all__ = ["PASSWORD", "Place", "company", "kind_of", "nearby", "of_passwords", "place"]

_NO_LETTER = bytes(c for c in range(256) if c not in range(97, 123))
_TAIL = 24  # bytes left of a value that hold its sign
# What a password is called, in its languages.
PASSWORD = (
    rb"(?i:pas+w(?:or|ro)?d|passwd|passphrase|passwort|pwd|pswd|kennwort|wachtwoord|has[lo]o|heslo|senha|contrase"
    rb"|passe\b|parola\b|pass[_ -]?phrase|pass[_ -]word|\bpsw|_psw|\bclave|_clave|l(?:o|\xc3\xb6)senord"
    rb"|adgangskode|passord|salasana|(?:s|\xc5\x9f|\xc5\x9e)ifre|lozinka|geslo|parool|jelsz|has\xc5\x82o|\bmdp)"
    rb"|\xe3\x83\x91\xe3\x82\xb9\xe3\x83\xaf\xe3\x83\xbc\xe3\x83\x89|\xe5\xaf\x86\xe7(?:\xa0\x81|\xa2\xbc)|\xe5\x8f\xa3\xe4\xbb\xa4"
    rb"|\xeb\xb9\x84\xeb\xb0\x80\xeb\xb2\x88\xed\x98\xb8|\xd0[\xbf\x9f]\xd0\xb0\xd1\x80\xd0\xbe\xd0\xbb\xd1\x8c"
    rb"|\xd0\x9f\xd0\x90\xd0\xa0\xd0\x9e\xd0\x9b\xd0\xac"
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
nearby = among(
    (
        rb"(?i:test|example|dummy|mock|fake|sample|fixture|assert|expect|demo|user|login|host|server|url|mail|_id|client|uid)",
    )
)


def company(before: bytes, after: bytes) -> tuple[str, ...]:
    """Features of what stands nearby: none where `nearby` says so."""
    tested = ("test nearby",) if _TEST(before) else ()
    return (*tested, "user or host nearby") if _COMPANY(before[:-1]) or _COMPANY(after) else tested


class Place(NamedTuple):
    """Where a value stands: the name before it, the letters of that, its kind, whether it speaks about a secret; and
    the features that it has."""

    name: bytes
    letters: bytes
    kind: str
    about: bool
    features: tuple[str, ...]

    def repeated(self, value: bytes) -> bool:
        """Whether the value says again what the name says."""
        if not self.name or len(value) < 4:
            return False
        value = value.lower()
        plain = value.translate(None, _NO_LETTER)
        return len(plain) > 3 and (plain in self.letters or (len(self.name) > 3 and self.name.lower() in value))

    def holds_chosen(self, value: bytes) -> bool:
        """Whether it is one of a password, and the value as people make them."""
        return not self.about and of_passwords(self.kind, value) and chosen(value)


def place(before: bytes, after: bytes) -> Place:
    """Where a value stands between the two: for most their line tells, which in dense text is the same for one value
    after another."""
    left = before[before.rfind(b"\n") + 1 :]
    name = named(left[-NAME:])
    if decides(name) and name[name.rfind(b".") + 1 :] not in _FURTHER and name != b"PasswordText":
        before, end = left, after.find(b"\n")
        if end >= 0 and after[end + 1 : end + 2] not in _GOES_ON:
            after = after[: end + 3]
    return _place(before, after)


@lru_cache(maxsize=1024)
def _place(before: bytes, after: bytes) -> Place:
    # What stands before `'…' === req.apiKey` names something else, and a line before it says nothing.
    turned = _REVERSED.match(after)
    name = b"" if turned else named(before[-NAME:])
    for _ in range(2):
        last = name[name.rfind(b".") + 1 :]
        if last not in _FURTHER:
            break
        if last in _VERBS and len(last) < len(name):
            name = name[: -len(last) - 1]  # `password.equals("…")`
            break
        further = named(before[-NAME : before.rindex(name) - len(before)])
        if further and (closed := before.rfind(b"</" + further)) >= 0:
            further = named(before[:closed][-NAME:])  # of `<key>Password</key><string>`
        if last in _SLOTS and kind_of(further) == "name none":
            break
        name = further or name
    name = b"Password" if name == b"PasswordText" and b" Type=" in before else name  # in a header of SOAP
    left = before[before.rfind(b"\n") + 1 :][-_TAIL:]
    tail = left if turned or (name and name in left) else before[-_TAIL:]
    return _of_place(name, tail, after[:2] if after[:1] in (b".", b"<") else after[:1])


@lru_cache(maxsize=1024)  # in dense text the same for one value after another
def _of_place(name: bytes, tail: bytes, behind: bytes) -> Place:
    """What the name and the signs around a value come to. `tail`, `behind`: right beside it."""
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
    return Place(name, plain, kind, about, tuple(feature for feature, holds in held if holds))


def of_passwords(kind: str, value: bytes) -> bool:
    """Whether a name of this kind says that such a value is a password."""
    return kind in ("name password", "name pass") or (kind == "name secret" and value[:1].isupper())


# What a test or a page does with a value, and what makes a text of one: the name stands before it.
_VERBS = frozenset(
    b"type fill val eq eql equal equals be to toBe toEqual toStrictEqual isEqualTo send_keys sendKeys set_value"
    b" setValue byte Some from new make with is was q qq default defaultValue".split()
)
_SLOTS = (b"value", b"Value", b"string")  # `name: DB_PASSWORD`, and a line further `value: …`
_FURTHER = _VERBS.union(_SLOTS)
_GOES_ON = (b".", b"!", b"=")  # a comparison, in the next line
_BESIDE = re.compile(rb"[\w)}\]],\s*[bu@]?\\?[\"'`]?$")  # another argument before it, not its name in quotes
_REVERSED = re.compile(rb"\\{0,3}[\"'`]\s?(?:\.equals(?:IgnoreCase)?\(|[!=]==?)\s?[A-Za-z_$]")
_OPERATORS = {b"(": "handed over", b",": "handed over", b">": "in markup"}
_OPERATORS |= {b":": "after a colon", b"=": "after an equals sign"}


def kind_of(name: bytes) -> str:
    """Of a name: `name password`, `name key`, `name none`."""
    return _of_name(name, b"")[0]


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
