from __future__ import annotations

import pytest
from pydantic import ValidationError

from detectors.rules.template import expand
from monitor.sources.base import LogConfig, SourceConfig


def test_every_source_has_a_name_and_refuses_unknown_keys_without_showing_them() -> None:
    assert SourceConfig(name="a-1.b_c", type="file").name == "a-1.b_c"
    for keys in ({"name": ""}, {"name": "a b"}, {}, {"name": "a", "pasted": "s3cr3t"}):
        with pytest.raises(ValidationError) as caught:
            SourceConfig.model_validate({"type": "file", **keys})
        assert "s3cr3t" not in str(caught.value)


def test_a_name_that_is_a_secret_is_refused_without_being_shown() -> None:
    token = expand("ghp_{alnum:30}{crc32}")
    with pytest.raises(ValidationError, match="looks like a secret") as caught:
        SourceConfig(name=token, type="file")
    assert token[5:] not in str(caught.value)


def test_a_form_of_audit_records_is_one_that_there_is() -> None:
    assert LogConfig(name="a", type="file", audit="vault").audit == "vault"
    with pytest.raises(ValidationError, match='did you mean "vault"'):
        LogConfig(name="a", type="file", audit="vaullt")
