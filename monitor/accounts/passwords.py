"""Passwords: argon2id, one check at a time: it takes 19 MiB for a moment, and strangers may ask for any number."""

from __future__ import annotations

import asyncio
import threading
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argon2 import PasswordHasher

__all__ = ["LEAST", "LONGEST", "check", "hashed", "outdated", "weak"]

LEAST, LONGEST = 12, 256  # characters
_LOCK = threading.Lock()  # between threads; the loop of the daemon has its own queue
_DIFFERENT = 5


@cache
def _hasher() -> PasswordHasher:
    from argon2 import PasswordHasher

    return PasswordHasher(time_cost=2, memory_cost=19 << 10, parallelism=1)  # OWASP's figures


@cache
def _nobodys() -> str:
    """What is checked where there is no such user, so that it takes as long."""
    return _hasher().hash("nobody has this password")


def hashed(password: str) -> str:
    """As it is stored. Blocking."""
    with _LOCK:
        return _hasher().hash(password)


async def check(stored: str | None, password: str) -> bool:
    """Whether it is the one. `stored` None: there is no such user, which takes as long to say."""
    return await asyncio.to_thread(_check, stored, password)


def _check(stored: str | None, password: str) -> bool:
    from argon2.exceptions import InvalidHashError, VerificationError

    with _LOCK:
        try:
            return _hasher().verify(stored or _nobodys(), password[:LONGEST]) and stored is not None
        except (VerificationError, InvalidHashError):
            return False


def outdated(stored: str) -> bool:
    """Whether it was made with other figures than today's."""
    return _hasher().check_needs_rehash(stored)


def weak(password: str, user: str = "") -> str:
    """Why it is none to be taken; empty: it is one."""
    if not LEAST <= len(password) <= LONGEST:
        return f"a password has {LEAST} to {LONGEST} characters"
    if len(set(password)) < _DIFFERENT:
        return f"a password has {_DIFFERENT} different characters at least"
    if user and user.lower() in password.lower() and len(user) > len(password) // 2:
        return "a password is more than the name"
    return ""
