"""The seeded campaign: every row with every column, so many seeds a cell. `make campaign TRIALS=50 SEED=1`.

Prints a table and writes it; for a trial that fails also a script that repeats it, shortened where that is cheap.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import multiprocessing
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from tests.campaign import report
from tests.campaign.columns import COLUMNS
from tests.campaign.plan import make
from tests.campaign.rows import ROWS
from tests.campaign.script import Plan
from tests.campaign.stage import Outcome
from tests.campaign.trial import attempt, playable, prepare, runnable, shrink


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.campaign", description=__doc__)
    parser.add_argument("--trials", type=int, default=20, help="seeds in each cell")
    parser.add_argument("--seed", type=int, default=1, help="the first of them")
    parser.add_argument("--rows", default=",".join(ROWS), help="file faults, comma-separated")
    parser.add_argument("--columns", default=",".join(COLUMNS), help="other faults, comma-separated")
    parser.add_argument("--jobs", type=int, default=8, help="trials at a time; they wait most of their time")
    parser.add_argument("--out", type=Path, default=Path("var/campaign"), help="folder for table and scripts")
    parser.add_argument("--docs", type=Path, help="page whose `<!-- campaign -->` section the table replaces")
    parser.add_argument("--resume", action="store_true", help="go on with that of --out; what failed is played again")
    parser.add_argument("--shrink", type=float, default=300.0, help="seconds for shortening what failed")
    return parser.parse_args()


def main() -> int:
    """Run the campaign the arguments ask for; 1 when a trial failed."""
    asked = _arguments()
    asked.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="campaign-") as name:
        scratch = Path(name)
        cache, shim = prepare(scratch)
        columns, left_out = runnable(asked.columns.split(","), shim)
        rows, without = playable(asked.rows.split(","))
        print(*left_out, *without, sep="\n")
        seeds = range(asked.seed, asked.seed + asked.trials)
        # Seeds outermost: an end before time has every cell.
        plans = [make(row, column, seed) for seed in seeds for row in rows for column in columns]
        journal = asked.out / "trials.jsonl"
        played = report.played(journal) if asked.resume else {}
        outcomes: dict[tuple[str, str], list[Outcome]] = {}
        failed: list[tuple[Plan, Outcome]] = []

        with ProcessPoolExecutor(asked.jobs, multiprocessing.get_context("spawn")) as pool, journal.open("w") as file:
            waiting = {
                pool.submit(attempt, plan, scratch, cache, shim): plan for plan in plans if plan.name not in played
            }
            done = [(plan, played[plan.name]) for plan in plans if plan.name in played]
            fresh = ((waiting[future], future.result()) for future in as_completed(waiting))
            for count, (plan, outcome) in enumerate(itertools.chain(done, fresh), 1):
                outcomes.setdefault((plan.row, plan.column), []).append(outcome)
                file.write(json.dumps(dataclasses.asdict(outcome)) + "\n")
                file.flush()
                if outcome.failed:
                    failed.append((plan, outcome))
                    _failed(plan, outcome, asked.out)
                if count % 100 == 0:
                    print(f"{count} of {len(plans)} trials", flush=True)

        left = time.monotonic() + asked.shrink
        for plan, bad in failed:
            if (seconds := left - time.monotonic()) > 0:
                report.script(shrink(plan, scratch, cache, shim, seconds), bad, asked.out / f"{plan.name}.py")
    command = f"make campaign TRIALS={asked.trials} SEED={asked.seed}"
    text = report.table(outcomes, asked.seed, command)
    (asked.out / "table.md").write_text(text)
    if asked.docs:
        report.into(asked.docs, text)
    print(text)
    return 1 if any(outcome.failed for done in outcomes.values() for outcome in done) else 0


def _failed(plan: Plan, outcome: Outcome, out: Path) -> None:
    path = out / f"{plan.name}.py"
    report.script(plan, outcome, path)
    print(f"FAILED {plan.name}: {outcome.failed}; {path} repeats it", flush=True)


if __name__ == "__main__":
    sys.exit(main())
