from __future__ import annotations

import pytest

from monitor.common.parts import UnknownTypeError
from monitor.inventory.managers import MANAGERS, load_manager
from monitor.inventory.managers.base import ManagerConfig


@pytest.mark.parametrize("name", MANAGERS)
def test_every_provider_loads_with_its_config(name: str) -> None:
    manager = load_manager(name)
    assert issubclass(manager.Config, ManagerConfig)
    assert callable(manager.held)
    assert callable(manager.doctor)


def test_an_unknown_type_names_what_was_meant() -> None:
    with pytest.raises(UnknownTypeError, match="did you mean dotenv"):
        load_manager("dotnev")
    with pytest.raises(UnknownTypeError, match=r"known types: .*dotenv"):
        load_manager("zzz")
