from __future__ import annotations

from monitor.common.inbound import HookDelivery
from monitor.store import Store
from monitor.store.records import AlertBatch
from tests.monitor.store.helpers import Clock


def hook(id_: str = "d1", **changes: object) -> HookDelivery:
    return HookDelivery(id=id_, source="github", event="secret_scanning_alert", repo="acme/web", number=7, **changes)  # type: ignore[arg-type]


async def test_a_hook_is_due_until_its_source_has_dealt_with_it(store: Store, clock: Clock) -> None:
    assert await store.hooks.enqueue(hook())
    assert not await store.hooks.enqueue(hook())
    await store.hooks.postpone("d1", 60)
    assert await store.hooks.due("github") == []
    clock.now += 61
    assert [(one.id, one.attempts) for one in await store.hooks.due("github")] == [("d1", 1)]
    await store.alerts.record(AlertBatch("github", handled=["d1"], again=[hook("d2")]))
    assert [one.id for one in await store.hooks.due("github")] == ["d2"]
    assert not await store.hooks.enqueue(hook())  # a repeat of what was dealt with
