"""The recipes of the documentation with real programs of others, by the lines as they stand there: `make recipes`."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.harness import Monitor, Planter, until
from tests.fakes.ports import free_port
from tests.fakes.webhook import FakeWebhook

DOCS = Path(__file__).parents[2] / "docs"
HOOK = '[[sinks]]\nname = "hook"\ntype = "webhook"\nurl = "env:HOOK_URL"\n'
# What Debian's own configuration has before the lines of the page: the socket that `logger` writes to
BEFORE = {
    "rsyslogd": 'global(workDirectory="{folder}")\nmodule(load="imuxsock" SysSock.Use="off")\n'
    'input(type="imuxsock" Socket="{folder}/log")\n{lines}',
    "syslog-ng": '@version: 4.2\nsource s_src {{ unix-dgram("{folder}/log"); }};\n{lines}',
}
OPTIONS = {
    "rsyslogd": ["-n", "-f", "{folder}/conf", "-i", "{folder}/pid"],
    "syslog-ng": ["-F", "-f", "{folder}/conf", "-p", "{folder}/pid", "-R", "{folder}/state", "-c", "{folder}/control"],
}


def lines(page: str, word: str) -> str:
    """The indented lines of a page in which a word stands."""
    blocks = re.findall(r"(?m)(?:^ {4}.*\n)+", (DOCS / page).read_text())
    (block,) = (block for block in blocks if word in block)
    return re.sub(r"(?m)^ {4}", "", block)


@contextlib.asynccontextmanager
async def running(program: str, folder: Path, text: str) -> AsyncIterator[Path]:
    """The socket that the program reads, when it is there."""
    if shutil.which(program) is None:
        pytest.fail(f"{program} is not on PATH; `make recipes` brings it")
    folder.mkdir()
    (folder / "conf").write_text(BEFORE[program].format(folder=folder, lines=text))
    with (folder / "out").open("wb") as out:
        options = [option.format(folder=folder) for option in OPTIONS[program]]
        process = await asyncio.create_subprocess_exec(program, *options, stdout=out, stderr=out)
    try:
        await until(
            lambda: (folder / "log").exists() or process.returncode is not None,
            20,
            lambda: f"{program} does not listen",
        )
        assert process.returncode is None, (folder / "out").read_text()
        yield folder / "log"
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def incident(hook: FakeWebhook, folder: Path) -> dict[str, Any]:
    """The only one, when it is alerted."""
    await until(lambda: hook.payloads, 60, lambda: (folder / "stderr").read_text()[-2000:])
    (payload,) = hook.payloads
    (found,) = payload["incidents"]
    assert isinstance(found, dict)
    return found


@pytest.mark.recipe
@pytest.mark.parametrize(("program", "word"), [("rsyslogd", "omfwd"), ("syslog-ng", "d_monitor {")])
async def test_what_a_syslog_daemon_forwards_is_one_incident(tmp_path: Path, program: str, word: str) -> None:
    port, planter = free_port(), Planter(7)
    text = lines("sources.md", word).replace("5514", str(port)).replace("/var/lib/syslog-ng", str(tmp_path / program))
    async with FakeWebhook() as hook:
        source = f'[[sources]]\nname = "net"\ntype = "syslog"\nlisten = ["tcp:127.0.0.1:{port}"]\n'
        monitor = Monitor(tmp_path / "monitor", source + HOOK, {"HOOK_URL": hook.url})
        await monitor.start()
        async with running(program, tmp_path / program, text) as socket:
            for _ in range(2):  # the same secret again is no second incident
                said = f"login with {planter.secret() if not planter.planted else next(iter(planter.planted.values()))}"
                logger = await asyncio.create_subprocess_exec("logger", "--socket", str(socket), "--tag", "shop", said)
                assert await logger.wait() == 0
            seen = await incident(hook, monitor.folder)
        assert await monitor.terminate() == 0
    assert seen["fingerprint"] in planter.planted
    assert seen["locations"][0]["service"] == "shop"
