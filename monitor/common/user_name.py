"""The name by which somebody is one person everywhere."""

from __future__ import annotations

import re
import string

from monitor.common.text import token_like

__all__ = ["folded", "named", "user_name"]

_SMALL = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def folded(text: str) -> str:
    """With small letters, of ASCII's alone: as Unicode folds, the Kelvin sign is a k, and `ſ` an s, so that who calls
    themselves so would be somebody else."""
    return text.translate(_SMALL)


def named(text: str) -> bool:
    """Whether this is somebody's name as `user_name` makes it."""
    return re.fullmatch(r"[a-z0-9_.@+-]{1,64}", text) is not None and not token_like(text)


def user_name(text: str) -> str:
    """Who somebody is: the one form of a name that is stored, stands in the history and counts for approvals. Each door
    makes it. Raises ValueError, whose text does not repeat it."""
    name = folded(text.strip(" "))
    if token_like(text) or not named(name):
        raise ValueError("a name is 1 to 64 of the letters a-z, digits and . _ @ + -")
    return name
