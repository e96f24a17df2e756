from __future__ import annotations

import pytest

from monitor.common.parts import UnknownTypeError
from monitor.sources import SOURCES, load_source
from monitor.sources.base import SourceConfig


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_loads_with_its_config(name: str) -> None:
    source = load_source(name)
    assert issubclass(source.Config, SourceConfig)
    assert callable(source.run)


def test_an_unknown_type_names_what_was_meant() -> None:
    with pytest.raises(UnknownTypeError, match="did you mean file"):
        load_source("fille")
    with pytest.raises(UnknownTypeError, match=r"known types: .*file.*stdin"):
        load_source("zzz")
