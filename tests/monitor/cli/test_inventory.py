from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from detectors.fingerprint import fingerprint
from detectors.rules.template import expand
from monitor.config.config import load
from monitor.config.state import key
from monitor.store import Store

Command = Callable[..., subprocess.CompletedProcess[str]]
VALUE, OTHER = expand("{alnum:30}", 7), expand("{alnum:30}", 8)


@pytest.fixture
def env(tmp_path: Path) -> Path:
    (tmp_path / "config.toml").write_text(
        '[monitor]\nstate_dir = "state"\n[rules]\npacks = ["vcs/github"]\n'
        '[[inventory]]\nname = "gateway"\ntype = "dotenv"\npath = [".env"]\nenvironment = "production"\nowner = "ops"\n'
    )
    path = tmp_path / ".env"
    path.write_text(f"API_KEY={VALUE}\nDATABASE_URL=postgres://app:{OTHER}@db/app\nMODE=production\n")
    path.chmod(0o600)
    return path


def test_from_the_first_sync_to_forgetting(monitor: Command, env: Path, tmp_path: Path) -> None:
    assert monitor("inventory", "doctor").returncode == 0
    settings = load(tmp_path / "config.toml")
    assert not (settings.state_dir / "state.db").exists()
    answers = [monitor("inventory", "sync")]  # before any first run
    made = {path.name: path.stat().st_mode & 0o777 for path in settings.state_dir.iterdir() if path.is_file()}
    assert made.keys() >= {"state.db", "fingerprint.key"}
    assert set(made.values()) == {0o600}
    assert settings.state_dir.stat().st_mode & 0o777 == 0o700
    assert "gateway: 3 held, 3 added, 0 changed, 0 gone, 1 refused" in answers[0].stdout
    listed = json.loads(monitor("inventory", "list", "--format", "json").stdout)
    assert {row["name"]: row["state"] for row in listed} == {
        "API_KEY": "enrolled", "DATABASE_URL": "enrolled", "MODE": "refused",
    }  # fmt: skip
    shown = json.loads(monitor("inventory", "show", "DATABASE_URL", "--format", "json").stdout)
    [value] = shown["versions"][0]["values"]
    assert value == {
        "part": "password", "fingerprint": fingerprint(key(settings), OTHER.encode()), "length": 30,
        "alphabet": "letters and digits",
    }  # fmt: skip

    env.write_text(f"API_KEY={OTHER[::-1]}\n")
    changed = monitor("inventory", "sync", "gateway", "--format", "json")
    assert json.loads(changed.stdout)[0]["names"] == {
        "added": [], "changed": ["API_KEY"], "returned": [], "gone": ["DATABASE_URL", "MODE"],
    }  # fmt: skip
    env.write_text(f"API_KEY={VALUE}\n")
    again = monitor("inventory", "sync")
    assert "1 changed" in again.stdout
    assert "changed API_KEY: an earlier value is in use again" in again.stdout
    env.unlink()
    failed = monitor("inventory", "sync")
    assert (failed.returncode, "what was known before stays" in failed.stdout) == (1, True)
    assert "no such file" in monitor("inventory", "doctor").stdout
    answers += [
        failed,
        changed,
        *(monitor("inventory", *rest) for rest in (("list",), ("list", "--refused"), ("show", "API_KEY"))),
    ]
    assert "not up to date" in answers[3].stdout
    assert "previous" in answers[5].stdout
    assert monitor("inventory", "forget", "gateway/MODE").stdout == "forgotten: 1\n"
    assert monitor("inventory", "forget", "gateway/MODE").returncode == 1
    said = "".join(answer.stdout + answer.stderr for answer in answers)
    assert not any(secret[at : at + 6] in said for secret in (VALUE, OTHER) for at in range(24))


def test_a_secret_that_is_typed_as_a_name_is_not_repeated(monitor: Command, env: Path, tmp_path: Path) -> None:
    token = expand("ghp_{alnum:30}{crc32}", 12)

    async def create() -> None:
        await (await Store.open(tmp_path / "state" / "state.db")).close()

    asyncio.run(create())
    for command in ("show", "forget", "sync", "doctor"):
        done = monitor("inventory", command, token)
        assert done.returncode in (1, 2)
        assert token[:20] not in done.stdout + done.stderr


def test_mistakes_are_told(monitor: Command, env: Path) -> None:
    wrong = monitor("inventory", "sync", "gatewy")
    assert (wrong.returncode, "there are gateway" in wrong.stderr) == (2, True)
    (env.parent / "config.toml").write_text('[monitor]\nstate_dir = "state"\n')
    wrong = monitor("inventory", "doctor")
    assert (wrong.returncode, "no [[inventory]]" in wrong.stderr) == (2, True)
