"""Values of tokens for the API: 256 random bits, of which the SHA-256 alone is stored."""

from __future__ import annotations

import hashlib
import secrets
from typing import Literal

__all__ = ["PREFIX", "Scope", "fresh", "stored"]

Scope = Literal["read", "act"]  # nothing is changed by it; or what its role may

PREFIX = "exm_"  # tells them from http.token
_LENGTH = len(PREFIX) + 43  # characters; of 256 bits, urlsafe


def fresh() -> str:
    return PREFIX + secrets.token_urlsafe(32)


def stored(value: str) -> str:
    """As it is known by; empty: this is none."""
    if len(value) != _LENGTH or not value.startswith(PREFIX) or not value.isascii():
        return ""
    return hashlib.sha256(value.encode()).hexdigest()
