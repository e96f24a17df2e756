"""The real command on logs of jobs: killed in the midst of one and before its end, nothing is missed or doubled."""

from __future__ import annotations

from pathlib import Path

from detectors.rules.template import expand
from tests.acceptance.case import Case
from tests.acceptance.harness import Monitor, until
from tests.fakes.github_actions import FakeActions

CONFIG = """
[rules]
packs = ["vcs/github"]
[[sources]]
name = "ci"
type = "github-actions"
org = "acme"
token = "env:GITHUB_TOKEN"
base_url = "{url}"
start_at = "beginning"
interval = "1s"
[[sinks]]
name = "screen"
type = "console"
"""
EACH, LINE = 12, "2026-11-30T16:00:00.0000000Z one more line of a build that says nothing of interest\n"


async def test_killed_in_the_midst_of_a_log_and_before_its_last_commit(tmp_path: Path) -> None:
    case = Case(tmp_path)
    async with FakeActions(chunk=1 << 18) as github:
        for number in range(2):
            values = [expand("ghp_{alnum:30}{crc32}", f"ci {number} {one}") for one in range(EACH)]
            text = "".join(f"{LINE * 2500}2026-11-30T16:00:00.0Z token={value}\n" for value in values)
            github.add_job(github.add_run(age=10 * number), text, name=f"build {number}")
        whole = len(text)
        monitor = Monitor(tmp_path, CONFIG.format(url=github.url), {"GITHUB_TOKEN": github.token})
        moments = [whole * 2 // 3, whole]  # when findings of it are stored; when all of it was sent, but for its end

        async def kill(sent: int) -> None:
            if moments and sent >= moments[0]:
                await until(lambda: case.rows("SELECT id FROM findings"), 120, lambda: monitor.errors[-2000:])
                await monitor.kill()
                moments.pop(0)

        github.on_chunk = kill
        for left in (1, 0):
            await monitor.start(wait=False)
            await until(lambda left=left: len(moments) == left, 120, lambda: monitor.errors[-2000:])  # type: ignore[misc]
            assert len(case.rows("SELECT key FROM positions WHERE key LIKE '%job:%'")) < 2
        await monitor.start()
        await until(
            lambda: len(case.rows("SELECT key FROM positions WHERE key LIKE '%job:%'")) == 2,
            120,
            lambda: monitor.errors[-2000:],
        )
        assert await monitor.terminate() == 0
        assert github.violations == []
    assert case.rows("SELECT count(*), min(occurrences), max(occurrences) FROM incidents") == [(2 * EACH, 1, 1)]
    assert case.rows("SELECT count(*) FROM findings") == [(2 * EACH,)]
