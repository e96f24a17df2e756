from __future__ import annotations

import pytest
from pydantic import ValidationError

from monitor.inventory.managers.amazon import AmazonConfig


def test_a_key_is_whole_or_none() -> None:
    given = {"name": "cloud", "type": "aws", "region": "eu-west-1"}
    assert AmazonConfig.model_validate(given).access_key_id is None
    for wrong in (
        {"access_key_id": "env:A"},
        {"session_token": "env:A"},
        {"region": "EU WEST"},
        {"access_key_id": "AKIA"},
    ):
        with pytest.raises(ValidationError):
            AmazonConfig.model_validate({**given, **wrong})
