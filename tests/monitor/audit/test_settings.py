from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from pydantic import ValidationError

from detectors.rules.template import expand
from monitor.audit.settings import AuditConfig, Waiver, fits
from monitor.config.config import load
from monitor.config.locate import ConfigError


def test_patterns_are_those_of_gitignore() -> None:
    assert fits(("*gateway*",), "services/api-gateway/main.py")
    assert fits(("services/gateway/",), "services/gateway/deep/main.py")
    assert not fits(("services/gateway/",), "services/web/main.py")
    assert fits(("*", "!web"), "gateway")
    assert not fits(("*", "!web"), "web")
    assert fits(("caf\ufffd",), "caf\udce9")


def test_a_waiver_with_paths_covers_only_there() -> None:
    everywhere = Waiver(item="images", reason="r", expires=date(2030, 1, 1))
    there = Waiver(item="images", reason="r", expires=date(2030, 1, 1), paths=("old/",))
    assert everywhere.covers("")
    assert there.covers("old/a")
    assert not there.covers("new/a")
    assert not there.covers("")


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"item": "gitignroe"}, "gitignore"),
        ({"reason": ""}, "reason"),
        ({"reason": f"it is {expand('ghp_{alnum:30}{crc32}', 1)}"}, "secret"),
        ({"expires": "soon"}, "expires"),
        ({"until": "2030-01-01"}, "until"),
    ],
)
def test_a_wrong_waiver_is_told_without_its_value(wrong: dict[str, str], says: str, tmp_path: Path) -> None:
    keys = {"item": "gitignore", "reason": "r", "expires": "2030-01-01"} | wrong
    file = tmp_path / "config.toml"
    file.write_text("[[waivers]]\n" + "".join(f'{key} = "{value}"\n' for key, value in keys.items()))
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert says in str(caught.value)
    assert expand("ghp_{alnum:30}{crc32}", 1) not in str(caught.value)


def test_paths_count_from_the_configuration_and_dates_may_be_dates(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(
        '[audit]\npaths = ["code"]\nimages = ["/a.tar"]\nrotation_document = "docs/rotation.md"\nlogs = "7d"\n'
        '[[waivers]]\nitem = "images"\nreason = "r"\nexpires = 2030-01-01\n'
    )
    config = load(file)
    assert config.audit.paths == (tmp_path / "code",)
    assert config.audit.images == (Path("/a.tar"),)
    assert config.audit.rotation_document == tmp_path / "docs/rotation.md"
    assert config.audit.logs == 7 * 86400
    assert config.waivers[0].expires == date(2030, 1, 1)


def test_names_are_names() -> None:
    with pytest.raises(ValidationError):
        AuditConfig(jwt_secrets=("a.*b",))
