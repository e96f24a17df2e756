"""Everything that is done on the page of one incident, by phone in the dark without a script, and by keyboard."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest
from playwright.async_api import Locator, Page, expect

from tests.browser.harness import PHONE, SCREEN, Console, serious, unseen

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.browser]


_FARTHEST = 300  # presses of Tab
# To what has the focus nothing leads; else the key that leads there.
_WAY = """one => {
  if (one === document.activeElement) return "";
  const behind = document.activeElement.compareDocumentPosition(one) & Node.DOCUMENT_POSITION_PRECEDING;
  return document.activeElement !== document.body && behind ? "Shift+Tab" : "Tab";
}"""


@dataclass(frozen=True)
class Hand:
    """`keys`: nothing is clicked, and only keys bring the focus to what is pressed or filled in."""

    page: Page
    keys: bool

    async def press(self, what: Locator) -> None:
        if self.keys:
            await self.reach(what)
            await self.page.keyboard.press("Enter")
        else:
            await what.click()

    async def fill(self, what: Locator, text: str) -> None:
        select = await what.evaluate("one => one.tagName") == "SELECT"
        if not self.keys:
            await (what.select_option(text) if select else what.fill(text))
            return
        await self.reach(what)
        keyboard = self.page.keyboard
        if not select:
            await keyboard.press("Control+A")
            await keyboard.type(text)
            return
        await keyboard.press("Home")
        for value in await what.evaluate("one => [...one.options].map(option => option.value)"):
            if value == text:
                break
            await keyboard.press("ArrowDown")
        assert await what.input_value() == text

    async def reach(self, what: Locator) -> None:
        """By Tab and Shift-Tab alone, and whoever walks there sees all the way where they are."""
        await expect(what).to_be_visible()
        for _ in range(_FARTHEST):
            way = await what.evaluate(_WAY)
            if way:
                await self.page.keyboard.press(way)
            assert not (hidden := await unseen(self.page)), f"nobody sees that this has the focus: {hidden}"
            if not way:
                return
        raise AssertionError(f"{what} cannot be reached by Tab")

    async def follow(self, address: str) -> None:
        """The link to an incident, from the list by `/`, `j` and `k`."""
        if not self.keys:
            await self.page.goto(address)
            return
        await self.page.goto("/incidents?state=all")
        keyboard = self.page.keyboard
        await keyboard.press("/")
        await keyboard.type(address.rsplit("/", 1)[-1][:8])
        await keyboard.press("Enter")
        await self.page.wait_for_url("**q=*")
        await keyboard.press("j")
        await keyboard.press("k")
        assert not await unseen(self.page)
        await keyboard.press("Enter")
        await self.page.wait_for_url(f"**{address}")

    async def decide(self, heading: str, button: str, **written: str) -> None:
        """Open a form under `Decide`, fill it in, and send it."""
        form = self.page.locator("#decide + .does > details").filter(
            has=self.page.locator("summary", has_text=re.compile(f"^{re.escape(heading)}"))
        )
        await self.press(form.locator("summary"))
        for name, text in written.items():
            await self.fill(form.locator(f"[name={name.rstrip('_')}]").first, text)
        await self.press(form.get_by_role("button", name=button, exact=True))

    async def told(self, text: str) -> None:
        await expect(self.page.locator("#said")).to_contain_text(text)


async def opened(page: Page, count: int) -> list[str]:
    await page.goto("/incidents?state=open")
    links = await page.locator("#rows th a").all()
    return [str(await link.get_attribute("href")) for link in links[:count]]


@pytest.mark.parametrize("keys", [False, True], ids=["by phone without a script", "by keyboard"])
async def test_an_incident_is_worked_to_its_end(console: Console, keys: bool) -> None:
    size = SCREEN if keys else PHONE
    async with console.visit("root", size=size, dark=not keys, script=keys) as page:
        hand = Hand(page, keys)
        first, second, third = await opened(page, 3)
        await hand.follow(first)
        button = page.get_by_role("button", name="Acknowledge", exact=True)
        box = await button.bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= size["height"], "what is next is on the first screen"
        await (page.keyboard.press("a") if keys else button.click())
        await hand.told("is acknowledged")

        await hand.press(page.get_by_role("link", name="Look at revoke, then run it"))
        await expect(page.locator("pre")).to_contain_text("run /bin/sh")
        await hand.press(page.get_by_role("button", name="Run revoke now"))
        await hand.told("revoke runs now")
        await hand.press(page.locator("button.main", has_text="Claim: Revoke the exposed secret"))
        await hand.told("step revoke is claimed")
        step = page.locator("#step-revoke")
        await hand.fill(step.locator("textarea").first, "it answers 401")
        await hand.press(step.get_by_role("button", name="Done", exact=True))
        await hand.told("step revoke is done")
        await hand.decide("Note", "Note", note="seen in staging")
        await hand.told("noted")
        await hand.decide("Silence", "Silence", for_="4h", note="being rotated")
        await hand.told("is silenced until")
        await hand.decide("Silence", "End the silence")
        await hand.told("is not silenced any more")
        await hand.decide("Hand over", "Hand over", to="bob", note="knows it")
        await hand.told("is bob's")

        await hand.decide("Merge", "Look at both", other=second.rsplit("/", 1)[-1])
        await hand.press(page.get_by_role("button", name="Merge", exact=True))
        await hand.told("is merged into")
        await hand.follow(second)
        await hand.decide("Reopen", "Reopen", note="it is another")
        await hand.told("is open again")

        await hand.follow(third)
        await hand.decide("No secret?", "Mark as no secret", note="a checksum")
        await hand.told("is resolved as false_positive")
        await hand.decide("Reopen", "Reopen")
        await hand.told("is open again")
        await hand.decide("Suppress", "Suppress", for_="30d", note="of the sandbox")
        await hand.told("is suppressed until")

        await hand.follow(first)
        await hand.press(page.get_by_role("link", name="Report, to be printed"))
        await expect(page.locator("h1")).to_contain_text("Incident")
        await expect(page.locator("main")).to_contain_text("it answers 401")
        picture = page.locator("img.paper")
        await picture.scroll_into_view_if_needed()
        assert (await picture.bounding_box() or {"width": 0})["width"] <= size["width"]


async def test_its_pages_can_be_used_by_anybody_and_fit_a_phone(console: Console) -> None:
    wrong = []
    async with console.visit("root", size=PHONE, dark=True) as page:
        first, second = await opened(page, 2)
        other = second.rsplit("/", 1)[-1]
        for path in ("", "/actions/revoke", f"/merge?other={other}", "/report"):
            await page.goto(first + path)
            for details in await page.locator("main details").all():
                await details.evaluate("one => one.open = true")
            wrong += await serious(page)
            width = await page.evaluate("document.documentElement.scrollWidth")
            wrong += [f"{path} is {width} wide"] if width > PHONE["width"] else []
    assert not wrong


async def test_a_page_that_is_open_says_that_somebody_else_has_acted(console: Console) -> None:
    async with console.visit("root") as hers, console.visit("bob") as his:
        (address,) = await opened(his, 1)
        await hers.goto(address)
        await his.goto(address)
        await his.keyboard.press("a")
        await expect(his.locator("#said")).to_contain_text("is acknowledged")
        await expect(hers.locator("#live")).to_contain_text("Changed since you looked")
        await hers.get_by_role("button", name="show", exact=True).click()
        await expect(hers.locator("main")).to_contain_text("acknowledged by bob")
