"""What works in a real browser, in short; `make browser` runs all of it (test_matrix.py)."""

from __future__ import annotations

import asyncio
import re

import pytest
from playwright.async_api import Page, expect

from tests.browser.harness import PHONE, Console, serious, widest

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def first(page: Page, query: str = "state=open") -> str:
    """The address of the first incident of a list."""
    await page.goto(f"/incidents?{query}")
    address = await page.locator("#rows th a").first.get_attribute("href")
    assert address
    return address


async def focused(page: Page) -> str:
    return str(await page.evaluate("document.activeElement.getAttribute('href') ?? document.activeElement.name"))


async def test_the_pages_of_the_night_fit_a_phone_in_the_dark_and_anybody_can_use_them(console: Console) -> None:
    wrong = []
    async with console.visit("", size=PHONE, dark=True) as page:
        await page.goto("/sign-in")
        wrong += await serious(page)
    async with console.visit(size=PHONE, dark=True) as page:
        night = ("/incidents", await first(page), "/sources", "/sinks", "/outbox", "/keys")
        for address in (
            *night,
            "/overview",
            "/silences",
            "/noise?rule=github-pat",
            "/routes?labels=severity%3Dhigh",
            "/trail",
        ):
            await page.goto(address)
            wrong += await serious(page)
            width = await page.evaluate("document.documentElement.scrollWidth")
            wrong += [f"{address} is {width} wide: {await widest(page)}"] if width > PHONE["width"] else []
    assert not wrong


async def test_an_incident_is_found_opened_and_acknowledged_by_keyboard_alone(console: Console) -> None:
    async with console.visit() as page:
        await page.goto("/incidents?state=open")
        await page.keyboard.press("j")
        await page.keyboard.press("j")
        second = await page.locator("#rows th a").nth(1).get_attribute("href")
        assert await focused(page) == second
        await page.keyboard.press("Enter")
        await page.wait_for_url(f"**{second}")
        await page.keyboard.press("a")
        await expect(page.locator("main")).to_contain_text("acknowledged")

        await page.goto("/incidents?state=open")
        await page.keyboard.press("/")
        await page.keyboard.type("jk?a")
        assert await page.locator("input[name=q]").input_value() == "jk?a", "what is written does nothing else"


async def test_a_row_is_acknowledged_in_place_and_resolving_opens_the_form(console: Console) -> None:
    async with console.visit() as page:
        address = await first(page)
        await page.keyboard.press("j")
        await page.keyboard.press("a")
        told = page.locator("#live")
        await expect(told).to_have_text("1 of 1 acknowledged.")
        await expect(page.locator("#counts")).not_to_be_empty()
        await expect(told).to_have_text("1 of 1 acknowledged.")
        assert address != await page.locator("#rows th a").first.get_attribute("href")
        await page.keyboard.press("e")
        assert await focused(page) == "as"
        assert await page.locator("#rows tbody input:checked").count() == 1


async def test_keys_are_told_and_can_be_switched_off(console: Console) -> None:
    async with console.visit() as page:
        await page.goto("/incidents")
        await page.keyboard.press("?")
        dialog = page.locator("dialog")
        await expect(dialog).to_be_visible()
        await dialog.get_by_role("checkbox").uncheck()
        await page.keyboard.press("Escape")
        await page.reload()
        await page.keyboard.press("j")
        assert await page.evaluate("document.activeElement === document.body")


async def test_what_is_new_is_offered_and_shown_without_losing_the_place(console: Console) -> None:
    async with console.visit() as page:
        await page.goto("/incidents?state=open&sort=recent")
        await expect(page.locator("#counts")).to_contain_text("unresolved")
        await page.keyboard.press("j")
        await page.keyboard.press("x")
        place, ticked = await focused(page), page.locator("#rows tbody input:checked")
        console.leak(3)
        await expect(page.locator("#live")).to_contain_text("3 new since you looked")
        assert await page.title() == "(3) Incidents · exposure monitor"
        assert (await focused(page), await ticked.count()) == (place, 1)
        await page.get_by_role("button", name="show", exact=True).click()
        await expect(page.locator("#live")).to_be_empty()
        assert await ticked.count() == 1
        rows = [await link.get_attribute("href") for link in await page.locator("#rows th a").all()]
        assert (rows.index(place), await focused(page)) == (3, place), rows


