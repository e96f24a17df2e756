"""How long `monitor incidents list` and its relatives ask a database with very many incidents.

    python -m benchmarks.incidents [--incidents 100000] [--findings 1000000] [--url postgresql+psycopg://…]

Prints the median and the longest of several calls of the store, and the median of their processor time (which a busy
machine does not change), in milliseconds, without the start of Python. Budget of each list: 200 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from monitor.store import Store
from monitor.store.incidents import cursor
from monitor.store.schema import audit, findings, incidents, runs, steps
from monitor.store.transaction import Transaction

__all__ = ["fill", "main", "work"]

_BATCH = 5_000
_STATES = ("open", "acknowledged", "resolved", "resolved", "resolved", "resolved", "resolved", "resolved")
UNRESOLVED = ("open", "acknowledged")
_SEVERITIES = ("info", "low", "medium", "high", "critical")
_NOW = 1_800_000_000.0


async def fill(store: Store, cases: int, places: int) -> None:
    """So many incidents, an eighth of them open, with so many findings over twenty sources."""
    for start in range(0, cases, _BATCH):
        await store.write(partial(_incidents, numbers=range(start, min(start + _BATCH, cases)), kept=places // cases))
    for start in range(0, places, _BATCH):
        await store.write(partial(_findings, numbers=range(start, min(start + _BATCH, places)), cases=cases))


def _id(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def _incidents(tx: Transaction, numbers: range, kept: int) -> None:
    rows: list[dict[str, Any]] = []
    for n in numbers:
        state = _STATES[n % len(_STATES)]
        over = state == "resolved"
        rows.append(
            {
                "id": _id(n)[:16],
                "fingerprint": _id(n),
                "rule": f"rule-{n % 300}",
                "name": f"Token of vendor {n % 300}",
                "severity": _SEVERITIES[n % 5],
                "confidence": "high",
                "state": state,
                "resolution": "revoked" if over else None,
                "resolved_at": _NOW if over else None,
                "masked": f"tok_{n % 10_000:04}…",
                "first_seen": _NOW - n,
                "last_seen": _NOW - n / 2,
                "occurrences": max(kept, 1),
                "reopens": 0,
                "labels": "{}",
                "kept": kept,
            }
        )
    tx.connection.execute(insert(incidents), rows)
    trail = [
        {"at": _NOW, "actor": "monitor", "incident": row["id"], "action": "opened", "state": "open"}
        | {"severity": row["severity"], "note": ""}
        for row in rows
    ]
    tx.connection.execute(insert(audit), trail)


def _findings(tx: Transaction, numbers: range, cases: int) -> None:
    rows = [
        {
            "id": _id(-n - 1),
            "incident": _id(n % cases)[:16],
            "rule": f"rule-{n % cases % 300}",
            "source": f"source-{n % 20}",
            "path": f"/var/log/service-{n % 5_000}/application.log",
            "generation": f"{n % 50_000:016x}",
            "offset": n * 100,
            "time": _NOW - n / 2,
            "node": f"node-{n % 7}",
        }
        for n in numbers
    ]
    tx.connection.execute(insert(findings), rows)


async def work(store: Store, cases: int) -> None:
    """Each of them was acknowledged, and has a runbook with its steps; all of it lately."""
    for start in range(0, cases, _BATCH):
        await store.write(partial(_worked, numbers=range(start, min(start + _BATCH, cases))))


def _worked(tx: Transaction, numbers: range) -> None:
    facts = {"actor": "ada", "state": "acknowledged", "severity": "high", "note": ""}
    ids = {n: _id(n)[:16] for n in numbers}
    trail = [
        {**facts, "at": _NOW - n / 2, "incident": id_, "action": action}
        for n, id_ in ids.items()
        for action in ("acknowledged", "step_claimed", "step_done", "resolved")
    ]
    tx.connection.execute(insert(audit), trail)
    run = {"book": "leaked", "title": "Leaked", "way": "contain", "why": ""}
    tx.connection.execute(insert(runs), [{**run, "incident": id_, "started": _NOW - n} for n, id_ in ids.items()])
    step = {"phase": "immediate", "actor": "responder", "within": 900.0, "needs": "[]", "note": "", "rung": 0}
    rows = [
        {**step, "incident": id_, "step": name, "place": place, "title": name, "state": "done" if n % 4 else "open"}
        | {"since": _NOW - n / 3, "deadline": _NOW - n + 900.0}
        for n, id_ in ids.items()
        for place, name in enumerate(("revoke", "rotate", "review"))
    ]
    tx.connection.execute(insert(steps), rows)


async def _measure(store: Store, times: int) -> None:
    asked = store.incidents
    one = _id(7)[:16]
    middle = cursor("urgent", (await asked.find(limit=1, offset=12_000, order="urgent", states=UNRESOLVED))[0])
    questions: dict[str, Callable[[], Awaitable[object]]] = {
        "list": lambda: asked.find(limit=100, locations=True),
        "list --state open": lambda: asked.find(limit=100, states=["open"], locations=True),
        "list --severity critical": lambda: asked.find(limit=100, severities=["critical"], locations=True),
        "list --rule (one of 300)": lambda: asked.find(limit=100, rules=["rule-7"], locations=True),
        "list --source (one of 20)": lambda: asked.find(limit=100, source="source-7", locations=True),
        "list --source (none)": lambda: asked.find(limit=100, source="nowhere", locations=True),
        "list --search (a path)": lambda: asked.find(limit=100, search="service-4321/", locations=True),
        "list --search (nothing)": lambda: asked.find(limit=100, search="nothing like it", locations=True),
        "list --since (a minute)": lambda: asked.find(limit=100, since=_NOW - 60, locations=True),
        "the page of one": lambda: store.cases.get(one, entries=60),
        "list, page 500": lambda: asked.find(limit=100, offset=50_000, locations=True),
        "page, most urgent": lambda: asked.find(limit=51, order="urgent", states=UNRESOLVED, locations=True),
        "page, urgent, the middle": lambda: asked.find(
            limit=51, order="urgent", states=UNRESOLVED, after=middle, locations=True
        ),
        "page, urgent, all states": lambda: asked.find(limit=51, order="urgent", locations=True),
        "count, unresolved": lambda: asked.count(states=UNRESOLVED),
        "count": asked.count,
        "count --state open": lambda: asked.count(states=["open"]),
        "show": lambda: asked.get(one),
        "timeline": lambda: asked.history(one),
        "metrics": store.stats,
    }
    for name, ask in questions.items():
        wall, cpu = [], []
        for _ in range(times):
            began, busy = time.perf_counter(), time.process_time()
            await ask()
            wall.append(1000 * (time.perf_counter() - began))
            cpu.append(1000 * (time.process_time() - busy))
        print(f"{name:28} {statistics.median(wall):8.1f} {max(wall):8.1f} {statistics.median(cpu):8.1f}", flush=True)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--incidents", type=int, default=100_000)
    parser.add_argument("--findings", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument(
        "--url", help="an empty database, or one that this has filled; default: SQLite in a temporary folder"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = given.url or Path(folder) / "state.db"
        async with await Store.open(path) as store:
            began = time.perf_counter()
            if not await store.incidents.count():
                await fill(store, given.incidents, given.findings)
            size = (await store.stats()).size / 2**20
            print(f"{given.incidents} incidents, {given.findings} findings, {size:.0f} MiB, "
                  f"filled in {time.perf_counter() - began:.0f} s; milliseconds: median and longest of {given.times}, processor")  # fmt: skip
            await _measure(store, given.times)


if __name__ == "__main__":
    asyncio.run(main())
