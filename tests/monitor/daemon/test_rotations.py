from __future__ import annotations

from pathlib import Path

from monitor.config.config import parse
from monitor.daemon.rotations import Rotations
from monitor.routing.routes import Policy
from monitor.store import Store
from monitor.store.inventory import Print, SecretVersion
from tests.monitor.store.helpers import fingerprint

INVENTORY = '[[inventory]]\nname = "env"\ntype = "dotenv"\npath = [".env"]\n'


async def test_overdue_secrets_become_incidents_by_themselves_where_there_is_an_inventory(tmp_path: Path) -> None:
    config = parse("")
    async with await Store.open(tmp_path / "db", Policy(sinks=("chat",))) as store:
        prints = (Print(fingerprint("x"), "", 20, "mixed"),)
        old = SecretVersion("KEY", fingerprint("x"), rotated=1.0, tags=("critical",), prints=prints)
        await store.inventory.save("env", [old], whole=True)
        rotations = Rotations(store, b"k" * 32, lambda: config, str)
        await rotations.sweep()
        assert await store.incidents.find() == []

        config = parse(INVENTORY, tmp_path / "config.toml")
        await rotations.sweep()
        assert [one.rule for one in await store.incidents.find()] == ["rotation-due"]
