"""Playing trials: what they share, one by itself, the shortening of one that fails."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.acceptance.harness import Monitor
from tests.campaign.script import Op, Plan
from tests.campaign.stage import CONFIG, DEFAULTS, RULE, Outcome, play
from tests.campaign.streams import NEEDS

__all__ = ["attempt", "playable", "prepare", "repeat", "runnable", "shrink"]


def prepare(folder: Path) -> tuple[Path, Path | None]:
    """A warm rule cache, so that no trial compiles rules; and the library that shifts the clock, None without cc."""
    place = folder / "warm"
    (place / "rules.d").mkdir(parents=True)
    (place / "logs").mkdir()
    (place / "rules.d/acme.toml").write_text(RULE)
    monitor = Monitor(place, CONFIG % DEFAULTS, {"HOOK_URL": "http://127.0.0.1:9/"}, prepared=True)
    command = [sys.executable, "-m", "monitor", "run", "--once", "--config", str(monitor.config)]
    subprocess.run(command, env=monitor.environment, check=True, timeout=120, capture_output=True)
    shim = folder / "clock.so"
    source = Path(__file__).with_name("clock.c")
    if (compiler := shutil.which("cc")) is None:
        return place / "state/cache", None
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", shim, source, "-ldl"], check=True, timeout=60)
    return place / "state/cache", shim


def runnable(columns: Sequence[str], shim: Path | None) -> tuple[list[str], list[str]]:
    """Columns that this machine allows, and why not the others."""
    reasons = {}
    if os.geteuid() != 0:
        reasons["disk"] = "a small file system is mounted, which needs root"
    if shim is None:
        reasons["clock"] = "the clock's shim is compiled, which needs cc"
    if shutil.which("prlimit") is None:
        reasons["descriptors"] = "needs prlimit (util-linux)"
    left_out = [f"{column} is left out: {reasons[column]}" for column in columns if column in reasons]
    return [column for column in columns if column not in reasons], left_out


def playable(rows: Sequence[str]) -> tuple[list[str], list[str]]:
    """Rows that this machine allows, and why not the others."""
    left_out = [f"{row} is left out: {why}" for row in rows if (why := NEEDS.get(row))]
    return [row for row in rows if not NEEDS.get(row)], left_out


def attempt(plan: Plan, scratch: Path, cache: Path, shim: Path | None) -> Outcome:
    """One trial in a folder of its own below `scratch`, removed afterwards; a broken trial is a failed one."""
    folder = Path(tempfile.mkdtemp(prefix=f"{plan.name}-", dir=scratch))
    try:
        outcome = asyncio.run(play(folder / "trial", plan, cache, shim))
    except Exception as error:  # noqa: BLE001 - one trial that cannot be played must not end the campaign
        outcome = Outcome(plan.name, failed=f"could not be played: {type(error).__name__}: {error}")
    shutil.rmtree(folder, ignore_errors=True)
    return outcome


def _shorter(ops: Sequence[Op], size: int) -> Iterator[list[Op]]:
    """The operations without `size` of them, from the end; what opens files and starts the monitor stays."""
    for first in range(max(0, len(ops) - size), -1, -size):
        kept = [op for op in ops[first : first + size] if op[0] in ("open", "make", "start", "zeros", "symlink", "job")]
        if len(kept) < min(size, len(ops) - first):
            yield [*ops[:first], *kept, *ops[first + size :]]


def shrink(plan: Plan, scratch: Path, cache: Path, shim: Path | None, seconds: float) -> Plan:
    """The plan with operations left out, as long as it fails in the same way. Takes `seconds` at most, and a trial."""
    deadline = time.monotonic() + seconds
    size = max(1, len(plan.ops) // 3)
    while size and time.monotonic() < deadline:
        for ops in _shorter(plan.ops, size):
            shorter = dataclasses.replace(plan, ops=ops)
            outcome = attempt(shorter, scratch, cache, shim)
            if outcome.failed and "could not be played" not in outcome.failed:
                plan = shorter
                break
            if time.monotonic() > deadline:
                return plan
        else:
            size //= 2
    return plan


def repeat(text: str) -> None:
    """Play a dumped plan and say what came of it; exits 1 when it fails. What scripts of failing trials call."""
    with tempfile.TemporaryDirectory(prefix="campaign-") as name:
        cache, shim = prepare(Path(name))
        outcome = attempt(Plan.load(text), Path(name), cache, shim)
    print(outcome.errors)
    print(json.dumps({key: value for key, value in dataclasses.asdict(outcome).items() if key != "errors"}, indent=1))
    sys.exit(1 if outcome.failed else 0)
