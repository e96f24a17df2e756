from __future__ import annotations

import subprocess
import sys

from monitor.store import Store, owner_name
from tests.monitor.store.helpers import OWNER, finding, lease


async def test_leases_of_a_process_that_is_gone_are_taken_over(store: Store) -> None:
    await store.commit([finding("a"), finding("b", 1)])
    host, _, _ = OWNER.rsplit(":", 2)
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert await lease(store, "chat", f"{host}:{child.pid}:dead", 1_000)
    assert await lease(store, "chat", f"{host}:1:alive", 1_000)
    assert await lease(store, "chat", OWNER, 60) is None
    assert await store.groups.adopt(OWNER, ["chat"]) == (1, 0)
    assert await lease(store, "chat", OWNER, 60) is not None


async def test_a_lease_of_another_node_is_left_alone_whatever_its_process_id(store: Store) -> None:
    await store.commit([finding("a")])
    gone = 2**22 + 1  # no process has such a number
    assert await lease(store, "chat", f"there:{gone}:x", 600) is not None
    assert await store.groups.adopt(owner_name("here"), ["chat"]) == (0, 0)
    assert await lease(store, "chat") is None
    assert await store.groups.adopt(owner_name("there"), ["chat"]) == (1, 0)
    assert await lease(store, "chat") is not None


async def test_a_lease_that_names_no_process_is_taken_over(store: Store) -> None:
    await store.commit([finding("a")])
    assert await lease(store, "chat", "nobody", 600) is not None
    assert await store.groups.adopt(OWNER, ["chat"]) == (1, 0)
    assert await lease(store, "chat") is not None
