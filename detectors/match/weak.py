"""Passwords that people chose badly. Alone `password123` stands in for one; beside its user or its host it is one.

What the filters and the score refuse is looked at once more here, and told with low confidence where its place speaks
for it: behind the name of a password with a user or a host nearby or in its object of JSON, or between the two.
"""

from __future__ import annotations

import re

from detectors.match import doubt
from detectors.match.filters import marked
from detectors.match.quick import found
from detectors.match.score import AHEAD, plain

__all__ = ["in_object", "may_be", "weak"]

# Letters with two digits, with one among them (`passw0rd`) or with a sign; digits alone, or keys side by side.
_CHOSEN = re.compile(
    rb"(?=.*[A-Za-z])(?=.*[0-9].*[0-9]|.*[A-Za-z][0-9][A-Za-z]|.*[0-9!@#$%^&*+])[\w!@#$%^&*.+-]{6,32}"
    rb"|(?!0+\Z)[0-9]{6,10}|(?i:qwerty(?:uiop)?|asdf(?:gh(?:jkl)?)?|zxcvbn?m?|1q2w3e4r|qazwsx)"
)
_LOGIN = found(rb"[\w.%+-]{1,60}:\z")
_OF_PASSWORDS = frozenset(("name password", "name pass"))


_STAGES = frozenset(("placeholder", "score", "hash", "words"))
_USERS = (b'"user"', b'"username"', b'"user_name"', b'"login"', b'"email"', b'"host"')


def in_object(stage: str, value: bytes, before: bytes, data: bytes | bytearray | memoryview, end: int) -> bool:
    """Whether the value, refused at `stage`, is a badly chosen password whose user or host stands further right, as a
    field of the same object of JSON: many write fields in the order of the alphabet. `end`: where it ends in `data`."""
    if stage not in _STAGES or before[-1:] != b'"':
        return False
    right = bytes(data[end : end + doubt.AHEAD])
    if right[:1] != b'"':
        return False
    fields = _fields(right.lower())
    return any(name in fields for name in _USERS) and weak(stage, value, before, right[:AHEAD], company=True)


def _fields(right: bytes) -> bytes:
    """The names and plain values up to where the object ends, without what its fields hold in brackets."""
    first, *rest = (
        right.replace(b"[", b"{").replace(b"]", b"}").replace(b"{", b"\0{").replace(b"}", b"\0}").split(b"\0")
    )
    out, depth = [first], 0
    for part in rest:
        depth += 1 if part[:1] == b"{" else -1
        if depth < 0:
            break
        if not depth:
            out.append(part)
    return b"".join(out)


def may_be(stage: str, value: bytes) -> bool:
    """Whether a value that was refused at `stage` may be one: none is, wherever it stands, where not."""
    return stage in _STAGES and _CHOSEN.fullmatch(value) is not None


def weak(stage: str, value: bytes, before: bytes, after: bytes, company: bool = False) -> bool:
    """Whether the value, refused at `stage`, is a badly chosen password all the same. `company`: a user or a host is
    known to belong to it."""
    if not may_be(stage, value) or marked(value):
        return False
    if after[:1] == b"@" and _LOGIN(before[-64:]):  # `user:…@host`
        return True
    features = plain(value, before, after)
    if stage == "words" and not ("mixed" in features and "quoted" in features):
        return False
    if "compared" in features and "bare" in features:  # with a variable
        return False
    return not _OF_PASSWORDS.isdisjoint(features) and (company or "user or host nearby" in features)
