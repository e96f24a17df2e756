"""Every sink's other side, every source's way in, and the configuration that ties them to one monitor."""

from __future__ import annotations

import contextlib
import secrets
import string
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from tests.fakes.github_actions import FakeActions
from tests.fakes.peer import Peer, Way, peers, table, ways
from tests.fakes.webhook import FakeWebhook

# Sources whose lines the test itself writes, and what no component brings
CONFIG = """
[[sources]]
name = "app"
type = "file"
include = ["logs/*.log"]
start_at = "beginning"
[[sources]]
name = "pipe"
type = "stdin"
[[sources]]
name = "gh"
type = "github"
org = "acme"
token = "env:GITHUB_TOKEN"
base_url = "{github}"
webhook_secret = "env:GITHUB_HOOK_SECRET"
write_back = "dry-run"
[[inventory]]
name = "env"
type = "dotenv"
path = [".env"]
[console]
sign_in = true
[runbook]
start_at = "low"
[[actions]]
name = "hand-over"
type = "command"
command = ["{folder}/hand-over"]
approvals = 0
automatic = ['severity=~".+"', 'rule=~".+"']
[[routes]]
sinks = [{names}]
burst = "1000/1m"
group_interval = "1s"
[[sinks]]
name = "watched"
type = "webhook"
url = "env:WATCHED_URL"
"""


def sinks() -> list[str]:
    """What they are called in the configuration."""
    return ["watched", *(name.replace(" ", "-") for name, _, _ in peers())]


class Receivers:
    """Every sink's other side; `received()` is all that came. `hook` is of a sink of the test's own, whose payloads say
    how far the monitor is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hook, self.github = FakeWebhook(), FakeActions()
        self.peers: dict[str, tuple[str, Peer]] = {}
        self.ways: dict[str, Way] = {}

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            for server in (self.hook, self.github):
                await stack.enter_async_context(server)
            for name, kind, opened in peers():
                credential = "".join(secrets.choice(string.ascii_lowercase) for _ in range(32))
                peer = await stack.enter_async_context(opened(credential, self._place(f"to {name}")))
                self.peers[name.replace(" ", "-")] = kind, peer
            for kind, way in ways():
                self.ways[kind] = await stack.enter_async_context(way(self._place(f"from {kind}")))
            yield

    def _place(self, name: str) -> Path:
        place = self.folder / name
        place.mkdir()
        return place

    def hand_over(self) -> Path:
        """A program that takes secrets back: what it and who runs it can be seen with by others lands in the folder
        returned, and it says what it was given."""
        seen = self.folder / "handed"
        seen.mkdir()
        shown = " ".join(f"/proc/{pid}/{name}" for pid in ("$$", "$PPID") for name in ("cmdline", "environ"))
        program = self.folder / "hand-over"
        program.write_text(f"#!/bin/sh\ncat {shown} > {seen}/$$\ncat\n")
        program.chmod(0o700)
        return seen

    def config(self) -> str:
        names = ", ".join(f'"{name}"' for name in sinks())
        text = CONFIG.format(github=self.github.url, names=names, folder=self.folder)
        text += "".join(table("sinks", name, kind, peer.keys) for name, (kind, peer) in self.peers.items())
        return text + "".join(table("sources", f"from-{kind}", kind, way.keys) for kind, way in self.ways.items())

    def environment(self) -> dict[str, str]:
        found = {
            "WATCHED_URL": f"{self.hook.url}/hook",
            "GITHUB_TOKEN": self.github.token,
            "GITHUB_HOOK_SECRET": "hook secret of the test",
        }
        variables: list[Mapping[str, str]] = [peer.environment for _, peer in self.peers.values()]
        for more in [*variables, *(way.environment for way in self.ways.values())]:
            assert not found.keys() & more.keys(), "two peers name one variable"
            found |= more
        return found

    def received(self) -> dict[str, list[bytes]]:
        return {name: peer.received() for name, (_, peer) in self.peers.items() if peer.received is not None}
