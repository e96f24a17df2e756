from __future__ import annotations

import asyncio
import threading
from typing import Any

import argon2
import pytest

from monitor.accounts import passwords
from monitor.accounts.passwords import check, hashed, outdated, weak

GOOD = "correct horse battery"


async def test_a_password_is_stored_as_argon2id_and_known_again() -> None:
    stored = hashed(GOOD)
    assert stored.startswith("$argon2id$")
    assert GOOD not in stored
    assert await check(stored, GOOD)
    assert not await check(stored, GOOD + "!")
    assert not await check("no hash at all", GOOD)
    assert not outdated(stored)
    assert outdated(argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(GOOD))


async def test_user_enumeration_where_there_is_no_such_user_a_hash_is_checked_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is the check that takes the time."""
    checked: list[str] = []
    hasher = passwords._hasher()

    class Counting:
        def verify(self, stored: str, password: str) -> bool:
            checked.append(stored)
            return hasher.verify(stored, password)

    nobodys, stored = passwords._nobodys(), hashed(GOOD)
    monkeypatch.setattr(passwords, "_hasher", Counting)
    assert not await check(None, GOOD)
    assert not await check(None, "nobody has this password")
    assert not await check(stored, "wrong")
    assert checked == [nobodys, nobodys, stored]
    same = [argon2.extract_parameters(one) for one in (nobodys, stored)]
    assert same[0] == same[1]


async def test_one_check_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    at_work, most = 0, 0
    lock = threading.Lock()

    class Slow:
        def verify(self, stored: str, password: str) -> bool:
            nonlocal at_work, most
            with lock:
                at_work += 1
                most = max(most, at_work)
            threading.Event().wait(0.01)
            with lock:
                at_work -= 1
            return True

    made: Any = Slow()
    monkeypatch.setattr(passwords, "_hasher", lambda: made)
    assert all(await asyncio.gather(*(check("x", GOOD) for _ in range(5))))
    assert most == 1


@pytest.mark.parametrize("password", ["", "short", "x" * 257, "ababababababab", "anastasia.123"])
def test_what_is_no_password(password: str) -> None:
    assert weak(password, "anastasia")
    assert not password or password not in weak(password)


def test_what_is_one() -> None:
    assert not weak(GOOD, "ana")
    assert not weak("banana split with ana", "ana")
