from __future__ import annotations

import pytest
from pydantic import ValidationError

from detectors.rules.template import expand
from monitor.common.table import Component, Table


class _Sized(Table):
    size: int = 1


def test_a_table_takes_no_other_keys_and_shows_no_value() -> None:
    for wrong in ({"sise": "hidden"}, {"size": "hidden"}):
        with pytest.raises(ValidationError) as caught:
            _Sized.model_validate(wrong)
        assert "hidden" not in str(caught.value)


def test_a_name_is_plain_and_no_secret() -> None:
    assert Component.model_validate({"name": "chat-1.a_b", "type": "x"}).name == "chat-1.a_b"
    token = expand("ghp_{alnum:30}{crc32}")
    for bad in ("", "a b", "a/b", "a\n", token):
        with pytest.raises(ValidationError) as caught:
            Component.model_validate({"name": bad, "type": "x"})
        assert token[5:] not in str(caught.value)
