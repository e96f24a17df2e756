from __future__ import annotations

from tests.fakes.console import Pages
from tests.monitor.web.console.test_records import held


async def test_filters_stay_on_the_next_page_and_what_is_behind_the_end_leads_back(pages: Pages) -> None:
    await pages.store.inventory.save("vault", [held(f"KEY {n:03}") for n in range(51)], whole=True)
    page = await pages.get("/inventory?q=key&entry=vault")
    assert 'rel="next" href="/inventory?q=key&amp;entry=vault&amp;after=KEY' in page
    assert '<input name="q" value="key"' in page
    assert 'None left. <a href="/inventory">' in await pages.get("/inventory?after=Z")
