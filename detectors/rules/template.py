"""Example templates: text with fields such as `{alnum:36}` that expand to synthetic secrets from a seed.

Rules carry their examples as templates, so that no token-shaped text lies in the repository. `{{name}}`-like text that
names no field stays as it is, so JSON braces need no escape.

Fields
    {alnum:N} {alpha:N} {lower:N} {upper:N} {digit:N} {hex:N} {HEX:N} {lownum:N} {upnum:N}
    {base64:N} {base64url:N} {base32:N} {base58:N} {word:N} {ascii:N}    N characters; N may be a range, `8-20`
    {x:N}                              a masked value of N x
    {uuid}                             a random version 4 UUID
    {crc32} {crc32hex}                 base62 (6, zero-padded) or hex (8) CRC32 of the field before it
    {jwt:role=anon;iss=supabase}       a signed-looking JWT (HS256) with these claims
    {pem:RSA PRIVATE KEY}              a PEM block with random body; {pemline:…} the same with literal \\n
    {b64(TEMPLATE)} {b64url(TEMPLATE)} {hexof(TEMPLATE)} {pct(TEMPLATE)} {gz64(TEMPLATE)}   an encoded template
    {aws-id:AKIA}                      an AWS key id with a plausible account
    {supabase-secret} {supabase-publishable}   the self-hosted format with its check characters
    {pick:a|b|c}                       one of the words
"""

from __future__ import annotations

import base64
import hashlib
import random
import re
import string
import uuid
import zlib
from collections.abc import Callable
from functools import cache
from urllib.parse import quote

import orjson

__all__ = ["TemplateError", "base62_crc32", "expand"]


class TemplateError(ValueError):
    """A template field that is not known or has bad arguments; names the field and its column."""


_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
_CHARSETS: dict[str, str] = {
    "alnum": string.ascii_letters + string.digits,
    "alpha": string.ascii_letters,
    "lower": string.ascii_lowercase,
    "upper": string.ascii_uppercase,
    "digit": string.digits,
    "hex": string.digits + "abcdef",
    "HEX": string.digits + "ABCDEF",
    "lownum": string.ascii_lowercase + string.digits,
    "upnum": string.ascii_uppercase + string.digits,
    "base64": string.ascii_letters + string.digits + "+/",
    "base64url": string.ascii_letters + string.digits + "-_",
    "base32": string.ascii_uppercase + "234567",
    "base58": "".join(c for c in string.digits + string.ascii_letters if c not in "0OIl"),
    "x": "x",
    "word": string.ascii_letters + string.digits + "_",
    "ascii": string.ascii_letters + string.digits + "!#$%&*+-.=?@^_~",
}


def _gz64(text: str) -> str:
    import gzip  # slow to import, and every start comes by

    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


_FIELD = re.compile(r"\{([A-Za-z][A-Za-z0-9-]*)(?::([^{}]*)|\(((?:[^{}()]|\{[^{}]*\})*)\))?\}")
_WRAPPERS: dict[str, Callable[[str], str]] = {
    "b64": lambda text: base64.b64encode(text.encode()).decode(),
    "b64url": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "hexof": lambda text: text.encode().hex(),
    "pct": lambda text: quote(text, safe=""),
    "gz64": _gz64,
}


def base62_crc32(data: bytes) -> str:
    """CRC32 of `data` as six base62 digits (0-9A-Za-z), as GitHub and npm append it to their tokens."""
    number, digits = zlib.crc32(data), ""
    for _ in range(6):
        number, digit = divmod(number, 62)
        digits = _BASE62[digit] + digits
    return digits


_RUN = re.compile(r"(.)\1{3}")


def _random_text(charset: str, length: int, rng: random.Random, typical: bool) -> str:
    """Random text; `typical`: as a real credential looks: long ones hold every class of their charset and no runs."""
    classes = _classes(charset)
    while True:
        text = "".join(rng.choices(charset, k=length))
        if not typical:
            return text
        # A real generator's output passes our filters nearly always; an example must pass them always.
        if length >= 12 and not all(pair.search(text) if length >= 16 else one.search(text) for one, pair in classes):
            continue
        if length >= 16 and len(charset) > 10 and _RUN.search(text):
            continue
        return text


@cache
def _classes(charset: str) -> list[tuple[re.Pattern[str], re.Pattern[str]]]:
    """Of each class that the charset has many characters of, what finds one in a text, and two."""
    groups = (string.digits, string.ascii_lowercase, string.ascii_uppercase)
    many = ["".join(c for c in charset if c in group) for group in groups]
    return [(re.compile(f"[{each}]"), re.compile(f"[{each}].*[{each}]")) for each in many if len(each) >= 6]


_LONGEST = 100_000  # characters of one field


