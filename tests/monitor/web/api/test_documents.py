from __future__ import annotations

import pytest

from monitor.web.api.documents import BODIES, fields
from tests.fakes.console import SPILLED


def test_a_body_says_what_a_form_would() -> None:
    claim = BODIES["claim"]
    assert fields(claim, {"step": "revoke", "over": True}) == {"note": "", "step": "revoke", "over": "1"}
    assert fields(claim, {"step": "revoke"}) == {"note": "", "step": "revoke"}
    assert fields(BODIES["merge"], {"other": "0" * 16, "into": True})["way"] == "into"
    assert fields(BODIES["silence"], {"for": " 4h "})["for"] == "4h"


def test_what_is_wrong_is_named_and_not_repeated() -> None:
    for sent in ({"step": "revoke", SPILLED: 1}, {"step": SPILLED}, {"step": "revoke", "over": SPILLED}, {}):
        with pytest.raises(ValueError, match=r"step|over") as caught:
            fields(BODIES["claim"], sent)
        assert SPILLED not in str(caught.value)
