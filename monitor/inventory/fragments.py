"""What of a value is secret: pure. The password of a connection string, the key of a PEM bundle, else all of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

__all__ = ["parts"]

_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]{0,40})-----.*?-----END \1-----", re.DOTALL)
_URI = re.compile(rb"[a-z][a-z0-9+.-]{1,24}://([^\s/@:]*):([^\s/@]+)@", re.IGNORECASE)
# Pairs with semicolons between them, as .NET, ODBC and Azure write connection strings
_ITEM = rb"(?:\"[^\"]*\"|'[^']*'|[^;\"']*)"
_PAIR = re.compile(
    rb"(?i)(?:^|;)\s*(password|pwd|accountkey|sharedaccesskey|sharedaccesssignature|secret|token|access_?key)\s*=\s*("
    + _ITEM
    + rb")"
)
_PAIRS = re.compile(rb"\s*[\w .-]+=" + _ITEM + rb"(?:;\s*[\w .-]+=" + _ITEM + rb")+;?\s*")


def parts(value: bytes) -> Iterator[tuple[str, bytes]]:
    """(what it is, its bytes); an empty name for the whole value. The same part may come in two spellings."""
    value = value.strip()
    blocks = [(block[1].decode().lower(), block[0]) for block in _PEM.finditer(value)]
    if blocks:
        keys = [block for name, block in blocks if "private key" in name]
        yield from [("private key", key) for key in keys] or [("", value)]
        return
    if uri := _URI.match(value):
        yield from _spellings(uri[2])
        return
    if _PAIRS.fullmatch(value) and (pairs := list(_PAIR.finditer(value))):
        yield from ((pair[1].decode().lower(), pair[2].strip(b"\"' ")) for pair in pairs)
        return
    yield "", value


def _spellings(password: bytes) -> Iterator[tuple[str, bytes]]:
    yield "password", password
    if (plain := unquote_to_bytes(password)) != password:
        yield "password", plain
