from __future__ import annotations

import pytest
from pydantic import ValidationError

from monitor.sources.journal.config import JournalConfig


@pytest.mark.parametrize(
    "keys",
    [
        {"units": [""]},
        {"units": ["--flush"]},
        {"priority": "--flush"},
        {"boot": "x"},
        {"fields": ["message"]},
        {"fields": []},
        {"start_at": "middle"},
        {"unit": "x"},
    ],
)
def test_what_is_wrong_with_the_configuration(keys: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        JournalConfig.model_validate({"name": "journal", "type": "journal", **keys})


def test_a_relative_folder_counts_from_that_of_the_configuration() -> None:
    keys = {"name": "j", "type": "journal", "directory": "journals"}
    assert JournalConfig.model_validate(keys, context={"folder": "/etc/x"}).directory == "/etc/x/journals"
