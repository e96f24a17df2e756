from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from detectors.match.engine import Engine
from detectors.rules.template import expand
from monitor import __version__
from monitor.audit.check import Judged
from monitor.audit.items import ITEMS
from monitor.audit.run import audit
from monitor.audit.settings import AuditConfig, Waiver
from monitor.clients.git import Git
from monitor.config.config import Config, load
from monitor.config.tables import MonitorConfig
from monitor.domain.model import Position, Print
from monitor.scan.cursor import Cursor, rules_digest
from monitor.scan.githooks import folder_of, install
from monitor.site import open_store, present_store
from monitor.store.inventory import SecretVersion
from tests.fakes.github import FakeGitHub
from tests.fakes.github_deploys import environment
from tests.monitor.audit.conftest import KEY, ONE, TWO, git, repository, write
from tests.monitor.audit.test_hosting import ALL as SWITCHES
from tests.monitor.audit.test_images import saved
from tests.monitor.cli.test_github import on
from tests.monitor.store.helpers import finding, fingerprint

IGNORED = ".env\n.env.local\n.env.*.local\n*.pem\n*.key\n"
TOKEN = expand("ghp_{alnum:30}{crc32}", 1)


WORKFLOW = """on: push
permissions: {{{permissions}}}
jobs:
  deploy:
    runs-on: ubuntu-latest
    steps:
      - env: {{TOKEN: "${{{{ secrets.TOKEN }}}}"}}
        run: {run}
"""
KEYS = f"SUPABASE_SERVICE_ROLE_KEY={ONE}{TWO}\nJWT_SECRET={TWO}{ONE}\n"


def good(folder: Path) -> Path:
    """A repository in which every item holds."""
    repository(
        folder,
        {
            ".gitignore": IGNORED + ".env.*\n!.env.example\n",
            ".env.example": "DB_PASSWORD=change-me\n",
            "gateway/main.py": "import os\nkey = os.environ['SUPABASE_SERVICE_ROLE_KEY']\n",
            "deploy/app.service": "[Service]\nLoadCredential=db:/etc/credentials/db\n",
            "deploy/trail.tf": 'resource "aws_cloudtrail" "all" {}\n',
            "Dockerfile": "FROM x\nCOPY gateway /app\n",
            "docs/rotation.md": "# Rotation\n\nEvery 90 days.\n",
            "docs/emergency.md": "# A secret leaked\n\nRevoke the key. Notify the on-call engineer.\n",
            ".github/workflows/deploy.yml": WORKFLOW.format(permissions="contents: read", run="docker push x"),
        },
    )
    write(folder, {".env.test": f"DB_PASSWORD={ONE}\n", ".env.staging": f"DB_PASSWORD={TWO}\n"})
    write(folder, {"gateway/.env.staging": KEYS, ".env.production": "DB_PASSWORD=vault:secret/app#password\n"})
    saved(folder.parent / f"{folder.name}.tar", [{"app/main.py": b"import os\n"}])
    return folder


def bad(folder: Path) -> Path:
    """One in which none does."""
    repository(
        folder,
        {
            ".gitignore": "*.log\n",
            ".env": f"GITHUB_TOKEN={TOKEN}\n",
            ".env.example": f"DB_PASSWORD={ONE}\n",
            "web/main.py": f"token = '{TOKEN}'\nkey = os.environ['SUPABASE_SERVICE_ROLE_KEY']\n",
            "web/auth.py": "secret = os.environ['JWT_SECRET']\n",
            "deploy/app.service": f"[Service]\nEnvironment=DB_PASSWORD={ONE}\n",
            "Dockerfile": f"FROM x\nENV DB_PASSWORD={ONE}\n",
            ".github/workflows/deploy.yml": WORKFLOW.format(permissions="", run="echo $TOKEN"),
        },
    )
    git(folder, "rm", "-q", "--cached", ".env")
    write(folder, {".env.production": f"DB_PASSWORD={ONE}\n", ".env.staging": f"DB_PASSWORD={ONE}\n"})
    saved(folder.parent / f"{folder.name}.tar", [{"app/.env": TOKEN.encode()}, {"app/.wh..env": b""}])
    return folder