async def test_a_page_says_that_it_is_stale_and_recovers_when_the_monitor_does(console: Console) -> None:
    async with console.visit(troubles=["ERR_CONNECTION", "ERR_INCOMPLETE", "net::"]) as page:
        await page.goto("/incidents")
        await expect(page.locator("#counts")).to_contain_text("unresolved")
        await page.evaluate("document.querySelector('#live').dataset.stale = 1")
        await console.monitor.kill()
        await expect(page.locator("#live")).to_contain_text("Not live since")
        await console.monitor.start()
        await page.evaluate("document.querySelector('#live').dataset.stale = 30")
        await expect(page.locator("#live")).not_to_contain_text("Not live")


async def test_without_a_script_many_are_changed_and_one_is_worked(console: Console) -> None:
    async with console.visit(size=PHONE, script=False) as page:
        await page.goto("/incidents?state=open")
        for tick in (await page.locator("#rows tbody input[type=checkbox]").all())[:3]:
            await tick.check()
        await page.locator("details.many summary").click()
        await page.get_by_role("button", name="Those that are ticked").click()
        await expect(page.locator("#outcome")).to_have_text("3 of 3 acknowledged.")
        await page.get_by_role("link", name="Back to the list").click()
        await page.locator("details.many summary").click()
        await page.get_by_label("what").select_option("silence")
        await page.get_by_role("button", name=re.compile("All .* of this list")).click()
        await page.get_by_role("button", name=re.compile("^Silence .* incidents$")).click()
        while "to go" in (told := await page.locator("#outcome").inner_text()):
            await asyncio.sleep(0.1)
            await page.reload()
        assert re.fullmatch(r"(\d+) of \1 silenced\.", told)
        await page.goto(await first(page))
        await page.get_by_role("button", name="Acknowledge").click()
        await expect(page.get_by_role("status").filter(has_text="acknowledged")).to_be_visible()


async def test_of_two_who_press_at_once_the_second_is_told_who_was_first(console: Console) -> None:
    async with console.visit() as hers, console.visit("bob") as his:
        address = await first(hers)
        await his.goto(address)
        await hers.goto(address)
        await hers.keyboard.press("a")
        await expect(hers.locator("main")).to_contain_text("acknowledged")
        await his.keyboard.press("a")
        await expect(his.locator("main")).to_contain_text("already acknowledged (ada,")


async def test_a_key_with_a_ready_made_action_is_revoked_by_phone_in_six_presses(console: Console) -> None:
    """From the link in an alert; evidence for the step is typed besides."""
    async with console.visit("root", size=PHONE, script=False) as page:
        await page.goto(await first(page))
        for name, said in (
            ("Acknowledge", "is acknowledged"),
            ("Look at revoke, then run it", "run /bin/sh"),
            ("Run revoke now", "revoke runs now"),
            ("Claim: Revoke the exposed secret", "step revoke is claimed"),
            ("Done? Revoke the exposed secret", "What was done, and what shows it?"),
        ):
            await page.locator("a.main, button").filter(has_text=name).first.click()
            await expect(page.locator("main")).to_contain_text(said)
        step = page.locator("#step-revoke")
        await step.locator("textarea").first.fill("it answers 401")
        await step.get_by_role("button", name="Done", exact=True).click()
        await expect(page.locator("main")).to_contain_text("step revoke is done")


async def test_who_may_only_look_sees_no_button_and_times_are_in_their_zone(console: Console) -> None:
    async with console.visit("eve", zone="Asia/Tokyo") as page:
        await page.goto(await first(page, "state=all"))
        assert await page.locator("main form[method=post]").count() == 0
        whole = page.locator("header time")
        await expect(whole).to_contain_text("UTC")
        await expect(whole).to_contain_text("GMT+9")
