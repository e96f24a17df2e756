from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.browser.harness import Console, chromium


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def console(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Console]:
    async with chromium() as browser, Console.running(tmp_path_factory.mktemp("console"), browser) as made:
        async with made.visit() as page:
            await made.listed(page, 60)
        yield made
