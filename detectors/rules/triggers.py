"""Triggers that many rules share: something is assigned to a name that speaks of a credential, or a URL holds one.

Such names are the most frequent words that a scanner must look at, so each trigger is written as many expressions, each
of which starts with a literal of its own, as long and as telling as can be. Hyperscan finds all of them in one pass and
begins to match only where one stands: `token=` costs nothing in a line that speaks of `tokens`, while one expression
for all of these would start at every `token`, `key`, `app` and `auth`.
"""

from __future__ import annotations

import string
from collections.abc import Iterable, Mapping

from detectors.rules.issuers import ISSUERS, held

__all__ = ["ASSIGNED", "TRIGGERS"]

_QUOTES = "\"'`\\"
_FILL = r"""["'`\\ \t*]"""  # between a name and its operator
_TAIL = r"[\w.\-\]]"  # what a name may go on with
_CALL = r"""\([ \t]?["'`\\]"""
_OPERATOR = rf"(?:[=:>]|->|[+.?]{{1,2}}=|{_CALL})"
_COMPOUND = ("+=", ".=", "?=", "??=")  # `token += "…"`, `$token .= '…'`, `TOKEN ?= …`
_NEXT_LINE = r"[ \t]{0,2}(?:\r?\n|\\{1,2}n)[ \t]{1,40}"
# Six characters of value: nothing shorter is looked at, and no value starts with what ends one.
_VALUE = (
    r"""[^\w\n]{0,12}(?:[bBuUrRN]\\{0,7}["'])?(?:(?i:bearer|basic|token)[^\w\n]{1,4})?[^\s"'`\\,;&<>(){}\[\]|%]{6}"""
)
_LONG_VALUE = r"[^\w\n]{0,8}[A-Za-z0-9+/_=-]{6}[A-Za-z0-9+/_=.:-]{10}"

_KEYS = (
    "api access auth private signing encryption master service account secure webhook license app".split()
)  # that `key` may follow
_NAMES = (
    *"secret credential authcode passwd password passphrase pass_phrase passwort pswd _pwd".split(),
    *(f"{kind}{separator}key" for kind in _KEYS for separator in ("", "_", "-", r"\.")),
)
_UPPER = string.ascii_uppercase


def _escape(character: str) -> str:
    return f"\\x{ord(character):02x}"


def _assigned_to(name: str, operators: str, call: bool, value: str) -> Iterable[str]:
    """`name`, then an operator: at once, or after quotes and blanks."""
    operator = f"(?:[{operators}]|{_CALL})" if call else f"[{operators}]"
    for blank in ("", " ", "\t"):
        # A blank follows a word in every sentence, so what comes after it is fixed as well.
        start = name + (_escape(blank) if blank else "")
        yield from (f"{start}{_escape(sign)}{value}" for sign in operators)
        if blank != "\t":
            yield from (f"{start}{''.join(map(_escape, signs))}{value}" for signs in _COMPOUND)
        if call:
            yield f"{start}{_CALL}{value}"
        fill = f"{_QUOTES}*" if not blank else f"{_QUOTES} \t"
        yield from (f"{start}{_escape(sign)}{_FILL}{{0,8}}{operator}{value}" for sign in fill)


def _goes_on(name: str, characters: str) -> Iterable[str]:
    """`name` with one of `characters` after it, more of a name, an operator and a value."""
    for character in characters:
        yield f"{name}{_escape(character)}{_TAIL}{{0,23}}{_FILL}{{0,9}}{_OPERATOR}{_VALUE}"


def _credential() -> Iterable[str]:
    for name in _NAMES:
        yield f"(?i:{name}){_TAIL}{{0,24}}{_FILL}{{0,9}}(?: string[ \t]{{0,8}})?{_OPERATOR}{_VALUE}"
    for name in ("token", "pwd"):
        yield from _assigned_to(f"(?i:{name})", "=:>", True, _VALUE)
        # Not what runs on in lower case: `tokens=812` stands in every line of some services.
        yield from _goes_on(f"(?i:{name})", f"_.-]{string.digits}")
        yield f"(?i:{name}) string[ \t]{{0,8}}:?={_VALUE}"  # a type of Go or C#
    yield from _goes_on("token", _UPPER)
    # These are rarer, so that a class will do.
    yield from (f"{name}[A-Z]{_TAIL}{{0,23}}{_FILL}{{0,9}}{_OPERATOR}{_VALUE}" for name in ("Token", "TOKEN", "pwd"))


