from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from detectors.rules.template import expand
from monitor.audit.check import Evidence
from monitor.audit.holders import jwt_secret, service_role
from monitor.store import Store
from monitor.store.inventory import SecretVersion
from tests.monitor.audit.conftest import ONE, Make, write

KEY = "SUPABASE_SERVICE_ROLE_KEY"
LONG = ONE + ONE[::-1]


async def wrong(found: AsyncIterator[Evidence]) -> list[tuple[str, str]]:
    pieces = [one async for one in found]
    assert pieces
    return [(one.verdict, one.text) for one in pieces if one.verdict != "pass"]


async def test_the_gateway_alone_passes_and_prose_and_examples_may_speak_of_it(make: Make, tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "services/gateway/main.py": f"os.environ['{KEY}']\n",
            "services/gateway/.env": f"{KEY}={LONG}\n",
            "docs/keys.md": f"The {KEY} is for the gateway.\n",
            ".env.example": f"{KEY}=change-me\n",
            "web/main.ts": "const x = 'SUPABASE_SERVICE_ROLE_KEYS'\n",
        },
    )
    (one,) = [one async for one in service_role(make(tmp_path))]
    assert one.verdict == "pass"
    assert "services/gateway/.env, services/gateway/main.py alone" in one.text


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("web/main.ts", f"x\nprocess.env.{KEY}\n", "web/main.ts:2: names the service-role key"),
        ("web/main.ts", f"process.env.NEXT_PUBLIC_{KEY}\n", "web/main.ts:1: names"),
        ("web/big.js", "x\n" * 700_000 + f"{KEY}\n", "web/big.js:700001: names"),
        ("web/.env", f"{KEY}={LONG}\n", "web/.env:1: names"),
        ("web/.env", f"OTHER_TOKEN={LONG}\n", "web/.env holds the service-role key"),
        ("web/a.txt", expand("x {supabase-secret} x", 1), "web/a.txt holds"),
        ("web/a.js", expand("x = '{jwt:iss=supabase;ref=*;role=service_role}'", 1), "web/a.js holds"),
        ("web.service", "[Service]\nEnvironmentFile=-{base}/gateway/.env\n", "web.service holds"),
        ("compose.yml", f"services:\n  web:\n    environment: [{KEY}]\n", "compose.yml:3: service web gets"),
        ("compose.yml", "services:\n  web:\n    env_file: gateway/.env\n", "service web gets"),
        ("compose.yml", f"# {KEY}\nservices:\n  web:\n    env_file: ./gateway/.env\n", "service web gets"),
        ("compose.yml", f"x-e: &e {{{KEY}: x}}\nservices:\n  web:\n    environment: *e\n", "service web gets"),
        ("k8s.yml", f"kind: Deployment\nmetadata: {{name: web}}\nspec: [{KEY}]\n", "Deployment web gets"),
        (".github/workflows/a.yml", f"jobs:\n  web:\n    steps: [run: '${{{{ secrets.{KEY} }}}}']\n", "job web gets"),
        ("values.yaml", f"env: {KEY}\n", "values.yaml:1: names"),
    ],
)  # fmt: skip
async def test_anybody_else_fails(name: str, text: str, says: str, make: Make, tmp_path: Path) -> None:
    write(tmp_path, {"gateway/.env": f"{KEY}={LONG}\n", name: text.replace("{base}", str(tmp_path))})
    found = await wrong(service_role(make(tmp_path)))
    assert [verdict for verdict, _ in found] == ["fail"]
    assert says in found[0][1]
    assert LONG not in found[0][1]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("compose.yml", f"services:\n  api-gateway:\n    environment: [{KEY}]\n  web: {{}}\n"),
        ("k8s.yml", f"kind: Deployment\nmetadata: {{name: gateway}}\nspec: [{KEY}]\n---\nkind: Service\n"),
        ("web/a.js", expand("x = '{jwt:iss=supabase;ref=*;role=anon}'", 1)),
    ],
)
async def test_a_service_is_allowed_by_its_name(name: str, text: str, make: Make, tmp_path: Path) -> None:
    write(tmp_path, {"gateway/.env": f"{KEY}={LONG}\n", name: text})
    assert await wrong(service_role(make(tmp_path))) == []


async def test_who_may_have_it_is_configured(make: Make, tmp_path: Path) -> None:
    write(tmp_path, {"edge/main.py": f"{KEY}\n"})
    assert await wrong(service_role(make(tmp_path))) != []
    assert await wrong(service_role(make(tmp_path, gateway=("edge/",)))) == []
    assert await wrong(service_role(make(tmp_path, service_keys=("OTHER",)))) == []


async def test_broken_yaml_that_names_it_is_unknown(make: Make, tmp_path: Path) -> None:
    write(tmp_path, {"compose.yml": f"services: [\n{KEY}\n"})
    ((verdict, text),) = await wrong(service_role(make(tmp_path)))
    assert (verdict, "broken YAML" in text) == ("unknown", True)


async def test_the_jwt_secret(make: Make, tmp_path: Path) -> None:
    write(tmp_path, {"gateway/.env": f"JWT_SECRET={LONG}\n", "web/a.py": "JWT_SECRET_TTL = 1\n"})
    assert await wrong(jwt_secret(make(tmp_path))) == []
    write(
        tmp_path, {"web/.env": f"AUTH={LONG}\nSIGNING_KEY='{LONG}'\n", "api/a.py": "os.environ['GOTRUE_JWT_SECRET']\n"}
    )
    assert [text.split(" ")[0] for _, text in await wrong(jwt_secret(make(tmp_path)))] == ["api/a.py:1:", "web/.env"]
    assert [verdict for verdict, _ in await wrong(jwt_secret(make()))] == ["unknown"]


async def test_consumers_in_the_inventory(make: Make, tmp_path: Path) -> None:
    async with await Store.open(tmp_path / "state.db") as store:
        found = [
            SecretVersion("/srv/app/.env:JWT_SECRET", "a", consumers=("gateway",)),
            SecretVersion("other", "b", consumers=("web",)),
        ]
        await store.inventory.save("vault", found, whole=True)
        subject = replace(make(write(tmp_path / "r", {"a": "x"})), store=store)
        assert await wrong(jwt_secret(subject)) == []
        await store.inventory.save("vault", [replace(found[0], consumers=("gateway", "web"))], whole=False)
        assert await wrong(jwt_secret(subject)) == [
            ("fail", "inventory vault//srv/app/.env:JWT_SECRET: the JWT secret is consumed by web")
        ]
        assert await wrong(service_role(subject)) == []
