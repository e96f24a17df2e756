from __future__ import annotations

import pytest

from monitor.common.parts import UnknownTypeError
from sinks import SINKS, load_sink
from sinks.base import SinkConfig


@pytest.mark.parametrize("name", SINKS)
def test_every_type_loads_and_its_config_names_it(name: str) -> None:
    config = load_sink(name).Config
    assert issubclass(config, SinkConfig)
    assert config.model_config["extra"] == "forbid"
    assert config.model_fields["type"].annotation.__args__ == (name,)  # type: ignore[union-attr]


def test_an_unknown_type_offers_what_was_meant() -> None:
    with pytest.raises(UnknownTypeError, match=r"unknown sink type 'slak': did you mean slack\?"):
        load_sink("slak")
    with pytest.raises(UnknownTypeError, match="known types: alertmanager, apprise, console,"):
        load_sink("carrier-pigeon")
