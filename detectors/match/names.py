"""The name that a value stands behind, in code, settings and records."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import cache, lru_cache

from detectors.rules.issuers import ISSUERS
from monitor.common.regex import UNANCHORED, Search, compile_search

__all__ = ["BACK", "bare", "decides", "identifies", "named", "one_of"]

BACK = 96  # bytes left of a value that a name is looked for in
# The last name before a value. By RE2, as the other engine tries every end for every start.
_TYPE = r"(?:\s*(?:[aA]s )?(?:string|str|char|text|String|const|&))?"
# What is no word, in ASCII and of the signs of others (“ « ： and such).
_SIGN = r"(?:[^\w\x80-\xff]|\xe2\x80[\x80-\xbf]|\xc2[\xa0-\xbf]|\xe3\x80[\x80-\xbf]|\xef\xbc[\x80-\xbf])"
_NAME = r"([A-Za-z_$@\x80-\xff][\w$.@\x80-\xff-]*)[\"'`\\\])>]*" + _TYPE + _SIGN + r"{0,60}\n?\z"

_NO_WORD = bytes(code for code in range(128) if not (chr(code).isalnum() or code == 95))
_BETWEEN = frozenset((b"", b"as", b"string", b"str", b"char", b"text", b"const"))

_WORD = re.compile(r"[A-Z]{2,}(?![a-z])|[A-Z]?[a-z]+")
_JOINED = re.compile(r"(.+)(keys?|tokens?)")  # `dedupkey`
# Before the word key or token: that it opens something.
_OPENS = frozenset(
    "access account admin aes api app application auth authentication authorization backend bearer bootstrap bot "
    "cipher client consumer credential credentials crypto decrypt decryption deploy deployment encrypt encrypted "
    "encryption gpg hmac hook id internal join jwe jwk jws jwt licence license login management master oauth pass "
    "passwd password personal pgp pre priv private psk publish recovery refresh registration root rsa secret "
    "secrets security server service shared sign signature signing ssh ssl storage stripe subscription tls unseal "
    "upload user vault webhook wifi wpa write".split()
)
# Of these, alone before the word key: whose it is, which says as little of what it opens as `memberKey` does.
_WHOSE = frozenset("account login user".split())
# Before the word token or code: that it says how far something came, or that a page or a process is the same.
_TELLS_APART = frozenset(
    "aggregation channel continuation correlation csrf cursor dedup deduplication idempotency next page pagination "
    "paging pipe prev previous resume scroll starting sync xsrf".split()
)
_KEYS = frozenset("key keys pin sig auth".split())
_TOKENS = frozenset("token tokens code codes".split())
_IDS = frozenset("cookie cookies etag guid guids id ids oid ref session sessions sessid sid uid uuid uuids".split())
_HELD_BY_ID = frozenset("access key secret token".split())  # `secret_id` of Vault, `token_id` of Proxmox


@lru_cache(maxsize=4096)
def _words(name: bytes) -> tuple[str, ...]:
    """`eventDedup_KEY`, `event_dedupkey` → event, dedup, key; of what stands behind the last dot."""
    last = name.decode("latin-1").rpartition(".")[2]
    words = [word.lower() for word in _WORD.findall(last)] or [""]
    joined = _JOINED.fullmatch(words[-1])
    return (*words[:-1], *joined.groups()) if joined else tuple(words)


def identifies(name: bytes) -> bool:
    """Whether what is called so tells things apart or is one of them: `pageToken`, `object_id`, `session`."""
    *before, last = _words(name)
    if last in _IDS:
        return not _HELD_BY_ID & {*before}
    # The word right before it decides: a `service_channel_token` is one of a channel.
    return last in _TOKENS and bool(_TELLS_APART & {*before}) and (before[-1] in _TELLS_APART or not _OPENS & {*before})


def bare(name: bytes) -> bool:
    """Whether nothing in the name of a key says what it opens: `key`, `auth`, `aggregationKey`, `userKey`."""
    *before, last = _words(name)
    if last == "key" and len(before) == 1 and before[0] in _WHOSE:
        return True
    return last in _KEYS and not (_OPENS & {*before} or ISSUERS & {*before, "".join(before)})


@cache
def _regex() -> Search:
    return compile_search(_NAME)


def named(before: bytes) -> bytes:
    """The name, dots in it included, or nothing. `before`: up to BACK bytes left of the value."""
    # In dense text the line is the same for one value after another. What stands in it is the name, but what may stand
    # between one in the line before and the value.
    begin = before.rfind(b"\n") + 1
    name = _in(before[begin:])
    return name if not begin or decides(name) else _in(before)


def decides(name: bytes) -> bool:
    """Whether what stands before the name in its line, or above it, is no name of the value."""
    return bool(name) and name.lower().translate(None, _NO_WORD) not in _BETWEEN


@lru_cache(maxsize=1024)
def _in(before: bytes) -> bytes:
    spans = _regex()(UNANCHORED, before, 0, len(before))
    return before[spans[1][0] : spans[1][1]] if spans[0][0] >= 0 else b""


def one_of(before: bytes, names: Collection[str]) -> str:
    """Which of `names`, in lower case, the value stands behind: by its whole name, or by the last part of it."""
    name = named(before[-BACK:]).decode("latin-1").lower()
    return next((one for one in (name, name.rpartition(".")[2]) if one in names), "")
