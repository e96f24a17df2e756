from __future__ import annotations

from pathlib import Path

import pytest

from monitor.audit.items import ITEMS
from monitor.audit.run import load

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("item", ITEMS)
def test_every_item_has_its_check_and_stands_in_the_documentation(item: str) -> None:
    assert callable(load(item))
    assert ITEMS[item].remedy.endswith(".")
    assert f"`{item}`" in (ROOT / "docs" / "audit.md").read_text(encoding="utf-8")


def test_no_check_stands_for_two_items() -> None:
    assert len({item.check for item in ITEMS.values()}) == len(ITEMS)


def test_every_line_of_the_documented_checklist_is_an_item() -> None:
    page = (ROOT / "docs" / "audit.md").read_text(encoding="utf-8")
    table = page.partition("\n## Items\n")[2].partition("\n## ")[0]
    rows = [line.split("|")[1].strip().strip("`") for line in table.splitlines() if line.startswith("| `")]
    assert rows == list(ITEMS)
