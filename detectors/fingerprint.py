"""A secret's identity and its preview: keyed, normalised, masked."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import re
from functools import lru_cache

import orjson

__all__ = ["b64decode", "fingerprint", "mask", "normalise"]

_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]{0,40})-----(.*?)-----END [A-Z0-9 ]{0,40}-----", re.DOTALL)
_PUTTY = re.compile(rb"PuTTY-User-Key-File-\d.*?Private-Lines: ?\d+(.*?)(?:Private-(?:MAC|Hash)|\Z)", re.DOTALL)
_ESCAPED_BREAK = re.compile(rb"\\+[nrt]|\\+u000[9adAD]|%0[AaDd]|&#1[03];")
_SHOWN = re.compile(r"[^\x20-\x7e]")


def normalise(secret: bytes) -> bytes:
    """The value itself, free of how it was written: quotes, white space, JSON escapes, the line breaks of a PEM.

    A PEM logged on one line with literal `\\n` gives the same bytes as the file.
    """
    if pem := _PEM.search(secret) if secret.find(b"-----BEGIN") >= 0 else None:
        body = _ESCAPED_BREAK.sub(b"", pem[2])
        # Old encrypted keys carry RFC 1421 headers ("Proc-Type: …") that a flattened copy cannot be split from safely.
        return b"PEM " + pem[1] + b" " + re.sub(rb"[^A-Za-z0-9+/=:,-]", b"", body)
    if putty := _PUTTY.search(secret) if secret.find(b"PuTTY") >= 0 else None:  # whatever its comment says
        return b"PuTTY " + re.sub(rb"[^A-Za-z0-9+/=]", b"", _ESCAPED_BREAK.sub(b"", putty[1]))
    value = secret.strip().strip(b"\"'`").strip()
    if value.find(b"\\") >= 0:
        with contextlib.suppress(orjson.JSONDecodeError):  # a backslash of its own, not an escape
            value = orjson.loads(b'"' + value + b'"').encode()
    return value


def fingerprint(key: bytes, secret: bytes) -> str:
    """HMAC-SHA256 of the normalised value, 64 hex digits: the same value, the same fingerprint, wherever it is seen."""
    mac = _keyed(key).copy()
    mac.update(normalise(secret))
    return mac.hexdigest()


@lru_cache(maxsize=4)
def _keyed(key: bytes) -> hmac.HMAC:
    """To be copied: to begin takes longer than the rest."""
    return hmac.new(key, digestmod=hashlib.sha256)


def mask(secret: bytes, prefixes: tuple[str, ...] = ()) -> str:
    """`ghp_ab12…[40]`: a fixed prefix of the rule and up to 4 further characters, at most a quarter; then the length.

    Encoded control characters show as `?`, so a preview is always one line of ASCII.
    """
    if secret.startswith(b"-----BEGIN") and (pem := _PEM.match(secret)):
        return f"-----BEGIN {pem[1].decode()}-----…[{len(secret)}]"
    text = secret.decode("ascii", "replace")
    prefix = max(map(len, filter(text.startswith, prefixes))) if text.startswith(prefixes) else 0
    shown = text[: min(prefix + 4, len(text) // 4)]
    return f"{shown if shown.isprintable() and shown.isascii() else _SHOWN.sub('?', shown)}…[{len(secret)}]"


def b64decode(text: bytes) -> bytes | None:
    """Standard or URL-safe base64 with or without padding; None when it is not base64."""
    text = text.rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
    if len(text) % 4 == 1:
        return None
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except ValueError:
        return None
