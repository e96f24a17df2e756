from __future__ import annotations

import gzip

import aiohttp
import pytest

from monitor.web.console.static import address, files
from tests.fakes.console import Pages, finding


async def test_the_style_is_ours_and_asks_for_nothing_elsewhere(pages: Pages) -> None:
    style = await pages.get(address("console.css"), plain=True)
    assert "prefers" in style or "light dark" in style
    assert "url(" not in style
    assert "@import" not in style


async def test_the_script_is_small_and_makes_no_code_of_text(pages: Pages) -> None:
    script = await pages.get(address("console.js"), plain=True)
    assert len(script) <= 8 << 10
    for word in ("eval", "Function(", "innerHTML", "outerHTML", "document.write", "://", "import("):
        assert word not in script, word


@pytest.mark.parametrize("name", ["console.css", "console.js"])
async def test_a_file_is_kept_for_good_under_the_address_of_its_content(pages: Pages, name: str) -> None:
    async with aiohttp.ClientSession(auto_decompress=False) as session:

        async def get(path: str, **headers: str) -> tuple[aiohttp.ClientResponse, bytes]:
            async with session.get(f"{pages.url}{path}", headers=headers) as answer:
                return answer, await answer.read()

        packed, body = await get(address(name), **{"Accept-Encoding": "gzip, deflate"})
        assert "immutable" in packed.headers["Cache-Control"]
        assert packed.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(body) == files()[name].plain
        assert packed.headers["Vary"] == "Accept-Encoding"

        plain, body = await get(address(name), **{"Accept-Encoding": "identity"})
        assert body == files()[name].plain
        assert "Content-Encoding" not in plain.headers

        again, body = await get(address(name), **{"If-None-Match": plain.headers["ETag"]})
        assert (again.status, body) == (304, b"")
        stem, _, ending = name.rpartition(".")
        earlier, body = await get(f"/static/{stem}.{'0' * 16}.{ending}")
        assert (earlier.status, gzip.decompress(body)) == (200, files()[name].plain)
        assert "immutable" not in earlier.headers["Cache-Control"]
        for wrong in ("/static/nothing.css", "/static/..%2Fpages.py"):
            assert (await get(wrong))[0].status == 404


async def test_the_first_page_is_small(pages: Pages) -> None:
    """With all that it brings along: it is opened on a phone at night."""
    await pages.store.commit([finding(n, path=f"/var/log/service-{n}/application.log") for n in range(120)])
    text = await pages.get("/incidents")
    assert text.count("<tr data-id=") == 50
    packed = len(gzip.compress(text.encode())) + sum(len(file.packed) for file in files().values())
    assert packed < 60_000, packed
