from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from monitor.store.rows import chunks, clean


@given(st.text(alphabet=st.characters(codec=None, categories=["L", "N", "Cc", "Cs", "So"])))
def test_clean_text_is_valid_and_stays_as_it_is(text: str) -> None:
    cleaned = clean(text)
    assert "\0" not in cleaned
    cleaned.encode("utf-8")
    assert clean(cleaned) == cleaned


def test_plain_text_is_untouched() -> None:
    assert clean("/var/log/über ☃.log") == "/var/log/über ☃.log"


def test_chunks_are_bounded_and_without_repeats() -> None:
    sizes = [len(chunk) for chunk in chunks([*range(1_200), *range(1_200)])]
    assert sizes == [500, 500, 200]
    assert list(chunks([])) == []
