from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from monitor.common.parts import UnknownTypeError
from monitor.inventory.managers import MANAGERS, load_manager
from monitor.inventory.managers.base import ManagerConfig
from tests.fakes.peer import test_of

_CASE = re.compile(r"await hardships\(|assert (?:CANARY|value|secret|token) not in ")


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


@pytest.mark.parametrize("name", MANAGERS)
def test_every_provider_is_tried_for_leaks(name: str) -> None:
    test = find_spec(test_of(MANAGERS[name]))
    text = Path(test.origin).read_text(encoding="utf-8") if test is not None and test.origin else ""
    assert _CASE.search(text), (
        f"{test_of(MANAGERS[name])}: nothing that goes wrong may show a token or a value: await hardships() of "
        "tests/fakes/vendor.py, or assert that they are not in what it says"
    )