async def audited(paths: list[Path], config: Config, *rest: Any, **more: Any) -> list[Judged]:
    """With the configured database, as the command has it."""
    async with present_store(config) as (store, no_store):
        return await audit(paths, config, *rest, store=store, no_store=no_store, **more)


def configured(folder: Path, github: FakeGitHub) -> Config:
    image = folder.parent / f"{folder.name}.tar"
    file = folder.parent / "config.toml"
    file.write_text(
        f"[monitor]\nstate_dir = 'state'\n[audit]\nimages = ['{image}']\n"
        "[[sources]]\nname = 'services'\ntype = 'file'\ninclude = ['/var/log/app.log']\n"
        "[[sources]]\nname = 'gh'\ntype = 'github'\norg = 'acme'\ntoken = 'env:GITHUB_TOKEN'\n"
        f"base_url = '{github.url}'\n"
    )
    return load(file)


def stopped_and_searched(folder: Path, config: Config, engine: Engine) -> None:
    """Our hook is in the repository, and its history was looked at."""
    repository = Git(folder)
    install(folder_of(repository), "pre-push", sys.executable, [])
    Cursor.of(repository, config.state_dir, rules_digest(engine.rules, __version__)).save()


async def history(config: Config, *, well: bool) -> None:
    """What the monitor has on record."""
    async with await open_store(config) as store:
        await store.drills.plan([fingerprint("drill")], pages=False)
        age = 1 if well else 100
        prints = (Print("f" * 32, "", 20, "hex"),) if well else ()
        kept = SecretVersion("db", "a", tags=("critical",), rotated=time.time() - age * 86_400)
        held = SecretVersion(
            "DB_PASSWORD", "b", environment="production", prints=prints, refused="" if well else "empty"
        )
        await store.inventory.save("vault", [kept, held], whole=True)
        leaked = finding("leaked", source="git", generation="repo:c:x")
        places = [Position("services", "/var/log/app.log", {"at": 1})]
        if not well:
            await store.commit([finding("real", time=time.time()), leaked], places)
            return
        await store.commit([finding("drill", time=time.time())], places)
        await store.incidents.transition(fingerprint("drill"), "ack", actor="a")
        await store.incidents.transition(fingerprint("drill"), "resolve", actor="a", resolution="used_in_tests")


async def judged(engine: Engine, folder: Path, *items: str, **more: object) -> Mapping[str, Judged]:
    config = Config(
        monitor=MonitorConfig(state_dir=folder.parent / "state"),
        audit=AuditConfig(images=(folder.parent / f"{folder.name}.tar",)),
        **more,  # type: ignore[arg-type]
    )
    found = await audited([folder], config, engine, KEY, items or list(ITEMS), now=1.8e9)
    return {one.id: one for one in found}


