from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from sinks.base import SinkConfig


def test_names_are_plain() -> None:
    name = TypeAdapter(SinkConfig)
    assert name.validate_python({"name": "chat-1.a_b", "type": "x"}).fallback is None
    for bad in ("", "a b", "a/b", "a\n"):
        with pytest.raises(ValidationError):
            name.validate_python({"name": bad, "type": "x"})
