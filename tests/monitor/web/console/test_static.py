from __future__ import annotations

from tests.fakes.console import Pages


async def test_the_style_is_ours_and_asks_for_nothing_elsewhere(pages: Pages) -> None:
    style = await pages.get("/console.css", plain=True)
    assert "prefers" in style or "light dark" in style
    assert "url(" not in style
    assert "@import" not in style
