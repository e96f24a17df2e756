"""The pages of the console, served from a store of their own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp

from detectors.fingerprint import fingerprint
from monitor.config.config import parse
from monitor.domain.model import Finding
from monitor.snapshot import Snapshot
from monitor.sources.standing import SourceStanding
from monitor.status import document
from monitor.store import Store

KEY = b"k" * 32
SPILLED = "what nobody may see"


def finding(number: int, **changes: object) -> Finding:
    facts: dict[str, object] = {
        "id": f"{number:032x}",
        "rule": "github-pat",
        "name": "GitHub personal access token",
        "severity": "critical",
        "confidence": "high",
        "fingerprint": fingerprint(KEY, b"value %d" % number),
        "masked": "ghp_a1…",
        "source": "app",
        "path": "/var/log/app.log",
        "generation": "g",
        "offset": number,
        "time": 1_700_000_000.0,
        "line": number + 1,
        "runbook": "github-token",
    }
    return Finding(**(facts | changes))  # type: ignore[arg-type]


async def masked(text: str) -> str:
    """As the daemon does it with what its rules find."""
    return text.replace(SPILLED, "[masked]")


class Pages:
    def __init__(self, store: Store, url: str, session: aiohttp.ClientSession) -> None:
        self.store, self.url, self._session = store, url, session
        self.config = parse("", Path("config.toml"))
        self.snapshot, self.standings = Snapshot(), list[SourceStanding]()

    async def status(self) -> dict[str, Any]:
        """As the daemon does it."""
        self.snapshot.store = replace(self.snapshot.store, degraded=self.store.degraded)
        daemon = {"phase": "watching", "problems": {}}
        return document(self.config, self.snapshot, self.standings, host="web1", daemon=daemon)

    async def get(self, path: str, status: int = 200, *, plain: bool = False) -> str:
        async with self._session.get(f"{self.url}{path}") as answer:
            assert answer.status == status, path
            text = await answer.text()
            if status == 200 and not plain:
                policy = answer.headers["Content-Security-Policy"]
                for rule in ("default-src 'none'", "style-src 'self'", "form-action 'self'", "frame-ancestors 'none'"):
                    assert rule in policy
                assert "script" not in policy
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                assert "<script" not in text.lower()
            return text
