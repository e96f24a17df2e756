from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
from prometheus_client import Counter
from prometheus_client.parser import text_string_to_metric_families

from monitor.common.httpd import serve
from monitor.web.app import build
from tests.monitor.web.test_app import probes


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def test_health_and_readiness_name_the_part_that_fails(session: aiohttp.ClientSession) -> None:
    state: dict[str, str | None] = {"engine": "still compiling", "store": None}
    async with serve(build(probes(ready=lambda: state)), "127.0.0.1", 0) as url:
        async with session.get(f"{url}/healthz") as answer:
            assert (answer.status, await answer.json()) == (200, {"status": "ok", "checks": {"loop": "ok"}})
        async with session.get(f"{url}/readyz") as answer:
            assert answer.status == 503
            assert await answer.json() == {
                "status": "failing",
                "checks": {"engine": "still compiling", "store": "ok"},
            }
        state["engine"] = None
        async with session.get(f"{url}/readyz") as answer:
            assert answer.status == 200


async def test_a_dead_writer_makes_healthz_fail_but_metrics_still_answer(session: aiohttp.ClientSession) -> None:
    given = probes(live=lambda: {"loop": None, "writer": "thread has ended"})
    async with serve(build(given), "127.0.0.1", 0) as url:
        async with session.get(f"{url}/healthz") as answer:
            assert answer.status == 503
        async with session.get(f"{url}/metrics") as answer:
            assert answer.status == 200


@pytest.mark.parametrize("accept", ["", "text/plain", "application/openmetrics-text; version=1.0.0"])
async def test_metrics_are_those_of_the_given_registry(session: aiohttp.ClientSession, accept: str) -> None:
    given = probes()
    Counter("monitor_blocks", "Blocks scanned.", registry=given.registry).inc(3)
    async with (
        serve(build(given), "127.0.0.1", 0) as url,
        session.get(f"{url}/metrics", headers={"Accept": accept}) as answer,
    ):
        text = await answer.text()
        assert answer.headers["Content-Type"].split(";")[0] == (accept or "text/plain").split(";")[0]
    samples = {s.name: s.value for family in text_string_to_metric_families(text) for s in family.samples}
    assert samples["monitor_blocks_total"] == 3
    assert not any(name.startswith("process_") for name in samples)
