from __future__ import annotations

import pytest

from tests.detectors.match.test_decode import regions


@pytest.mark.parametrize("escape", ["\x1b", r"\u001b", r"\x1b", r"\033", "#033", "^["])
def test_lines_lose_their_colours_and_places_lead_back(escape: str) -> None:
    coloured = f"{escape}[36mkey{escape}[0m={escape}[35mk3j9{escape}[1mx2m4{escape}[0m"
    data = f"plain\n{coloured}\n{'x' * 2000}\nplain\n{coloured} end\nplain".encode()
    found = regions(data, "terminal")
    assert [region.text for region in found] == [b"key=k3j9x2m4", b"key=k3j9x2m4 end"]
    for region in found:
        start, end = region.places()(4, 12)
        assert data[start:end].decode() == f"k3j9{escape}[1mx2m4"
    near = f"{coloured}\n".encode() * 50
    (region,) = regions(near, "terminal")
    assert region.text.count(b"key=k3j9x2m4\n") == 49
