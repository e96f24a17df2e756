from __future__ import annotations

import pytest
from pydantic import ValidationError

from monitor.sources.base import SourceConfig


def test_every_source_has_a_name_and_refuses_unknown_keys_without_showing_them() -> None:
    assert SourceConfig(name="a-1.b_c", type="file").name == "a-1.b_c"
    for keys in ({"name": ""}, {"name": "a b"}, {}, {"name": "a", "pasted": "s3cr3t"}):
        with pytest.raises(ValidationError) as caught:
            SourceConfig.model_validate({"type": "file", **keys})
        assert "s3cr3t" not in str(caught.value)
