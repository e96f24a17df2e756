from __future__ import annotations

from pathlib import Path

import pytest

from monitor.store import Store, StoreError, reach

OURS, OTHER = b"k" * 32, b"x" * 32


async def claimed(url: str, secret: bytes, *, repairs: bool = True) -> None:
    async with await Store.open(url, secret=secret, repairs=repairs) as store:
        await store.claim()


async def test_a_database_takes_no_other_key(url: str) -> None:
    place = url if "://" in url else Path(url)
    await claimed(url, b"")
    await claimed(url, OTHER, repairs=False)  # who only looks claims nothing
    reach(place, OTHER)
    for _ in range(2):
        await claimed(url, OURS)
    for repairs in (True, False):
        with pytest.raises(StoreError, match=r"another key.* or another database \(monitor.database\)"):
            await claimed(url, OTHER, repairs=repairs)
    reach(place, OURS)
    with pytest.raises(StoreError, match="another key"):
        reach(place, OTHER)
