from __future__ import annotations

import pytest
import typer

from monitor.cli.scan_options import size


@pytest.mark.parametrize(("text", "value"), [("10", 10), ("1K", 1024), ("2 MiB", 2 << 20), ("3gb", 3 << 30), (7, 7)])
def test_sizes(text: str | int, value: int) -> None:
    assert size(text) == value


@pytest.mark.parametrize("text", ["", "K", "-1", "1.5M", "10X"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        size(text)
