from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.acceptance.harness import Monitor
from tests.fakes.forks import Forks
from tests.fakes.server import FAULTS
from tests.fakes.webhook import FakeWebhook
from tests.monitor.cli.conftest import ROOT, Command

CONFIG = """
[rules]
packs = ["vcs/github"]
[[sources]]
name = "services"
type = "file"
include = ["logs/*.log"]
[[sinks]]
name = "hook"
type = "webhook"
url = "env:HOOK_URL"
"""


async def drill(monitor: Monitor, *arguments: str, prefix: Sequence[str] = ()) -> tuple[int, str, str]:
    command = ("drill", *arguments, "--config", str(monitor.config))
    done = await asyncio.to_thread(Forks.shared().run, *command, cwd=ROOT, env=monitor.environment, before=prefix)
    return done.returncode, done.stdout, done.stderr


async def test_every_hop_of_a_drill_comes_and_everybody_is_told_that_it_is_one(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    async with FakeWebhook() as hook:
        monitor = Monitor(tmp_path, CONFIG, {"HOOK_URL": hook.url})
        await monitor.start()
        try:
            code, out, err = await drill(monitor, "--format", "json")
            assert code == 0, out + err
            row: dict[str, Any] = json.loads(out)
            assert row["ok"] is True
            assert [hop["hop"] for hop in row["hops"]] == [
                *("detected", "incident", "routed", "alerted hook", "acknowledged", "closed"),
            ]
            assert hook.problems == []
            assert [payload["reason"] for payload in hook.payloads] == ["new", "acknowledged", "resolved"]
            assert all(payload["drill"] is True for payload in hook.payloads)
            assert hook.payloads[-1]["incidents"][0]["resolution"] == "used_in_tests"
            assert list((tmp_path / "logs").iterdir()) == [], "what was planted is gone"

            hook.always = FAULTS["500"]
            code, out, err = await drill(monitor, "services", "--timeout", "2s")
            assert code == 1
            assert "drill: alerted hook: sink hook has not taken it within 2 s" in err
            assert "detected" in out
            assert list((tmp_path / "logs").iterdir()) == []
        finally:
            await monitor.terminate()
        code, out, err = await drill(monitor, "services", "--timeout", "1s")
        assert code == 1
        assert "drill: detected: source services has not found it within 1 s: is `monitor run` running" in err

        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "monitor", "drill", "services", "--config", str(monitor.config)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=monitor.environment,
            cwd=ROOT,
        )
        while not list((tmp_path / "logs").iterdir()):
            assert process.returncode is None
            await asyncio.sleep(0.01)
        process.terminate()
        out, err = (stream.decode() for stream in await process.communicate())
        assert (process.returncode, err) == (143, "")
        assert list((tmp_path / "logs").iterdir()) == [], "what was planted is gone though it was ended"


def test_what_cannot_be_drilled_is_refused(monitor: Command, config: Path) -> None:
    answer = monitor("drill", "nobody")
    assert answer.returncode == 2
    assert "no source is named 'nobody'; sources to drill: logs" in answer.stderr
    with config.open("a") as file:
        file.write('[[sources]]\nname = "pipe"\ntype = "stdin"\n')
    answer = monitor("drill", "pipe")
    assert answer.returncode == 2
    assert "nothing can be planted in pipe, which is of type stdin; sources to drill: logs" in answer.stderr
    (config.parent / "logs").mkdir()
    answer = monitor("drill")
    assert answer.returncode == 1
    assert "no monitor has run on this state yet" in answer.stderr
    assert monitor("drill", "--timeout", "soon").returncode == 2
