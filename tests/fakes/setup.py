"""A daemon in this process, with a configuration, a rule, a log and a sink of its own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

from detectors.rules.template import expand
from monitor.config import config as configuration
from monitor.daemon import Daemon
from tests.fakes.intake import until
from tests.fakes.webhook import FakeWebhook

RULE = """
[[rule]]
id = "acme-{name}"
name = "Acme {name} token"
pattern = '''\\b(?P<secret>{name}_[a-z0-9]{{32}})\\b'''
severity = "critical"
examples = ["token={name}_{{lower:20}}{{digit:12}}", "{name}_{{lower:16}}{{digit:16}}"]
negative_examples = ["{name}_{{lower:4}}", "{name}"]
references = ["https://acme.example/docs"]
"""


class Setup:
    """A folder with a configuration, rules and logs."""

    def __init__(self, root: Path, hook: FakeWebhook) -> None:
        self.root = root
        self.log = root / "logs/app.log"
        self.log.parent.mkdir()
        (root / "rules.d").mkdir()
        self.rule("acme")
        self.url = root / "hook-url"
        self.url.write_text(hook.url)
        self.config = root / "config.toml"
        self.configure()

    def rule(self, name: str, text: str | None = None) -> None:
        (self.root / f"rules.d/{name}.toml").write_text(RULE.format(name=name) if text is None else text)

    def configure(self, extra: str = "", listen: str = "127.0.0.1:0", include: str = "logs/*.log") -> None:
        self.config.write_text(
            f'[monitor]\nstate_dir = "state"\n[http]\nlisten = "{listen}"\n'
            f'[rules]\npacks = []\npaths = ["rules.d/*.toml"]\n'
            f'[[sources]]\nname = "app"\ntype = "file"\ninclude = ["{include}"]\nstart_at = "beginning"\n'
            f'reconcile = "100ms"\nquiet = "100ms"\n'
            f'[[sinks]]\nname = "hook"\ntype = "webhook"\nurl = "file:{self.url}"\n{extra}'
        )

    def daemon(self, once: bool = False) -> Daemon:
        return Daemon(configuration.load(self.config), once=once)

    def plant(self, seed: int, name: str = "acme", path: Path | None = None) -> str:
        value = expand(f"{name}_{{lower:20}}{{digit:12}}", seed)
        with (path or self.log).open("a") as log:
            log.write(f"refused token={value} of request {seed}\n")
        return value


@contextlib.asynccontextmanager
async def running(daemon: Daemon) -> AsyncIterator[asyncio.Task[int]]:
    ready = asyncio.Event()
    task = asyncio.create_task(daemon.run(on_ready=lambda _: ready.set()))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait([task, waiting], timeout=300, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if task.done():
        task.result()
    try:
        yield task
    finally:
        daemon.stop()
        await asyncio.wait_for(task, 120)


async def shown(daemon: Daemon, path: str) -> str:
    """A page of the console."""
    async with aiohttp.ClientSession() as session, session.get(f"{daemon.address}{path}") as answer:
        assert answer.status == 200, await answer.text()
        return await answer.text()


def incidents(hook: FakeWebhook, rule: str | None = None) -> list[dict[str, Any]]:
    found = [incident for payload in hook.payloads for incident in payload["incidents"]]
    return [incident for incident in found if rule is None or incident["rule"] == rule]


def notices(hook: FakeWebhook) -> list[str]:
    return [f"{payload.get('title')} {payload.get('text')}" for payload in hook.payloads if not payload["incidents"]]


async def told(hook: FakeWebhook, words: str) -> None:
    await until(lambda: any(words in notice for notice in notices(hook)), lambda: f"only {notices(hook)}")
