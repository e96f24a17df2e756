"""Every page, by phone and screen, dark and light: it fits, and axe-core finds nothing serious."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Page, ViewportSize, expect

from tests.browser.harness import PHONE, SCREEN, Console, serious, unseen, walk, widest

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.browser]

NARROW = ViewportSize(width=360, height=740)
PAGES = """/ /incidents?severity=high&family=vcs&older=1s /incidents?q=nothing+of+it /overview
/noise?rule=github-pat /sources /sources/services /sinks /outbox /silences /routes /account /keys /checklist /trail
/inventory /rotation /drills /runbooks/github-token""".split()


async def amiss(page: Page, size: ViewportSize) -> list[str]:
    width = await page.evaluate("document.documentElement.scrollWidth")
    wide = [f"{page.url} is {width} wide: {await widest(page)}"] if width > size["width"] else []
    return [*wide, *await serious(page)]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [NARROW, PHONE, SCREEN], ids=lambda size: f"{size['width']}")
async def test_every_page_fits_and_can_be_used_by_anybody(console: Console, size: ViewportSize, dark: bool) -> None:
    wrong: list[str] = []
    async with console.visit("", size=size, dark=dark) as page:
        await page.goto("/sign-in")
        wrong += await amiss(page, size)
    async with console.visit("root", size=size, dark=dark) as page:
        await page.goto("/incidents?state=all")
        incident = await page.locator("#rows th a").first.get_attribute("href")
        other = await page.locator("#rows th a").nth(1).get_attribute("href")
        assert incident
        assert other
        merge = f"{incident}/merge?other={other.rpartition('/')[2]}"
        for address in (*PAGES, incident, f"{incident}/report", merge):
            await page.goto(address)
            for closed in await page.locator("main details:not([open]) > summary").all():
                if await closed.is_visible():
                    await closed.click()
            wrong += await amiss(page, size)
        await page.goto("/drills")
        await page.get_by_role("button", name="Show what it would do").click()
        await expect(page.locator("main")).to_contain_text("would be planted in source services")
        wrong += await amiss(page, size)
        await page.goto("/incidents?state=open")
        await page.keyboard.press("?")
        wrong += await amiss(page, size)
        await page.keyboard.press("Escape")
        await page.keyboard.press("e")
        await page.get_by_role("button", name=re.compile("All .* of this list")).click()
        await expect(page.locator("h1")).to_contain_text("Resolve as revoked:")
        wrong += await amiss(page, size)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("script", [False, True], ids=["without a script", "with it"])
async def test_many_are_changed_by_phone_in_the_dark(console: Console, script: bool) -> None:
    console.leak(4)
    async with console.visit("bob", size=PHONE, dark=True, script=script) as page:
        while True:
            await page.goto("/incidents?state=open&younger=10m&sort=recent")
            first = await page.locator("#rows tbody tr").all_inner_texts()
            if len(first) >= 4 and not any("by bob" in text for text in first[:4]):  # those of before are his
                break
        for tick in (await page.locator("#rows tbody input[type=checkbox]").all())[:2]:
            await tick.check()
        await page.locator("details.many summary").click()
        await page.get_by_label("what").select_option("assign")
        await page.get_by_role("button", name="Those that are ticked").click()
        await expect(page.locator("#outcome")).to_have_text("2 of 2 assigned.")
        await page.get_by_role("link", name="Back to the list").click()
        await expect(page.locator("#rows")).to_contain_text("by bob")


async def test_all_of_a_list_are_resolved_by_keyboard(console: Console) -> None:
    console.leak(3)
    async with console.visit("bob") as page:
        while True:
            await page.goto("/incidents?state=open&sort=recent")
            if await page.locator("#rows tbody tr").count() >= 3:
                break
        for key in ("j", "e"):  # the form is open, and the focus on how they are resolved
            await page.keyboard.press(key)
        await page.keyboard.type("wont")
        ticked = page.get_by_role("button", name="Those that are ticked")
        for _ in range(4):
            if await ticked.evaluate("one => one === document.activeElement"):
                break
            await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await expect(page.locator("#outcome")).to_have_text("1 of 1 resolved.")
        await expect(page.locator("h1")).to_have_text("Resolve as wont_fix")


async def test_whoever_walks_by_tab_comes_to_everything_and_sees_where_they_are(console: Console) -> None:
    wrong: list[str] = []
    async with console.visit("root", size=SCREEN, troubles=["404"]) as page:
        await page.goto("/incidents?state=open")
        incident = str(await page.locator("#rows th a").first.get_attribute("href"))
        for address in (*PAGES, incident, f"{incident}/actions/revoke", "/incidents/none"):
            await page.goto(address)
            wrong += await walk(page)
    assert not wrong, "\n".join(wrong)


async def test_an_incident_is_worked_from_the_list_by_keyboard_alone(console: Console) -> None:
    console.leak(2)
    async with console.visit("bob") as page:
        keyboard = page.keyboard
        while True:
            await page.goto("/incidents?state=open&sort=recent")
            if await page.locator("#rows tbody tr").count() >= 2:
                break
        first = str(await page.locator("#rows th a").first.get_attribute("href"))
        await keyboard.press("Tab")
        await keyboard.press("Enter")  # past what is the same on every page
        assert page.url.endswith("#main")
        for key in ("j", "j", "k", "Tab", "Shift+Tab"):
            await keyboard.press(key)
            assert not await unseen(page), key
        await keyboard.press("Enter")
        await page.wait_for_url(f"**{first}")
        await keyboard.press("a")
        await expect(page.locator("#said")).to_contain_text("is acknowledged")
        await keyboard.press("e")
        assert not await unseen(page)
        await keyboard.type("used")
        for _ in range(4):
            await keyboard.press("Tab")
            assert not await unseen(page)
            if await page.evaluate("document.activeElement.tagName") == "BUTTON":
                break
        await keyboard.press("Shift+Tab")
        await keyboard.type("of the sandbox")
        await keyboard.press("Tab")
        await keyboard.press("Enter")
        await expect(page.locator("#said")).to_contain_text("is resolved as used_in_tests")