def _length(name: str, argument: str | None, rng: random.Random) -> int:
    match = re.fullmatch(r"(\d+)(?:-(\d+))?", argument or "")
    if not match:
        raise TemplateError(f"{{{name}:…}} needs a length such as {{{name}:32}} or {{{name}:8-20}}")
    low, high = int(match[1]), int(match[2] or match[1])
    if not low <= high <= _LONGEST:
        raise TemplateError(f"{{{name}:{argument}}}: write the shorter length first, and {_LONGEST} at most")
    return rng.randint(low, high) if match[2] else low


def _b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _jwt(argument: str, rng: random.Random) -> str:
    claims: dict[str, object] = {}
    for part in filter(None, argument.split(";")):
        key, _, value = part.partition("=")
        if value == "*":
            value = _random_text(_CHARSETS["lower"], 20, rng, True)
        claims[key] = int(value) if value.isdigit() else value
    issued = 1_600_000_000 + rng.randrange(150_000_000)
    claims |= {"iat": issued, "exp": issued + 315_360_000}
    head = _b64url(orjson.dumps({"alg": "HS256", "typ": "JWT"}))
    return f"{head}.{_b64url(orjson.dumps(claims))}.{_b64url(rng.randbytes(32))}"


def _pem(label: str, rng: random.Random, newline: str) -> str:
    # DER opens with a SEQUENCE header, as every real key does; the rest is noise.
    size = 96 if label.startswith("EC") or label == "PRIVATE KEY" else 420
    body = base64.b64encode(b"0\x82" + (size + 3).to_bytes(2, "big") + b"\x02\x01\x00" + rng.randbytes(size)).decode()
    lines = [body[i : i + 64] for i in range(0, len(body), 64)]
    return newline.join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----"])


def _aws_id(prefix: str, rng: random.Random) -> str:
    number = (1 << 47) | rng.randrange(10**11, 10**12) << 7 | rng.randrange(128)
    number &= (1 << 48) - 1
    return prefix + base64.b32encode(number.to_bytes(6, "big") + rng.randbytes(4)).decode()[:16]


def _supabase(kind: str, rng: random.Random) -> str:
    head = f"sb_{kind}_" + _random_text(_CHARSETS["base64url"], 22, rng, True)
    prefix, rand = head[:-22], head[-22:]
    return f"{head}_" + _b64url(hashlib.sha256(f"supabase-self-hosted|{prefix}{rand}".encode()).digest())[:8]


# What a field comes to, by its name: from its argument, chance, and the text of the field before it.
_FIELDS: dict[str, Callable[[str, random.Random, bytes], str]] = {
    "uuid": lambda _, rng, before: str(uuid.UUID(bytes=rng.randbytes(16), version=4)),
    "crc32": lambda _, rng, before: base62_crc32(before),
    "crc32hex": lambda _, rng, before: f"{zlib.crc32(before):08x}",
    "jwt": lambda argument, rng, before: _jwt(argument, rng),
    "pem": lambda argument, rng, before: _pem(argument or "PRIVATE KEY", rng, "\n"),
    "pemline": lambda argument, rng, before: _pem(argument or "PRIVATE KEY", rng, "\\n"),
    "aws-id": lambda argument, rng, before: _aws_id(argument or "AKIA", rng),
    "supabase-secret": lambda _, rng, before: _supabase("secret", rng),
    "supabase-publishable": lambda _, rng, before: _supabase("publishable", rng),
    "pick": lambda argument, rng, before: rng.choice(argument.split("|")),
}


def expand(template: str, seed: int | str = 0, typical: bool = True) -> str:
    """Expand `template`; the same seed gives the same text. Raises TemplateError on a field with bad arguments.

    `typical`: random fields look as most do, with digits among letters and no runs; else whatever chance gives.
    """
    return _expand(template, random.Random(f"{seed}:{template}"), typical)


def _expand(template: str, rng: random.Random, typical: bool) -> str:
    output: list[str] = []
    previous = ""  # text of the last field, for checksums
    at = 0
    for match in _FIELD.finditer(template):
        name, argument, inner = match.groups()
        text: str
        if inner is not None and name in _WRAPPERS:
            text = _WRAPPERS[name](_expand(inner, rng, typical))
        elif inner is not None:
            continue
        elif name in _CHARSETS:
            text = _random_text(_CHARSETS[name], _length(name, argument, rng), rng, typical)
        elif name in _FIELDS:
            text = _FIELDS[name](argument or "", rng, previous.encode())
        elif argument is not None and re.fullmatch(r"\d+(-\d+)?", argument):
            raise TemplateError(f"column {match.start() + 1}: no field is called {name!r}")
        else:
            continue  # braces that are not ours: JSON, shell, …
        output += (template[at : match.start()], text)
        previous, at = text, match.end()
    output.append(template[at:])
    return "".join(output)
