from __future__ import annotations

import pytest

from monitor.common.rotation_names import base_names, dated, first_names, numbered, original_names


@pytest.mark.parametrize(
    ("name", "bases"),
    [
        ("app.log", set()),
        ("app.log.1", {"app.log"}),
        ("app.log.12.gz", {"app.log", "app.log.12"}),
        ("app.log-20261124", {"app.log"}),
        ("app.log-20261124.zst", {"app.log", "app.log-20261124"}),
        ("app.log.2026-11-24_10:00:00", {"app.log", "app.log.2026", "app.log.2026-11", "app.log.2026-11-24"}),
        ("web.1-20261124", {"web", "web.1"}),
        ("app.log.old", {"app.log"}),
        ("app.log.gz", {"app.log"}),
        ("app-20261124.log", {"app.log"}),
        ("app.1.log", {"app.log"}),
        ("app-2.log.1", {"app-2.log"}),
        ("syslog.1", {"syslog"}),
        ("application", set()),
    ],
)
def test_names_before_rotation(name: str, bases: set[str]) -> None:
    assert base_names(name) == bases
    first, *others = original_names(f"/d/{name}")
    assert first == f"/d/{name}"
    assert set(others) == {f"/d/{base}" for base in bases}


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("app.log", ["app.log"]),
        ("app.log.2.gz", ["app.log"]),
        ("app-20261124.log.1.gz", ["app.log"]),
        ("app-2.log.1", ["app.log"]),
        ("app.1.old", ["app"]),
    ],
)
def test_names_before_any_rotation(name: str, names: list[str]) -> None:
    assert first_names(f"/d/{name}") == [f"/d/{name}" for name in names]


@pytest.mark.parametrize(("name", "so"), [("app-2.log", True), ("app.log", False), ("app.log.2", False)])
def test_a_number_before_the_ending_may_be_part_of_a_name(name: str, so: bool) -> None:
    assert numbered(f"/d-2.d/{name}") is so


@pytest.mark.parametrize(
    ("name", "so"),
    [
        ("app.log-20261124", True),
        ("app.log.2026-11-24_10:00:00", True),
        ("app-20261124.log", True),
        ("app.log.1795132800", True),
        ("app.log", False),
        ("app.log.12", False),
        ("app-20261124.log.1", False),
        ("app.log-20261124.1", False),
        ("app.log.old", False),
    ],
)
def test_a_date_is_in_the_name_of_one_file_only(name: str, so: bool) -> None:
    assert dated(f"/d-20261124/{name}") is so


@pytest.mark.parametrize("name", ["app.log.backup", "app.log.1.backup", "app.log-20261129.bak", "app.log.save"])
def test_endings_that_rotation_adds(name: str) -> None:
    assert "app.log" in base_names(name)
