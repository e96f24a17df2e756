from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from detectors.fingerprint import fingerprint
from detectors.rules.template import expand
from monitor.audit.dotenv import environments, examples
from monitor.store import Store
from monitor.store.inventory import Print, SecretVersion
from tests.monitor.audit.conftest import FOUR, ONE, THREE, TWO, Make, write

VALUE = ONE


def test_an_example_with_placeholders_passes(make: Make, tmp_path: Path) -> None:
    text = "DB_PASSWORD=change-me\nAPI_KEY=<your key>\nPORT=8080\nTOKEN=${TOKEN}\nREDIS_PASSWORD=postgres\nEMPTY_KEY=\n"
    write(tmp_path, {".env.example": text})
    (one,) = examples(make(tmp_path))
    assert (one.verdict, one.text) == ("pass", ".env.example: 6 variables, no real value")


def test_each_real_value_in_an_example_fails_once(make: Make, tmp_path: Path) -> None:
    token = expand("ghp_{alnum:30}{crc32}", 1)
    write(
        tmp_path,
        {
            ".env": "LABEL=the one value\n",
            "web/.env.local": f"DB_PASSWORD={VALUE}\n",
            "web/.env.sample": f"A=1\nPG={VALUE}\nGITHUB_TOKEN={token}\nHMAC_KEY={TWO}\nPUBLIC_KEY={VALUE}\n",
        },
    )
    found = [one for one in examples(make(tmp_path)) if one.verdict == "fail"]
    assert {one.line for one in found} == {2, 3, 4}
    assert len(found) == 3
    assert "PG has the value of web/.env.local" in str(found)
    for value in (VALUE, token, TWO):
        assert value not in str(found)


async def test_one_value_in_two_environments_fails_and_is_not_shown(make: Make, tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            ".env.production": f"DB_PASSWORD='{VALUE}'\nLOG_TOKEN={TWO}\nNEXT_PUBLIC_KEY={FOUR}\n",
            ".env.staging": f"X=1\nPGPASSWORD={VALUE}\nLOG_TOKEN={THREE}\nNEXT_PUBLIC_KEY={FOUR}\n",
        },
    )
    (one,) = [one async for one in environments(make(tmp_path)) if one.verdict != "pass"]
    assert one.verdict == "fail"
    assert "DB_PASSWORD in .env.production:1 (production); PGPASSWORD in .env.staging:2 (staging)" in one.text
    assert VALUE not in str(one)


async def test_different_values_pass_and_one_environment_is_unknown(make: Make, tmp_path: Path) -> None:
    write(tmp_path, {"prod/.env": f"DB_PASSWORD={VALUE}\n", "dev/.env": f"DB_PASSWORD={TWO}\n"})
    assert [one.verdict async for one in environments(make(tmp_path))] == ["pass"]
    assert [one.verdict async for one in environments(make(tmp_path / "prod"))] == ["unknown", "unknown"]


async def test_a_value_in_two_folders_that_are_named_together(make: Make, tmp_path: Path) -> None:
    write(tmp_path, {"a/.env.production": f"DB_PASSWORD={VALUE}\n", "b/.env.dev": f"DB_PASSWORD={VALUE}\n"})
    assert [one.verdict async for one in environments(make(tmp_path / "a", tmp_path / "b"))] == ["fail"]


async def test_the_inventory_is_compared_too(make: Make, tmp_path: Path) -> None:
    write(tmp_path / "r", {".env.staging": f"DB_PASSWORD={VALUE}\n"})
    async with await Store.open(tmp_path / "state.db") as store:
        subject = replace(make(tmp_path / "r"), store=store)

        async def held(value: str) -> list[str]:
            prints = (Print(fingerprint(subject.key, value.encode()), "", 14, "alnum"),)
            kept = SecretVersion("db", value[:3], environment="PROD", prints=prints)
            await store.inventory.save("vault", [kept], whole=True)
            return [one.text async for one in environments(subject) if one.verdict == "fail"]

        assert await held(TWO) == []
        (text,) = await held(VALUE)
        assert "vault/db (production); DB_PASSWORD in .env.staging:1 (staging)" in text
