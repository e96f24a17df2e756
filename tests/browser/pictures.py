"""`make pictures`: six pages of the console by phone, as Chromium draws them before a daemon with incidents in it."""

from __future__ import annotations

import asyncio
import socket
import tempfile
from pathlib import Path

from playwright.async_api import Page, ViewportSize

from tests.browser.harness import Console, chromium

FOLDER = Path(__file__).parents[2] / "docs" / "pictures"
SIZE = ViewportSize(width=390, height=760)


# As if it ran elsewhere than here.
_PLACED = """names => {
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text; (text = texts.nextNode()); )
    for (const [from, to] of names) text.data = text.data.replaceAll(from, to);
}"""


async def draw(page: Page, name: str, address: str, folder: Path) -> None:
    if address:
        await page.goto(address)
    await page.wait_for_load_state()
    names = [(str(folder), "/srv/payments"), (folder.name, "payments"), (f"on {socket.gethostname()}", "on web-3")]
    await page.evaluate(_PLACED, [list(pair) for pair in names])
    await page.screenshot(path=FOLDER / f"console-{name}.png")


async def main() -> None:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        async with chromium() as browser, Console.running(folder, browser, 14) as console:
            async with console.visit("ada", size=SIZE) as page:
                await console.listed(page, 14)
                await page.goto("/incidents")
                first = str(await page.locator("#rows th a").first.get_attribute("href"))
                await draw(page, "incident", first, folder)
                await draw(page, "overview", "/overview", folder)
                await draw(page, "sources", "/sources", folder)
                await draw(page, "sinks", "/sinks", folder)
                await page.goto("/incidents")
                await page.locator("details.many summary").click()
                await page.locator("button[value=all]").click()
                await page.wait_for_selector("button[value=seen]")
                await draw(page, "many", "", folder)
            async with console.visit("ada", size=SIZE, dark=True) as page:
                await draw(page, "list", "/incidents", folder)


if __name__ == "__main__":
    asyncio.run(main())
