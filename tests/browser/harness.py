"""The console in a real browser: Debian's Chromium, before a daemon of its own with incidents in it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, Page, ViewportSize, async_playwright, expect

from detectors.rules.template import expand
from tests.acceptance.harness import Monitor
from tests.fakes.forks import Forks
from tests.fakes.ports import free_port

__all__ = ["PHONE", "SCREEN", "Console", "chromium", "serious", "unseen", "walk", "widest"]

expect.set_options(timeout=60_000)  # of a machine that is busy
PASSWORD = "correct horse battery"
PHONE, SCREEN = ViewportSize(width=390, height=844), ViewportSize(width=1280, height=900)
_CONFIG = """
[console]
sign_in = true
[[sources]]
name = "services"
type = "file"
include = ["{folder}/log/*.log"]
start_at = "beginning"
[[sinks]]
name = "out"
type = "console"
[[actions]]
name = "revoke"
type = "command"
command = ["/bin/sh", "-c", "cat > /dev/null"]
rules = ["github-pat"]
"""
_PEOPLE = {"ada": "responder", "bob": "responder", "eve": "viewer", "root": "admin"}


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        # As root it has no sandbox, and a container's /dev/shm may be small.
        options = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        browser = await playwright.chromium.launch(executable_path=_program(), args=options)
        try:
            yield browser
        finally:
            await browser.close()


def _program() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    pytest.skip("there is no Chromium: apt-get install chromium")


class Console:
    """A daemon whose log has so many secrets in it, and people who may sign in."""

    def __init__(self, folder: Path, browser: Browser) -> None:
        self.browser = browser
        (folder / "log").mkdir(parents=True)
        self._log = folder / "log" / "app.log"
        self.monitor = Monitor(folder, _CONFIG.format(folder=folder))
        port = free_port()  # the same after it was killed
        config = self.monitor.config
        config.write_text(config.read_text().replace('"127.0.0.1:0"', f'"127.0.0.1:{port}"'))
        self.url = f"http://127.0.0.1:{port}"
        self._leaked = 0
        self._states: dict[str, Any] = {}

    @classmethod
    @asynccontextmanager
    async def running(cls, folder: Path, browser: Browser, leaks: int = 60) -> AsyncIterator[Console]:
        made = cls(folder, browser)
        made.leak(leaks)
        for name, role in _PEOPLE.items():
            command = ("users", "add", name, "--role", role, "--config", str(made.monitor.config))
            asked = {"cwd": folder, "env": made.monitor.environment, "stdin": f"{PASSWORD}\n"}
            done = await asyncio.to_thread(Forks.shared().run, *command, **cast(Any, asked))
            assert done.returncode == 0, done.stderr
        await made.monitor.start()
        try:
            yield made
        finally:
            await made.monitor.kill()

    def leak(self, count: int = 1) -> None:
        """That many new incidents."""
        with self._log.open("a", encoding="utf-8") as log:
            for _ in range(count):
                self._leaked += 1
                token = expand("ghp_{alnum:30}{crc32}", f"browser-{self._leaked}")
                log.write(f"2026-11-02T14:03:07Z ERROR payments push refused for {token} at step 3\n")

    @asynccontextmanager
    async def visit(
        self,
        who: str = "ada",
        *,
        size: ViewportSize = SCREEN,
        dark: bool = False,
        script: bool = True,
        zone: str = "Europe/Berlin",
        troubles: Sequence[str] = (),
    ) -> AsyncIterator[Page]:
        """A page of somebody who is signed in (empty: nobody). Nothing may be asked for elsewhere, and nothing fail but
        `troubles`, words of what the browser says."""
        context = await self.browser.new_context(
            viewport=size,
            color_scheme="dark" if dark else "light",
            java_script_enabled=script,
            timezone_id=zone,
            locale="en-GB",
            base_url=self.url,
            storage_state=await self._signed_in(who) if who else None,
        )
        context.set_default_timeout(60_000)  # of a machine that is busy
        said: list[str] = []
        page = await context.new_page()
        page.on(
            "console",
            lambda message: (
                said.append(f"{message.text} {message.location}") if message.type in ("error", "warning") else None
            ),
        )
        page.on("pageerror", lambda error: said.append(str(error)))
        elsewhere: list[str] = []
        host = urlsplit(self.url).netloc
        page.on("request", lambda asked: elsewhere.append(asked.url) if urlsplit(asked.url).netloc != host else None)
        yield page
        await context.close()
        wrong = [text for text in said if not any(word in text for word in troubles)]
        assert not elsewhere + wrong, elsewhere + wrong

    async def _signed_in(self, who: str) -> Any:
        if who not in self._states:
            context = await self.browser.new_context(base_url=self.url)
            page = await context.new_page()
            await page.goto("/sign-in")
            await page.get_by_label("Name").fill(who)
            await page.get_by_label("Password").fill(PASSWORD)
            await page.keyboard.press("Enter")
            await page.wait_for_url("**/incidents*")
            self._states[who] = await context.storage_state()
            await context.close()
        return self._states[who]

    async def listed(self, page: Page, count: int) -> None:
        """The list, once it has so many."""
        while True:
            await page.goto("/incidents?state=all")
            text = await page.locator("#rows").inner_text()
            if f"{count} incidents" in text:
                return
            await asyncio.sleep(0.1)


async def serious(page: Page) -> list[str]:
    """What axe-core finds wrong with a page that is serious or worse."""
    await page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text("utf-8"))
    found = await page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{page.url}: {problem['id']}: {node['html'][:200]} {[one['message'] for one in node['any'][:1]]}"
        for problem in found["violations"]
        if problem["impact"] in ("serious", "critical")
        for node in problem["nodes"][:3]
    ]


async def widest(page: Page) -> object:
    """What stands out to the right of a page."""
    script = """[...document.querySelectorAll("body *")].filter(one => one.getBoundingClientRect().right > innerWidth)
        .map(one => one.outerHTML.slice(0, 120)).slice(-5)"""
    return await page.evaluate(script)


# What has the focus, where it is not on the screen or not drawn as such.
_UNSEEN = """() => {
  const one = document.activeElement, style = getComputedStyle(one), box = one.getBoundingClientRect();
  const drawn = one.matches(":focus-visible") && style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
  const inside = box.width && box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth;
  return drawn && inside ? "" : one.outerHTML.slice(0, 150);
}"""
_STOPS = """() => [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex]")]
  .filter(one => one.checkVisibility() && !one.disabled && one.tabIndex >= 0).length"""
_WHERE = """() => {
  const all = window.stops ??= [], at = all.indexOf(document.activeElement);
  if (document.activeElement === document.body) return -1;
  return at < 0 ? all.push(document.activeElement) - 1 : at;
}"""


async def unseen(page: Page) -> str:
    """What has the focus, if nobody sees that it has."""
    return str(await page.evaluate(_UNSEEN))


async def walk(page: Page) -> list[str]:
    """Tab through all of a page: what is wrong with that."""
    wrong, steps = [], 0
    stops = int(await page.evaluate(_STOPS))
    while steps < stops:
        await page.keyboard.press("Tab")
        at = int(await page.evaluate(_WHERE))
        if at != steps:
            return [*wrong, f"{page.url}: after {steps} of {stops} Tab leads to {at}"]
        wrong += [f"{page.url}: {hidden}"] if (hidden := await unseen(page)) else []
        steps += 1
    await page.keyboard.press("Shift+Tab")
    back = int(await page.evaluate(_WHERE))
    return wrong if back == stops - 2 else [*wrong, f"{page.url}: Shift-Tab leads from {stops - 1} to {back}"]