def _key() -> Iterable[str]:
    yield from _assigned_to("(?i:key)", "=:", False, _LONG_VALUE)
    yield f"(?i:key) string[ \t]{{0,8}}:?={_LONG_VALUE}"
    yield from (rf"(?i:key){sign}\\{{0,3}}[\"'][A-Za-z0-9+/_=-]{{16}}" for sign in (" <- ", r"\("))
    for name in ("_pass", "_auth", "_salt", "_creds", "_cred"):
        yield f"(?i:{name}){_FILL}{{0,9}}[=:]{_LONG_VALUE}"
    for name in ("token", "key", "secret", "password"):
        yield f"(?i:{name}),[A-Za-z0-9+/_=-]{{16}}"  # cells of a table
        # Below the name: a block of YAML, an element of XML
        yield from (f"(?i:{name}){sign}{_NEXT_LINE}[A-Za-z0-9+/_=-]{{16}}" for sign in (": [|>][+-]?", ">"))


def _url() -> Iterable[str]:
    for slashes in ("://", r":\\/\\/", r":\\//", r":/\\/"):
        yield slashes + r"""[^\s:@/"'<>\\]{0,80}:[^\s/"'<>`\\]{3,200}@[A-Za-z0-9\[$%_]"""


# What stands between a name and its value in other ways than by an assignment. Each is an expression of its own for
# each name: one with alternatives costs four times as much.
_QUOTED = r"""[bu@]?\\{0,3}["'][^\s"'\\]{6}"""
_RUN = "[A-Za-z0-9_.+/~!@#^*%$-]"
# In a sentence only what has a digit: words follow a name in every other line.
_SPOKEN = r"[A-Za-z_.+/~!@#^*%$-]{0,16}[0-9]"
# `compare(token, "…")`, `("password", "…")`, but no field of JSON that comes after a message.
_HANDED = r"""\\{0,3}["'\])]{0,3},\s{0,4}[bu@]?\\{0,3}["'][^\s"'\\]{6,64}\\{0,3}["'][),;\]} ]"""
# `= new X("…")`, `: str = "…"`, `[] = {"…"`, `'] === "…"`
_BREAK = r"(?:\r?\n|\\{1,2}n)"
_MADE = r"""(?:\[\w{0,8}\])?["'\]]{0,2} ?[:=(!][:=]{0,2} ?(?:new )?[\w.:<>|\[\]?&]{0,40}[=({\[ ]{0,3} {0,2}""" + _QUOTED
# Columns, a directive, a sentence
_SAID = r"""\\{0,3}["']?(?: is| was| set to| to| value)?[ \t]{0,48}[:=|-]?[ \t]{1,48}\\{0,3}["'`]?""" + _SPOKEN
_MISSPELT = (
    *"pasword pasward passwrod passowrd paswd passcode pword heslo jelszo senord".split(),
    *"kennwort wachtwoord contrase mot_de_passe motdepasse haslo senha salasana".split(),
    *"adgangskode passord parola sifre lozinka geslo parool".split(),
    *(r"has\xc5\x82o", r"jelsz\xc3\xb3", r"\xc5\x9fifre"),
)
_FOREIGN = "ароль АРОЛЬ 密码 密碼 口令 ワード 밀번호".split()
_FULL_WIDTH = r"\xef\xbc[\x9a\x9d]"  # the signs that look like a colon and an equals sign
_LITERAL = r"""\\{0,3}["'][^\s"'\\]{6,64}\\{0,3}["']"""
_BEFORE = "\n\t \"'([{,;&/|"
_SAID_NAMES = "secret passwd password passphrase credential passwort".split()


