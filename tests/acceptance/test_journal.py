"""The real daemon on a journal that the real systemd-journal-remote writes, killed in the middle."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.acceptance.harness import Monitor, Planter, fingerprints, until
from tests.acceptance.test_crash import stored
from tests.fakes.journal import Journal
from tests.fakes.webhook import FakeWebhook

CONFIG = """
[[sources]]
name = "journal"
type = "journal"
directory = "{folder}"
[[sinks]]
name = "hook"
type = "webhook"
url = "env:HOOK_URL"
[[routes]]
sinks = ["hook"]
burst = "10000/1m"
group_interval = "1s"
"""


def write(journal: Journal, planter: Planter) -> None:
    """Some records; now and then a binary one, one that journald cut, and one that is long."""
    rng = planter.random
    for _ in range(rng.randrange(1, 20)):
        text = f"ERROR token {planter.secret()} refused".encode()
        kind = rng.random()
        if kind < 0.2:
            text = b"\xff\0 " + text + b"\n and a second line"
        if kind > 0.9:
            text = b"x y " * rng.randrange(400_000) + text
        if 0.2 < kind < 0.4:
            cut = rng.randrange(len(text))
            stream = f"{rng.getrandbits(128):032x}"
            journal.write(text[:cut], _STREAM_ID=stream, _LINE_BREAK="line-max")
            journal.write(b"something else", _STREAM_ID="0" * 32)
            journal.write(text[cut:], _STREAM_ID=stream)
        else:
            journal.write(text, _SYSTEMD_UNIT=rng.choice(("app.service", "web.service")))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
async def test_nothing_is_lost_over_kills(tmp_path: Path, seed: int) -> None:
    planter = Planter(seed)
    journal = Journal(tmp_path / "journal")
    before = Planter(-1)
    write(journal, before)  # what was there before the very first start is not read
    await journal.settle()
    async with FakeWebhook() as hook:
        monitor = Monitor(tmp_path, CONFIG.format(folder=journal.folder), {"HOOK_URL": f"{hook.url}/hook"})
        await monitor.start()
        for turn in range(6):
            write(journal, planter)
            await journal.settle(planter.random.choice(("system", "other")) if turn else "system")
            await asyncio.sleep(planter.random.random() * 0.4)
            await monitor.kill()
            write(journal, planter)
            await journal.settle()
            await monitor.start(wait=planter.random.random() < 0.5)
        wanted = set(planter.planted)
        await until(
            lambda: wanted <= stored(tmp_path) and wanted <= fingerprints(hook.payloads),
            240,
            lambda: f"{len(wanted - fingerprints(hook.payloads))} of {len(wanted)} missing\n{monitor.errors[-1500:]}",
        )
        assert await monitor.terminate() == 0
    assert fingerprints(hook.payloads) == wanted
    assert "journal_gap" not in monitor.errors
    for value in planter.planted.values():
        assert value not in monitor.errors + monitor.output
