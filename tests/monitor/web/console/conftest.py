from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from monitor import runbook
from monitor.common.httpd import serve
from monitor.report.view import Links
from monitor.routing.routes import Policy
from monitor.runbook.progress import Procedure
from monitor.store import Store
from monitor.web import app as web
from monitor.web import console
from monitor.web.health import Probes
from tests.fakes.console import Pages, masked


@pytest.fixture
async def pages(tmp_path: Path) -> AsyncIterator[Pages]:
    async with await Store.open(tmp_path / "state.db", Policy()) as store, aiohttp.ClientSession() as session:
        store.procedure = Procedure(None, book=runbook.load)
        shown = Pages(store, session, console.LiveUpdates(store))
        links = Links(console="", runbooks="/runbooks")
        context = console.ConsoleContext(
            *(store, links, masked, shown.status, shown.live, shown.try_sink),
            work=shown.work,
            rules=lambda: shown.rules,
            drills=shown.drilling,
            rotation=shown,
        )
        application = web.build(Probes(live=dict, ready=dict), routes=console.routes(context))
        application.middlewares.append(shown.sign_in)
        async with serve(application, "127.0.0.1", 0) as shown.url, shown.live.running():
            yield shown
