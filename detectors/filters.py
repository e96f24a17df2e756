"""Filters: pure functions that say why a value is not a secret, or None when they have nothing against it."""

from __future__ import annotations

import math
import re
from collections import Counter

__all__ = ["entropy", "looks_like_hash", "placeholder"]

# Words that stand where a secret will be. Only such as random text practically never holds.
_WORDS = re.compile(
    rb"(?i)example|sample[_-]?(?:key|token|secret)|placeholder|redacted|censored|filtered|masked|hidden|removed|obfuscated"
    rb"|change[_-]?me|replace[_-]?(?:me|this|with)|(?:your|my|the|some|enter|insert|put)[_-](?:own[_-])?(?:\w{1,12}[_-])?"
    rb"(?:key|token|secret|pass|api|access|auth|client|account|user|db|database|here|id|bot|app|project)"
    rb"|your[_-]|-here\b|_here\b|(?:fake|dummy|bogus)[_-]?|notreal|not[_-]a[_-]|xxxx|\*{3}|\.{3}|\.\.\.|deadbeef|0{8}|foobar|lorem"
    rb"|abcdefghij|0123456789|1234567890|bcdefghijk|qwertyuiop|asdfghjkl|test[_-]?(?:key|token|secret|password)|topsecret"
)
# Expressions of templates, shells and programs: `${VAR}`, `$VAR`, `{{ x }}`, `<token>`, `%s`, `%(x)s`, `os.environ[`, …
_EXPRESSIONS = re.compile(
    rb"\$\{|\$\(|\{\{|\}\}|#\{|<%|%>|<[A-Za-z_$][\w .:-]{0,40}>|^<|^\$[A-Za-z_]|^%[sdv]$|^%\(|^@[A-Za-z]|^\{[\w.]*\}$|^%[A-Z_]+%$"
    rb"|(?i:process\.env|os\.environ|getenv|system\.get|secrets?\.[a-z_]{2,}$|config\[|env\[|params\[|vault:|arn:aws:|ref\+|op://)"
)
_UUID = re.compile(rb"^[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$")
_HASH_LENGTHS = frozenset((32, 40, 56, 64, 96, 128))
_HASH_CONTEXT = re.compile(
    rb"(?i)(?:sha-?(?:1|224|256|384|512)|md5|digest|checksum|hash|etag|commit|revision|\brev\b|integrity|fingerprint|"
    rb"blob|tree|parent|image|layer|trace[_-]?id|span[_-]?id|request[_-]?id|correlation|uuid|guid|build[_-]?id|nonce)"
    rb"[\"'\s:=@/_\[\]()-]{0,6}[\w-]{0,16}[\"'\s:=@/_\[\]()-]{0,4}$"
)

def entropy(value: bytes) -> float:
    """Shannon entropy in bits a character; 0 for the empty value."""
    size = len(value)
    if not size:
        return 0.0
    return max(0.0, -sum(n / size * math.log2(n / size) for n in Counter(value).values()))


def _sequence(value: bytes) -> bool:
    """Most of the value is one ascending, descending or constant run, or two characters, or a repeated short group."""
    size = len(value)
    if size < 6:
        return False
    if len(set(value)) <= max(2, size // 12):
        return True
    steps = Counter(b - a for a, b in zip(value, value[1:], strict=False))
    if max(steps[0], steps[1], steps[-1]) * 2 > size:
        return True
    return any(value[:n] * (size // n) == value[: size // n * n] for n in (2, 3, 4, 5, 6, 8, 10) if size >= 3 * n)


def placeholder(value: bytes) -> str | None:
    """Why `value` is a stand-in (`changeme`, `xxxx`, `${VAR}`, `aaaaaaaa`, a masked value), or None."""
    word = _WORDS.search(value)
    if word:
        return f"placeholder word {word[0].decode('ascii', 'replace').lower()!r}"
    if _EXPRESSIONS.search(value):
        return "an expression or a template, not a value"
    if _sequence(value):
        return "repeated or sequential characters"
    return None


def looks_like_hash(value: bytes, before: bytes) -> str | None:
    """Why `value` is a digest, a commit or a UUID rather than a key. `before`: text of its line left of it."""
    if _UUID.match(value):
        return "a UUID in the context of an identifier" if _HASH_CONTEXT.search(before) else None
    if len(value) in _HASH_LENGTHS and not value.strip(b"0123456789abcdefABCDEF") and _HASH_CONTEXT.search(before):
        return "a digest: its name says so"
    if value.isdigit() and len(value) < 40:
        return "digits only"
    return None
