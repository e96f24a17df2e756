from __future__ import annotations

import pytest

from monitor.daemon.drills import DrillWork
from monitor.web.console.outcomes import RefusedError
from tests.fakes.intake import until
from tests.fakes.server import FAULTS
from tests.fakes.setup import Setup, running
from tests.fakes.webhook import FakeWebhook

FIXED = """
[[rule]]
id = "acme-fixed"
name = "Acme fixed"
pattern = '''\\b(?P<secret>fixed_[a-z0-9]{20})\\b'''
severity = "high"
examples = ["fixed_k3jd8sk2jd9fk3jsl2kd"]
negative_examples = ["fixed_x"]
"""


async def test_a_drill_goes_from_its_press_to_its_end(site: Setup, hook: FakeWebhook) -> None:
    site.rule("fixed", FIXED)
    site.configure('[[sources]]\nname = "pipe"\ntype = "stdin"\n')
    daemon = site.daemon()
    async with running(daemon):
        work = DrillWork(daemon.running.site, lambda: daemon.config)
        drills = daemon.running.site.store.drills
        assert (work.sources(), work.pagers()) == (["app"], [])
        assert (await work.place("app")).startswith(f"{site.log.parent}/exposure-drill-")
        given = {"pages": False, "actor": "ada"}
        for source, rule in (("pipe", "acme-acme"), ("app", "nothing")):
            with pytest.raises(LookupError):
                await work.begin(source, rule, **given, once="a")
        with pytest.raises(RefusedError, match="hold a fixed secret"):
            await work.begin("app", "acme-fixed", **given, once="a")
        assert await drills.all() == []

        assert (await work.begin("app", "acme-acme", **given, once="a")).startswith(str(site.log.parent))
        await until(lambda: not work._tasks)
        (row,) = await drills.all()
        assert row.run is not None
        assert (row.run.standing, row.run.by, row.run.rule) == ("whole", "ada", "acme-acme")
        assert list(site.log.parent.iterdir()) == []
        assert all(payload["drill"] for payload in hook.payloads)

        hook.always = FAULTS["500"]
        sent = len(hook.requests)
        await work.begin("app", "acme-acme", **given, once="b")
        with pytest.raises(RefusedError, match="a drill of ada in app is under way since"):
            await work.begin("app", "acme-acme", **given, once="c")
        await until(lambda: len(hook.requests) > sent)
        await work.close()
        last, _ = await drills.all()
        assert last.run is not None
        assert (last.run.standing, last.run.broken, last.resolved) == ("broken", "it was cut short", True)
        assert list(site.log.parent.iterdir()) == []
        with pytest.raises(RefusedError, match="begun already"):
            await work.begin("app", "acme-acme", **given, once="b")
