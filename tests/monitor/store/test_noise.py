from __future__ import annotations

from monitor.routing.routes import Policy
from monitor.store import Store
from monitor.store.noise import RuleNoise
from tests.monitor.store.helpers import NOW, Clock, deliver, finding, fingerprint

DAY = 86_400.0


async def test_by_rule_how_many_alerted_and_how_much_was_no_secret(url: str, clock: Clock) -> None:
    async with await Store.open(url, Policy(sinks=("chat", "mail")), clock=clock) as store:
        assert (await store.noise.within(7)).rules == []
        await store.drills.plan([fingerprint("drill")], pages=False)
        found = [finding(name, number) for number, name in enumerate("abcde")]
        await store.commit([*found, finding("drill", 8)])
        await store.commit([finding("a", 9), finding("old", 10, rule="jwt", name="JWT", time=NOW - 8 * DAY)])
        while await deliver(store) or await deliver(store, "mail"):
            pass
        for name, resolution in (("a", "false_positive"), ("b", "used_in_tests"), ("c", "revoked")):
            await store.incidents.transition(fingerprint(name), "resolve", actor="ada", resolution=resolution)  # type: ignore[arg-type]
        await store.silences.add(["rule=github-pat"], 60, actor="ada", reason="x")
        await store.commit([finding("silent", 11)])
        await store.merges.merge(fingerprint("d")[:16], [fingerprint("e")[:16]], actor="ada")
        lately = (await store.noise.within(7)).rules
        assert lately == [
            RuleNoise("github-pat", "GitHub token", 5, 2, 3, 2, sightings=7, alerts=8),
        ]
        assert lately[0].share == 2 / 3
        old = RuleNoise("jwt", "JWT", 1, 1, 0, 0, 1, alerts=2)
        assert sorted((await store.noise.within(30)).rules, key=lambda one: one.rule) == [*lately, old]
        assert old.share is None
