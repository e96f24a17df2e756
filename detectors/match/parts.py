"""Of a structured value its secret part: comments, headers, names and hosts in it say nothing about the secret."""

from __future__ import annotations

import re
from collections.abc import Callable

import orjson

__all__ = ["BEGINS", "secret_part"]

_BREAK = re.compile(rb"(?:\\+[nr]|%0[AaDd]|&#1[03];|[\r\n])+")
_HEADER = re.compile(rb"\s*[A-Za-z][A-Za-z0-9-]{0,63}: ?(?![A-Za-z0-9+/]{64})")
_BODY = re.compile(rb"[A-Za-z0-9+/]{40}")  # no header has such a run
_RUN = re.compile(rb"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{32,}")  # what stands before it is of the record of its line
_ARMOUR = {  # pattern of what has the secret part in its group → whether headers stand in that
    # PuTTY: the comment and the public half stand before, the check sum behind.
    re.compile(rb"PuTTY-User-Key-File-\d.*?Private-Lines: ?\d+(.*?)(?:Private-(?:MAC|Hash)|\Z)", re.DOTALL): False,
    # PEM, RFC 4716, OpenPGP: the label stands in the first and the last line, headers before the body.
    re.compile(rb"-{4,5} ?BEGIN [^-]{1,64}-{4,5}(.*?)(?:-{4,5} ?END|\Z)", re.DOTALL): True,
    re.compile(rb"\$ANSIBLE_VAULT;[\w.;@-]*(.*)", re.DOTALL): False,  # the name of the vault
}
_URL = re.compile(rb"https?://(?:([^/?#@\s]*)@)?[^/?#\s]*[/?#]?(.*)", re.DOTALL)
_NAMES = frozenset(
    "n name id o org r region m host url user username login email client_email client_id project_id account type kid "
    "auth_uri token_uri comment description label title".split()
)


def secret_part(value: bytes) -> bytes:
    """What of `value` is the secret itself; all of it where nothing tells that it has parts."""
    for begin, read in _FORMATS if value.startswith(BEGINS) else ():
        if value.startswith(begin) and (part := read(value)):
            return part
    return value


def _armoured(value: bytes) -> bytes:
    for pattern, headers in _ARMOUR.items():
        if found := pattern.match(value):
            return _without_headers(found[1]) if headers else found[1]
    return value


def _without_headers(text: bytes) -> bytes:
    """Without `Name: value`, what goes on with it behind a backslash at the end of its line, and what a log puts around
    each line."""
    out, goes_on = [], False
    for line in _BREAK.split(text):
        header = goes_on or _HEADER.match(line) is not None
        goes_on = header and line.endswith(b"\\")
        if not header:
            out.append(line)
        elif body := _BODY.search(line):  # all on one line
            out.append(line[body.start() :])
    if any(found.start() for line in out if (found := _RUN.search(line))):
        out = [run for line in out for run in _RUN.findall(line)]
    return b"\n".join(filter(None, out))


def _of_url(value: bytes) -> bytes:
    url = _URL.match(value)
    return b"/".join(filter(None, url.groups())) or value if url is not None else value


def _of_json(value: bytes) -> bytes:
    """What its fields say but those that name something."""
    try:
        fields = orjson.loads(value)
    except orjson.JSONDecodeError:
        return value
    if not isinstance(fields, dict):
        return value
    held = [text for name, text in fields.items() if name.lower() not in _NAMES and isinstance(text, str)]
    return "\n".join(held).encode()


_FORMATS: tuple[tuple[bytes, Callable[[bytes], bytes]], ...] = (
    (b"PuTTY-", _armoured),
    (b"----", _armoured),
    (b"$ANSIBLE_VAULT", _armoured),
    (b'{"', _of_json),
    (b"https://", _of_url),  # not `op://…`, which is a reference
    (b"http://", _of_url),
)
BEGINS = tuple(begin for begin, _ in _FORMATS)