def _named() -> Iterable[str]:
    for name in _NAMES:
        yield rf"(?i:{name})[\w.\-]{{0,24}}{_MADE}"
    for name in (
        "secret",
        "passwd",
        "password",
        "passphrase",
        "credential",
        "passwort",
        "api[ _-]?key",
        "access[ _-]?key",
    ):
        yield rf"(?i:{name})[\w.\-]{{0,16}}{_HANDED}"
        yield rf"(?i:{name})[\w]{{0,12}}{_SAID}"
    for name in ("token", "pwd"):
        for sign in "\"'),]":
            yield rf"""(?i:{name}){_escape(sign)}["'\])]{{0,2}},?\s{{0,4}}[bu]?{_LITERAL}[),;\]}} ]"""
        yield rf"""(?i:{name})\\{{1,3}}["'],?\s{{0,4}}{_LITERAL}[),;\]}} ]"""
        for sign in (" =", " :", ":", "=", "[", "(", "s = [", "s=[", "s: [", 's":[', 's": ['):
            yield rf"(?i:{name}){''.join(map(_escape, sign))} ?[\w.:<>|\[\]?&]{{0,40}}[=({{\[ ]{{0,4}} {{0,2}}{_QUOTED}"
        yield rf"""(?i:{name})(?:\x20|\t)(?:is |was |set to )?[ \t]{{0,40}}[:=|-]?[ \t]{{0,48}}["'`]?{_SPOKEN}"""
    for name in ("password", "passphrase", "secret", "token", "_key"):
        for sign in (":", r":\x20[|>][+-]?", "=", r"\x20=", r"\x20=\x20\(", r"=\("):
            # Below the name. What ends a line without a value stands in few.
            yield rf"""(?i:{name}){sign}{_BREAK}[ \t]{{1,40}}\\{{0,3}}["'`]?{_RUN}{{6}}"""
    yield from (rf"(?i:{name})[\w.\x80-\xff\-]{{0,24}}\\{{0,3}}[\"'`]?[ \t]{{0,24}}[=:>]" for name in _MISSPELT)
    yield from ("".join(f"\\x{byte:02x}" for byte in name.encode()) for name in _FOREIGN)
    yield from (rf"(?i:{name}){_FULL_WIDTH}" for name in ("word", "secret", "token"))


_BARE = r"""[^\s"'`\\<>{}()$,;&\[\]|][^\s"'`\\<>{}(),;&\[\]|]{5}"""  # a dollar sign within, not first


def _pass() -> Iterable[str]:
    """`pw:…`, `/pass:…`: short names, so what stands before them is fixed as well."""
    for name in ("pass", "pwd", "pw"):
        for sign in _BEFORE:
            yield rf"""{_escape(sign)}(?i:{name})[:=]\\{{0,3}}["'`]?{_BARE}"""
        yield rf"""^(?i:{name})[:=]["'`]?{_BARE}"""


def _near() -> Iterable[str]:
    """A name that a literal stands near, with neither a colon nor an equals sign alone between the two."""
    between = r"""[^"'`\n\\:=]"""
    for name in (*_SAID_NAMES[:4], "credentials?", "token", "pwd", "api_?key", "secret_?key", "access_?key"):
        for sign in (
            r"\\{0,3}\x22[^,",
            "'[^,",
            r"\)[^",
            r"\][^",
            ",[^",
            r"\([^",
        ):  # sentences and JSON hardly have these
            yield (
                rf"""(?i:{name}){sign}{between[2:]}{between}{{0,8}}(?:=>|!==?)?{between}{{0,24}}(?:::)?{between}{{0,16}}"""
                rf"""\\{{0,3}}["'`][^\s"'`\\<>]{{6}}"""
            )


# Whatever lies between a name and a value: punctuation, a line break, words that say no more than that a value comes.
# The rules know which words; here their first letters do.
_BETWEEN = rf"(?:[^\w\n]{{1,10}}{_BREAK}?|{_BREAK})[^\w\n]{{0,12}}(?:[inwvVtsSd][a-z]{{1,8}}[^\w\n]{{1,12}}){{0,5}}"
_AFTER = rf"[^\w\n]{{0,10}}{_BREAK}?[^\w\n]{{0,12}}(?:(?:is|value|string)[^\w\n]{{1,8}}){{0,2}}"
_NESTED = r"[^\w\n]{1,10}(?:[inwvVtsSd][a-z]{1,8}[^\w\n]{1,12}){1,6}"  # `"token": { "type": "string", "value": "…`
_LOOSE_VALUE = "[A-Za-z0-9/_+=.~-]{16}"
_SIGNS = " \t\"'>()],|=:"
_SIGN = f"[{''.join(map(_escape, _SIGNS))}]"


