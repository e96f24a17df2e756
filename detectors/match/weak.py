"""Passwords that people chose badly. Alone `password123` stands in for one; beside its user or its host it is one.

What the filters and the score refuse is looked at once more here, and told with low confidence where its place speaks
for it: behind the name of a password with a user or a host nearby, or between a user and a host.
"""

from __future__ import annotations

import re

from detectors.match.filters import marked
from detectors.match.quick import found
from detectors.match.score import plain

__all__ = ["weak"]

# Letters with two digits, with one among them (`passw0rd`) or with a sign; digits alone, or keys side by side.
_CHOSEN = re.compile(
    rb"(?=.*[A-Za-z])(?=.*[0-9].*[0-9]|.*[A-Za-z][0-9][A-Za-z]|.*[0-9!@#$%^&*+])[\w!@#$%^&*.+-]{6,32}"
    rb"|(?!0+\Z)[0-9]{6,10}|(?i:qwerty(?:uiop)?|asdf(?:gh(?:jkl)?)?|zxcvbn?m?|1q2w3e4r|qazwsx)"
)
_LOGIN = found(rb"[\w.%+-]{1,60}:\z")
_OF_PASSWORDS = frozenset(("name password", "name pass"))


def weak(stage: str, value: bytes, before: bytes, after: bytes) -> bool:
    """Whether the value, refused at `stage`, is a badly chosen password all the same."""
    if stage not in ("placeholder", "score", "hash", "words") or not _CHOSEN.fullmatch(value) or marked(value):
        return False
    if after[:1] == b"@" and _LOGIN(before[-64:]):  # `user:…@host`
        return True
    features = plain(value, before, after)
    if stage == "words" and not ("mixed" in features and "quoted" in features):
        return False
    if "compared" in features and "bare" in features:  # with a variable
        return False
    return not _OF_PASSWORDS.isdisjoint(features) and "user or host nearby" in features