@pytest.mark.parametrize("well", [True, False], ids=["good", "bad"])
async def test_every_item_has_its_verdict(
    well: bool, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", FakeGitHub.token)
    async with FakeGitHub() as github:
        github.scopes = "security_events, read:org" if well else "repo"
        github.repos = {"acme/app": on(*SWITCHES) if well else on()}
        guarded = environment("production") if well else environment("production", reviewers=0)
        github.deploys.environments["acme/app"] = [guarded]
        folder = (good if well else bad)(tmp_path / "repo")
        config = configured(folder, github)
        await history(config, well=well)
        if well:
            stopped_and_searched(folder, config, engine)
        found = {one.id: one for one in await audited([folder], config, engine, KEY, list(ITEMS))}
    assert list(found) == list(ITEMS)
    wanted = "pass" if well else "fail"
    wrong = {name: [piece.text for piece in one.evidence] for name, one in found.items() if one.verdict != wanted}
    assert wrong == {}
    for one in found.values():
        assert all(piece.repeat for piece in one.evidence), one.id
    for value in (TOKEN[8:], ONE, TWO):
        assert value not in str(found)


async def test_a_waiver_accepts_until_the_end_of_its_day_and_only_where_it_says(engine: Engine, tmp_path: Path) -> None:
    today = datetime.fromtimestamp(1.8e9, UTC).date()
    folder = bad(tmp_path / "repo")

    async def one(*waivers: tuple[date, tuple[str, ...]]) -> Judged:
        rows = tuple(Waiver(item="env-example", reason="r", expires=day, paths=paths) for day, paths in waivers)
        return (await judged(engine, folder, "env-example", waivers=rows))["env-example"]

    assert (await one((today, ()))).accepted
    assert (await one((today, (".env.example",)))).accepted
    elsewhere = await one((today, ("web/",)))
    assert (elsewhere.verdict, elsewhere.accepted, elsewhere.expired) == ("fail", False, [])
    late = await one((date.fromordinal(today.toordinal() - 1), ()))
    assert (late.verdict, late.accepted, len(late.expired)) == ("fail", False, 1)
    renewed = await one((date.fromordinal(today.toordinal() - 1), ()), (today, ()))
    assert (renewed.accepted, renewed.expired) == (True, [])


async def test_a_check_that_fails_is_unknown(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_subject: object) -> list[object]:
        raise RecursionError(TOKEN)

    monkeypatch.setattr("monitor.audit.run.load", lambda item: broken)
    (one,) = (await judged(engine, tmp_path, "gitignore")).values()
    assert one.verdict == "unknown"
    assert "RecursionError" in one.evidence[0].text
    assert TOKEN not in str(one)


async def test_a_secret_in_a_name_is_masked(engine: Engine, tmp_path: Path) -> None:
    folder = write(tmp_path / "repo", {f"{TOKEN}/x.py": f"a = '{TOKEN}'\n", f"{TOKEN}\udcff/.env": "A=b"})
    found = await judged(engine, folder)
    assert found["secrets-in-environment"].verdict == "fail"
    assert TOKEN[8:] not in str(found)


async def test_an_image_alone_is_no_folder(engine: Engine, tmp_path: Path) -> None:
    image = saved(tmp_path / "a.tar", [{"a": b"x"}])
    config = Config(monitor=MonitorConfig(state_dir=tmp_path / "state"))
    found = await audited([image], config, engine, KEY, ["images", "gitignore", "secrets-in-environment"])
    assert {one.id: one.verdict for one in found} == {
        "images": "pass", "gitignore": "unknown", "secrets-in-environment": "unknown",
    }  # fmt: skip


async def test_ten_thousand_files(engine: Engine, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    for number in range(100):
        (folder / f"{number}").mkdir(parents=True)
        for inner in range(100):
            (folder / f"{number}" / f"{inner}.py").write_text(f"x = '{TOKEN}'\n" if inner < 2 else "x = 1\n")
    (one,) = (await judged(engine, folder, "secrets-in-environment")).values()
    assert one.counts["fail"] == 200
    assert len(one.evidence) == 50


@pytest.mark.parametrize("tools", [True, False], ids=["with git and zizmor", "without"])
@pytest.mark.parametrize("there", ["nothing", "a repository", "empty files"])
async def test_of_nothing_no_item_passes(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: str, tools: bool
) -> None:
    """No configuration, no database, nothing to look at, no program to ask: each of them is no evidence."""
    if not tools:
        monkeypatch.setenv("PATH", str(tmp_path / "none"))
        monkeypatch.setattr("monitor.audit.workflows.zizmor", lambda: None)
    folder = tmp_path / "folder"
    folder.mkdir()
    if there == "a repository" and tools:
        git(folder, "init", "-q", "-b", "main")
    if there == "empty files":
        write(folder, {".env.example": "", "docs/rotation.md": "", ".github/workflows/x.yml": ""})
    config = Config(monitor=MonitorConfig(state_dir=tmp_path / "state"))
    judged = {one.id: one for one in await audited([folder], config, engine, KEY, list(ITEMS))}
    assert judged.keys() == ITEMS.keys()
    verdicts = {name: one.verdict for name, one in judged.items()}
    bare = there == "a repository" and tools  # of which it is seen that nothing is ignored
    assert verdicts == {name: "fail" if name == "gitignore" and bare else "unknown" for name in ITEMS}
    assert all(one.evidence for one in judged.values())
    named = await audited([], config, engine, KEY, list(ITEMS))
    assert {one.verdict for one in named} == {"unknown"}


async def test_what_zizmor_would_have_checked_is_unknown_without_it(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.audit.workflows.zizmor", lambda: None)
    [one] = await audited([good(tmp_path / "good")], Config(), engine, KEY, ["workflows"])
    assert (one.verdict, one.counts["pass"], one.counts["unknown"]) == ("unknown", 1, 1)
