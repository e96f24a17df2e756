"""Incidents about secrets that the inventory knows."""

from __future__ import annotations

from monitor.routing.routes import Policy
from monitor.store import Store
from tests.monitor.store.helpers import Clock, deliver, finding, fingerprint
from tests.monitor.store.test_inventory import kept


async def test_an_incident_that_a_rule_found_gets_the_name_and_who_knows_it_is_told(url: str, clock: Clock) -> None:
    async with await Store.open(url, Policy(sinks=("chat",)), clock=clock) as store:
        await store.commit([finding("1"), finding("2")])
        await deliver(store)
        await store.inventory.save("e", [kept("A", "1", consumers=("web", "jobs"))], whole=True)
        assert await deliver(store) == ["escalated"]
        named, other = await store.incidents.get(fingerprint("1")), await store.incidents.get(fingerprint("2"))
        wanted = {"secret": "A", "environment": "production", "secret_owner": "ops", "standing": "current"}
        assert wanted.items() <= named.labels.items()
        assert named.labels["consumers"] == "web, jobs"
        assert (named.name, named.severity) == ("A (production): GitHub token", "critical")
        assert "secret" not in other.labels
        assert (await store.trail.verify()).problems == ()
        await store.inventory.save("f", [kept("B", "1", environment="staging")], whole=True)
        assert (await store.incidents.get(fingerprint("1"))).name == "A (production, staging): GitHub token"
        assert await deliver(store) == []


async def test_an_incident_about_it_is_as_bad_as_before(url: str, clock: Clock) -> None:
    async with await Store.open(url, Policy(sinks=("chat",)), clock=clock) as store:
        for value in ("1", "2", "3"):
            await store.inventory.save("e", [kept("A", value)], whole=True)
        await store.commit([finding("1", severity="low")])
        owned = (await store.inventory.owners([fingerprint("1")]))[fingerprint("1")]
        assert [one.standing for one in owned] == ["retired"]
        await store.inventory.save("e", [kept("A", "1")], whole=True)
        incident = await store.incidents.get(fingerprint("1"))
        assert (incident.severity, incident.labels["standing"]) == ("critical", "current")
        rows = {row.title: row for row in await store.outbox.list()}
        assert "1 secret of e: an earlier value is in use again" in rows
