from __future__ import annotations

import html
import re
import time
from dataclasses import replace

import pytest

from monitor.access.reading import Reading
from monitor.runbook.progress import RunError
from monitor.store.inventory import Print, SecretVersion
from monitor.web.console.context import DueRotation
from monitor.web.console.visitor import Visitor
from tests.fakes.console import SPILLED, Pages
from tests.monitor.web.console.test_overview import words_of
from tests.monitor.web.console.test_sources import EVIL


def held(name: str, **changes: object) -> SecretVersion:
    made = SecretVersion(
        name, "ab" * 32, environment="production", owner=EVIL, prints=(Print("ab" * 32, "", 40, "hex"),)
    )
    return replace(made, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["/inventory", "/rotation", "/access", "/drills"])
async def test_without_any_it_says_what_to_do(pages: Pages, path: str) -> None:
    assert re.search(r"add|says|give|plants", await pages.get(path))
    assert "<" not in await pages.get(f"{path}?what=1", 400)


async def test_our_own_secrets_by_name(pages: Pages) -> None:
    inventory = pages.store.inventory
    await inventory.save("vault", [held(f"KEY_{n:03}") for n in range(60)], whole=True)
    await inventory.save(
        "env", [held(EVIL, refused=f"a placeholder {EVIL}", prints=())], whole=False, error=f"403 {EVIL}"
    )
    seen: list[str] = []
    address: str | None = "/inventory?entry=vault"
    while address:
        page = await pages.get(address)
        rows = re.findall(r'scope="row">(KEY_\d+)<', page)
        assert f"60 secrets: {len(rows)} on this page, {60 - len(rows)} more" in page
        seen += rows
        following = re.search(r'rel="next" href="([^"]+)"', page)
        address = html.unescape(following[1]) if following else None
    assert seen == sorted(set(seen))
    assert len(seen) == 60
    page = await pages.get("/inventory?environment=production&q=SCRIPT")
    text = words_of(page)
    assert "1 secret " in text
    assert "refused: a placeholder <script>" in text
    assert "env is not up to date: 403 <script>" in text
    assert EVIL not in page
    assert "\u202e" not in page
    assert "ab" * 32 not in page


async def test_what_is_due_for_another_value(pages: Pages) -> None:
    now = time.time()
    pages.due += [
        DueRotation("vault/LATE", now - 60, "overdue", "high", f"last changed {EVIL}", "ops", True),
        DueRotation("vault/SOON", now + 60, "soon", "low", "x", "", False),
    ]
    page = await pages.get("/rotation")
    text = words_of(page)
    assert text.index("vault/LATE") < text.index("vault/SOON")
    for words in ("2 secrets", "overdue high ops by the provider last changed <script>", "soon low no x"):
        assert words in text, words
    assert EVIL not in page


async def test_a_rotation_is_begun_by_an_admin_once(pages: Pages) -> None:
    pages.due += [DueRotation("vault/LATE", time.time() - 60, "overdue", "high", "x", "ops", False)]
    pages.who = Visitor("ada", "responder", form="f" * 32)
    assert "Begin it" not in await pages.get("/rotation")
    await pages.post("/rotation/start", 403, secret="vault/LATE")
    pages.who = Visitor("root", "admin", form="f" * 32)
    assert "<option>vault/LATE</option>" in await pages.get("/rotation")
    await pages.post("/rotation/start", 403, form="g" * 32, secret="vault/LATE")
    for _ in range(2):
        page = await pages.post("/rotation/start", once="o" * 20, secret="vault/LATE", note=f"new vendor {SPILLED}")
        assert f"Its rotation is incident {'ab' * 8}." in page
    assert pages.rotated == [("vault/LATE", "new vendor [masked]", "root")]
    pages.refusal = RunError(f"the rotation of this value is closed {EVIL}")
    page = await pages.post("/rotation/start", secret="vault/LATE")
    assert "the rotation of this value is closed" in page
    assert EVIL not in page


async def test_who_read_what(pages: Pages) -> None:
    now = time.time()
    readings = [
        Reading(f"{n}", now - 3600 * n, "prod/db", EVIL if n else "ada", outcome="denied", address="10.0.0.1")
        for n in range(60)
    ]
    await pages.store.commit((), [], readings=readings, source="vault")
    page = await pages.get("/access")
    assert "60 readings: 50 on this page, 10 more" in page
    assert EVIL not in page
    assert "1 reading " in words_of(await pages.get("/access?principal=ada&secret=prod%2Fdb"))
