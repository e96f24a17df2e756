from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from monitor.store.rows import chunks, clean, narrowed
from monitor.store.schema import incidents


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


def test_a_query_is_narrowed_by_what_is_asked_for_alone() -> None:
    every, open_ = select(incidents.c.id), incidents.c.state == "open"
    assert str(narrowed(every, None, None)) == str(every)
    assert str(narrowed(every, None, open_)) == str(every.where(open_))
