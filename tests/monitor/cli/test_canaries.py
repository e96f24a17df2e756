from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
import typer

from monitor.cli.canaries import plant
from tests.acceptance.harness import Monitor, until
from tests.fakes.webhook import FakeWebhook
from tests.monitor.cli.conftest import Command
from tests.monitor.cli.test_drill import CONFIG, drill
from tests.monitor.drill.test_ammunition import acme, shot


async def test_a_canary_is_quiet_where_it_lies_and_alarms_anywhere_else(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    async with FakeWebhook() as hook:
        monitor = Monitor(tmp_path, CONFIG, {"HOOK_URL": hook.url})
        await monitor.start()
        try:
            code, out, err = await drill(monitor, "--canary", "bird", "--at", str(logs / "env.log"))
            assert code == 0, err
            assert out == ""
            assert f"canary bird: seen anywhere but in {logs}/env.log, it is an alarm" in err
            line = (logs / "env.log").read_text()
            assert line.startswith("GITHUB_PAT=ghp_")
            assert "canary" not in line.lower(), "whoever finds it takes it for real"
            assert stat.S_IMODE((logs / "env.log").stat().st_mode) == 0o600
            value = line.strip().partition("=")[2]

            (logs / "env.log").rename(logs / "env.log.1")
            (logs / "auth.log").write_text(f"ERROR login with {value} refused\n")
            await until(lambda: hook.payloads, 120, lambda: monitor.errors[-1000:])
            (incident,) = hook.payloads[0]["incidents"]
            assert (incident["name"], incident["severity"]) == ("Canary bird was used or moved", "critical")
            assert [one["path"] for one in incident["locations"]] == [f"{logs}/auth.log"]
            assert incident["labels"]["planted"].startswith(f"{logs}/env.log on ")
            assert hook.payloads[0]["drill"] is False
            code, out, _ = await drill(monitor, "--canaries", "--format", "json")
            row: dict[str, Any] = json.loads(out)[0]
            assert (row["name"], row["incident"]) == ("bird", incident["id"])
        finally:
            await monitor.terminate()
    database = b"".join(path.read_bytes() for path in (tmp_path / "state").glob("state.db*"))
    assert value.encode() not in database + (monitor.errors + monitor.output + out + err).encode()
    assert json.dumps(hook.payloads).count(value) == 0


def test_what_cannot_be_a_canary_is_refused(monitor: Command, config: Path) -> None:
    (config.parent / "logs").mkdir()
    assert monitor("run", "--once", env={"HOOK_URL": "http://127.0.0.1:1"}).returncode == 0
    assert "give --at FILE" in monitor("drill", "--canary", "bird").stderr
    assert "takes a name of letters" in monitor("drill", "--canary", "a bird", "--at", "-").stderr
    answer = monitor("drill", "--canary", "bird", "--at", "absent/file")
    assert answer.returncode == 2
    assert "is no folder" in answer.stderr
    answer = monitor("drill", "--canary", "bird", "--at", "-", "--note", "the wiki")
    assert answer.stdout.startswith("ghp_")
    assert len(answer.stdout.splitlines()) == 1
    assert "already" in monitor("drill", "--canary", "bird", "--at", "-").stderr
    assert "the wiki" in monitor("drill", "--canaries").stdout
    raw = config.parent / os.fsdecode(b"caf\xe9")
    for link in ("link", "logs/app.log"):
        (config.parent / link).symlink_to(raw)
    raw.touch()
    for name, at in (("led", "~/logs/../link"), ("followed", "logs/app.log")):
        answer = monitor("drill", "--canary", name, "--at", at)
        assert answer.returncode == 0, answer.stderr
    assert raw.read_text().count("GITHUB_PAT=ghp_") == 2
    rows = json.loads(monitor("drill", "--canaries", "--format", "json").stdout)
    assert {row["name"]: row["place"] for row in rows} == {
        "bird": "the wiki",
        "led": f"{config.parent}/caf\\udce9",
        "followed": f"{config.parent}/logs/app.log",  # as its source names it
    }
    assert monitor("drill", "--forget", "bird").returncode == 0
    assert "no canary 'bird'" in monitor("drill", "--forget", "bird").stderr


def test_what_no_file_would_show_is_for_drills_and_no_canary(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It wants a space before it: it is found in a log, and not in a setting."""
    config = acme(tmp_path, r"(?:^|[ ])(?P<secret>acme_[a-z0-9]{20})\b")
    new = shot(config, "acme-key")
    assert new.logged
    assert not new.written
    with pytest.raises(typer.Exit) as ended:
        plant(config, "bird", new, "acme-key", at="-", note="")
    assert ended.value.exit_code == 2
    assert "no rule finds a secret of acme-key in a line of settings" in capsys.readouterr().err
