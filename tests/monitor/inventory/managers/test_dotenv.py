"""`.env` files as deployments write them, real ones in folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.clients.client import ServiceError
from monitor.config.config import parse as parse_config
from monitor.config.locate import ConfigError
from monitor.inventory.managers.dotenv import DotenvConfig, DotenvManager, parse


def manager(folder: Path, *paths: str) -> DotenvManager:
    return DotenvManager(DotenvConfig(name="e", type="dotenv", path=tuple(str(folder / path) for path in paths)))


async def held(manager: DotenvManager) -> dict[str, bytes | None]:
    return {one.name: one.value async for one in manager.held()}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"A=plain\n", b"plain"),
        (b"export A = spaced \n", b"spaced"),
        (b"A=plain # said\n", b"plain"),
        (b"A=with#inside\n", b"with#inside"),
        (b"A='single # kept\\n'\n", b"single # kept\\n"),
        (b'A="double \\"quoted\\" \\n# kept" # said\n', b'double "quoted" \n# kept'),
        (b'A=`it\'s "both"`\n', b'it\'s "both"'),
        (b'A="one\ntwo\n"\nB=x\n', b"one\ntwo\n"),
        (b"\xef\xbb\xbfA=first\r\nB=x\r\n", b"first"),
        (b"A: yaml\n", b"yaml"),
        (b'A="no end\n', b'"no end'),
        (b"A=\n", b""),
        (b"A=\xff\x00\xfe\n", b"\xff\x00\xfe"),
        (b"A=first\nA=last\n", b"last"),
        (b"A=no newline", b"no newline"),
        # Each space of many was looked at once for every one before it, which took minutes.
        (b"A=x" + b" " * 100_000 + b"y", b"x" + b" " * 100_000 + b"y"),
        (b"A=x" + b" " * 100_000 + b"# said", b"x"),
    ],
    ids=range(17),
)
def test_a_value_is_read_as_it_is_meant(text: bytes, value: bytes) -> None:
    found = parse(text)
    assert found["A"] == value
    assert found.get("B", b"x") == b"x"


async def test_one_file_gives_plain_names_and_many_give_their_paths(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / ".env").write_text(f"KEY={folder}\n")
    (tmp_path / "a" / ".env.production").write_text("OTHER=c\n")
    (tmp_path / "a" / ".env.example").write_text("KEY=changeme\n")
    (tmp_path / "a" / "notes.txt").write_text("KEY=d\n")
    assert await held(manager(tmp_path, "a/.env")) == {"KEY": b"a"}
    assert await held(manager(tmp_path, "a", "*/.env")) == {
        f"{tmp_path}/a/.env:KEY": b"a",
        f"{tmp_path}/a/.env.production:OTHER": b"c",
        f"{tmp_path}/b/.env:KEY": b"b",
    }


async def test_what_can_be_read_is_given_before_it_fails(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("KEY=a\n")
    (tmp_path / "big.env").write_bytes(b"KEY=" + bytes(17 << 20))
    given = manager(tmp_path, ".env", "big.env", "gone.env").held()
    assert (await anext(given)).value == b"a"
    with pytest.raises(ServiceError, match=r"gone\.env: no such file.*big\.env: larger") as caught:
        await anext(given)
    assert "KEY" not in str(caught.value)


async def test_the_doctor_compares_the_example_and_shows_no_value(tmp_path: Path) -> None:
    value = "kept-from-sight-0"
    (tmp_path / ".env").write_text(f"KEY={value}\nUNSAID=x\nno assignment {value}\n")
    (tmp_path / ".env").chmod(0o644)
    (tmp_path / ".env.example").write_text(f"KEY={value}\nLACKING=\n")
    said = "\n".join(await manager(tmp_path, ".env").doctor())
    for part in (
        "can read it; chmod",
        ".env:3: not NAME=value",
        "KEY has the value that is in use",
        "LACKING",
        "UNSAID",
    ):
        assert part in said
    assert value not in said
    assert await manager(tmp_path, "other/**/.env").doctor() == ["`path` names no file that there is"]

    (tmp_path / ".env").write_text(f"KEY={value}\n")
    (tmp_path / ".env").chmod(0o600)
    (tmp_path / ".env.example").write_text("KEY=\n")
    assert await manager(tmp_path, ".env").doctor() == []


def test_an_entry_is_checked_with_the_rest_of_the_configuration(tmp_path: Path) -> None:
    text = '[[inventory]]\nname = "e"\ntype = "dotenv"\npath = [".env"]\ninterval = "1h"\n'
    [entry] = parse_config(text, tmp_path / "config.toml").inventory
    assert isinstance(entry, DotenvConfig)
    assert entry.path == (str(tmp_path / ".env"),)
    assert entry.interval == 3600.0
    assert parse_config(text.replace("dotenv", "vaultt"), rules_only=True).inventory == ()
    for wrong, said in (
        (text.replace("dotenv", "dotenf"), "did you mean dotenv"),
        (text + text, "names must be unique"),
        (text.replace("path", "paths"), "unknown key; did you mean"),
    ):
        with pytest.raises(ConfigError, match=said):
            parse_config(wrong)
