from __future__ import annotations

from pathlib import Path

import pytest

from monitor.report.gather import gather
from monitor.routing.routes import Policy
from monitor.store import Store
from tests.fakes.console import finding


async def test_all_that_is_stored_of_one_is_read(tmp_path: Path) -> None:
    async with await Store.open(tmp_path / "state.db", Policy(sinks=("chat",))) as store:
        await store.commit([finding(1), finding(2)])
        first, other = await store.incidents.find()
        await store.incidents.transition(first.id, "ack", actor="ada")
        dossier = await gather(store, first.id[:10])
        assert dossier.incident == await store.incidents.get(first.id)
        assert [entry.action for entry in dossier.history] == ["opened", "acknowledged"]
        assert {one.incidents for one in dossier.told} == {(first.id,)}
        assert dossier.joined.decided[first.id][0] == "ada"
        assert (dossier.run, dossier.uses) == (None, [])
        assert abs(dossier.now - store.now()) < 60
        assert (await gather(store, other.id)).joined.decided.keys() == {other.id}
        with pytest.raises(LookupError):
            await gather(store, "nobody")
