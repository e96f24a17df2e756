from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from detectors.windows import thinned, windows


@given(st.lists(st.integers(0, 5000), min_size=70, max_size=400), st.integers(16, 90), st.integers(0, 40))
def test_thinned_ends_lead_to_the_same_windows(ends: list[int], back: int, ahead: int) -> None:
    whole = windows(ends, back, ahead, 5000)
    assert windows(thinned(ends), back, ahead, 5000) == whole
    for end in ends:
        assert any(low <= max(0, end - back) and min(5000, end + ahead) <= high for low, high in whole)
