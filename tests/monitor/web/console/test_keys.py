from __future__ import annotations

from tests.fakes.console import Pages


async def test_keys_are_told_without_a_script_and_can_be_switched_off(pages: Pages) -> None:
    page, listed = await pages.get("/keys"), await pages.get("/incidents")
    for text in (page, listed):
        assert "<dt><kbd>j</kbd> <kbd>k</kbd></dt><dd>next and previous row</dd>" in text
        assert text.count('id="keys-on"') == text.count('id="keys-title"') == 1
    assert "<dialog" not in page
    assert '<a href="/keys" data-key="?">' in listed