def _nested(name: str) -> Iterable[str]:
    quotes = (r"\x22", r"\\{1,3}\x22") if name in ("token", "_key", "-key") else (r"\\{0,3}\x22",)
    yield from (rf"(?i:{name}){quote}{_NESTED}{_LOOSE_VALUE}" for quote in quotes)


def _loose() -> Iterable[str]:
    for name in (*_NAMES, "api key", "access key", "secret key", "signing key", "encryption key"):
        yield rf"(?i:{name})[\w.\-]{{0,16}}{_BETWEEN}{_LOOSE_VALUE}"
    # Words that stand in every other line: with what comes next.
    for name in ("token", "pwd"):
        yield from (rf"(?i:{name}){_escape(sign)}{_AFTER}{_LOOSE_VALUE}" for sign in "\t\"'>()],|*`")
        yield from (rf"(?i:{name}) {_escape(sign)}{_AFTER}{_LOOSE_VALUE}" for sign in "-|`*>")
        yield rf"(?i:{name}) is now {_LOOSE_VALUE}"
        yield from _nested(name)
    for name in ("_key", "-key", "_secret"):
        yield from _nested(name)
    for name in ("_key", "-key", "_token"):
        yield from (rf"(?i:{name}){_escape(sign)}{_AFTER}{_LOOSE_VALUE}" for sign in _SIGNS)
    yield from (rf"(?i:{name}){_SIGN}{_AFTER}{_LOOSE_VALUE}" for name in ("_pass", "-pass"))
    yield from (rf"Key{_escape(sign)}{_AFTER}{_LOOSE_VALUE}" for sign in "\"'>(")


def _loose_password() -> Iterable[str]:
    for name in ("passwd", "password", "passphrase", "passwort"):
        yield rf"(?i:{name})[\w.\-]{{0,16}}{_BETWEEN}{_SPOKEN}"
    for name in ("_pass", "-pass", "_pwd", "_psk", "-psk", "_pw", "-pw", " psk"):
        yield rf"(?i:{name}){_SIGN}{_AFTER}{_SPOKEN}"
    yield from (rf"{name}{_SIGN}{_AFTER}{_SPOKEN}" for name in ("Pass", "Psk"))


# What such a name ends in that is no word for a credential: `VSCE_PAT`, `viber_auth`, `acmeOAuth`, `bearer=`.
_KINDS = ("(?i:_pat)", "(?i:-pat)", "Pat", "PAT", "(?i:_auth)", "(?i:-auth)", "(?i:oauth)2?", "Auth", "(?i:bearer)")


_TYPED = rf"[^\w\n]{{0,10}}{_BREAK}?[^\w\n]{{0,12}}(?:(?:is|was|now|value|str|string|String)[^\w\n]{{1,8}}){{0,3}}"


def _kind() -> Iterable[str]:
    for name in _KINDS:
        yield rf"""{name}[ \t"'`)\]|>:=,(\n\\]{_TYPED}[A-Za-z0-9/_+=.~:-]{{16}}"""


# By name, as the packs write them: `@assigned`: a name that speaks of a credential, an assignment, six characters of
# value; `@assigned-key`: some other key and a longer value; `@url`: a URL with a password in it; `@named`: such a name
# and a value in another way; `@pass`: `pass`, `pw`, `pwd`, a value right behind; `@near`: such a name and a literal
# in quotes near it; `@loose`, `@loose-password`: such a name, a value, and no sentence between the two; `@kind`: a
# name that ends in the kind of a token; `@issuer`: an issuer's name that holds a value.
TRIGGERS: Mapping[str, tuple[str, ...]] = {
    "@assigned": (*_credential(),),
    "@assigned-key": (*_key(),),
    "@url": (*_url(),),
    "@named": (*_named(),),
    "@pass": (*_pass(),),
    "@near": (*_near(),),
    "@loose": (*_loose(),),
    "@loose-password": (*_loose_password(),),
    "@kind": (*_kind(),),
    "@issuer": (*map(held, sorted(ISSUERS)),),
}
ASSIGNED = (TRIGGERS["@assigned"], TRIGGERS["@assigned-key"])  # keyword rules are mostly found by these, too
