"""Units of systemd as text: their settings, and how they take secrets."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

__all__ = ["SAFE", "UNIT", "settings", "words"]

UNIT = re.compile(r"\.(?:service|socket|timer|container|pod|kube)$|\.(?:service|container)\.d/[^/]+\.conf$")
# Settings that hand over a secret which does not stand in the unit.
SAFE = ("LoadCredential", "LoadCredentialEncrypted", "SetCredentialEncrypted", "ImportCredential", "EnvironmentFile")


def settings(text: str) -> Iterator[tuple[int, str, str]]:
    """Line, key and value of a unit file, continued lines joined."""
    lines = text.split("\n")
    number = 0
    while number < len(lines):
        start, whole = number, lines[number].strip()
        number += 1
        if whole.startswith(("#", ";")):
            continue
        parts = [whole]
        while parts[-1].endswith("\\") and number < len(lines):
            parts[-1] = parts[-1][:-1]
            parts.append(lines[number].strip())
            number += 1
        key, mark, value = " ".join(parts).partition("=")
        if mark:
            yield start + 1, key.strip(), value.strip()


def words(value: str) -> list[tuple[str, str]]:
    """`A=1 "B=two words"` as names and values."""
    try:
        words = shlex.split(value)
    except ValueError:
        words = value.split()
    return [(name, text) for name, mark, text in (word.partition("=") for word in words) if mark]
