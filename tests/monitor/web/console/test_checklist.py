from __future__ import annotations

import html
import re

from monitor import runbook
from monitor.runbook.progress import Procedure
from tests.fakes.console import Pages, finding
from tests.monitor.web.console.test_overview import words_of


async def test_the_first_due_first_with_who_holds_it(pages: Pages) -> None:
    assert "No step is left" in await pages.get("/checklist")
    pages.store.procedure = Procedure("high", book=runbook.load)
    await pages.store.commit([finding(n) for n in range(20)])  # seen long ago: all is overdue
    total, steps = await pages.store.checklist.page(limit=1)
    await pages.store.runs.act(steps[0].incident, steps[0].step, "claim", actor="<b>ada")
    page = await pages.get("/checklist")
    assert f"{total} steps: 50 on this page, {total - 50} more" in page
    assert f'<a href="/incidents/{steps[0].incident}#step-{steps[0].step}">' in page
    assert 'class="until late"' in page or 'class="until"' in page
    assert "<b>ada" not in page
    assert "1 step " in words_of(await pages.get("/checklist?owner=%3Cb%3Eada"))
    await pages.store.runs.act(steps[0].incident, steps[0].step, "done", actor="ada", note="the issuer refuses it")
    assert f"{(total := total - 1)} steps: " in await pages.get("/checklist"), "it is of now"
    rows, address = 0, "/checklist"
    while address:
        page = await pages.get(address)
        rows += page.count("<tr>") - 1
        following = re.search(r'rel="next" href="([^"]+)"', page)
        address = html.unescape(following[1]) if following else ""
    assert rows == total
    for wrong in ("after=x", "what=1"):
        await pages.get(f"/checklist?{wrong}", 400)
