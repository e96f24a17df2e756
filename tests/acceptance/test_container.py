"""The real daemon on logs of containers, killed in the middle, with values that lie across pieces of a line."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.acceptance.harness import Monitor, Planter, fingerprints, until
from tests.fakes.webhook import FakeWebhook
from tests.monitor.sources.test_unwrap import cri, docker

CONFIG = """
[[sources]]
name = "pods"
type = "container"
include = ["pods/*/*/*.log"]
[[sinks]]
name = "hook"
type = "webhook"
url = "env:HOOK_URL"
[[routes]]
sinks = ["hook"]
burst = "10000/1m"
group_interval = "1s"
"""


def line(planter: Planter, form: str) -> bytes:
    """A line with a secret, in one piece or in two with another stream's line between them."""
    text = f'{{"msg":"token {planter.secret()} refused"}}'
    cut = planter.random.randrange(len(text)) if planter.random.random() < 0.5 else 0
    if form == "docker":
        return (docker(text[:cut]) + docker("aside\n", "stderr") if cut else b"") + docker(text[cut:] + "\n")
    return (cri(text[:cut].encode(), tag="P") + cri(b"aside", "stderr") if cut else b"") + cri(text[cut:].encode())


@pytest.mark.slow
@pytest.mark.parametrize("form", ["docker", "cri"])
async def test_nothing_is_lost_over_kills(tmp_path: Path, form: str) -> None:
    planter = Planter(form == "cri")
    rng = planter.random
    folder = tmp_path / "pods" / "shop_web-1_uid" / "api"
    folder.mkdir(parents=True)
    async with FakeWebhook() as hook:
        monitor = Monitor(tmp_path, CONFIG, {"HOOK_URL": f"{hook.url}/hook"})
        await monitor.start()
        for turn in range(5):
            path = folder / f"{turn}.log"
            data = b"".join(line(planter, form) for _ in range(rng.randrange(1, 30)))
            cut = rng.randrange(len(data))
            with path.open("ab", buffering=0) as file:
                file.write(data[:cut])
                await asyncio.sleep(rng.random() * 0.5)
                await monitor.kill()
                file.write(data[cut:])
            await monitor.start(wait=rng.random() < 0.5)
        wanted = set(planter.planted)
        await until(
            lambda: wanted <= fingerprints(hook.payloads),
            240,
            lambda: f"{len(wanted - fingerprints(hook.payloads))} of {len(wanted)} missing\n{monitor.errors[-1500:]}",
        )
        assert await monitor.terminate() == 0
    assert fingerprints(hook.payloads) == wanted
    places = [
        place for payload in hook.payloads for incident in payload["incidents"] for place in incident["locations"]
    ]
    assert {place["service"] for place in places} == {"shop/api"}
    for place in places:
        with Path(place["path"]).open("rb") as read:
            read.seek(place["offset"])
            assert read.read(1) == b"g"  # the token's first letter, in the file as it is
    for value in planter.planted.values():
        assert value not in monitor.errors + monitor.output
