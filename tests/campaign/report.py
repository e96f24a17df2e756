"""What a campaign came to, as a table in Markdown; and a failing trial as a script that repeats it."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from tests.campaign.columns import COLUMNS
from tests.campaign.rows import ROWS
from tests.campaign.script import Plan
from tests.campaign.stage import Outcome

__all__ = ["into", "played", "quantile", "script", "table"]

_SCRIPT = '''\
"""Repeats one trial of the campaign: {failed}. Run from the repository: .venv/bin/python {path}"""

import sys

sys.path.insert(0, ".")

from tests.campaign.trial import repeat

repeat(r"""
{plan}
""")
'''


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of them lie; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def script(plan: Plan, outcome: Outcome, path: Path) -> None:
    """Write a script to `path` that plays the plan again and says what is wrong."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_SCRIPT.format(failed=outcome.failed, path=path, plan=plan.dump()))


def _machine() -> str:
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    system = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    return f"{os.cpu_count()} × {model}, {system}, Python {platform.python_version()}"


def _commit() -> str:
    asked = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return asked.stdout.strip() or "unknown"


def _sums(outcomes: Iterable[Outcome]) -> str:
    done = list(outcomes)
    recovery = [outcome.recovery for outcome in done]
    notifications = sum(outcome.notifications for outcome in done)
    repeated = sum(outcome.repeated for outcome in done)
    figures = (
        *(len(done), sum(outcome.issued for outcome in done), sum(len(outcome.missing) for outcome in done)),
        *(sum(outcome.doomed for outcome in done), sum(outcome.untold for outcome in done)),
        *(sum(outcome.gone for outcome in done), sum(outcome.spurious for outcome in done)),
        f"{100 * repeated / max(1, notifications):.2f} %",
        sum(outcome.again for outcome in done),
        *(f"{quantile(recovery, share):.2f}" for share in (0.5, 0.99)),
    )
    return " | ".join(map(str, figures))


def table(outcomes: Mapping[tuple[str, str], Sequence[Outcome]], seed: int, command: str) -> str:
    """The results in Markdown. Keys are row and column."""
    every = [outcome for done in outcomes.values() for outcome in done]
    rows = [name for name in ROWS if any(row == name for row, _ in outcomes)]
    columns = [name for name in COLUMNS if any(column == name for _, column in outcomes)]
    seeds = max(map(len, outcomes.values()))
    lines = [
        f"{datetime.now(UTC):%d %B %Y}, commit {_commit()}; {_machine()}; `{command}`: {len(every)} trials of "
        f"{sum(outcome.wall for outcome in every) / 60:.0f} minutes together, the longest "
        f"{max(outcome.wall for outcome in every):.0f} s; seeds {seed} to {seed + seeds - 1} in each cell. "
        f"{sum(outcome.failed is not None for outcome in every)} failed.",
        "",
        "Trials that failed, of all in the cell:",
        "",
        f"| | {' | '.join(columns)} |",
        f"| --- |{' --- |' * len(columns)}",
    ]
    for row in rows:
        cells = [outcomes.get((row, column), ()) for column in columns]
        failed = [f"{sum(o.failed is not None for o in done)}/{len(done)}" if done else "–" for done in cells]
        lines.append(f"| {row} | {' | '.join(failed)} |")
    head = "trials | issued | missing | destroyed, told | destroyed, not told | out of reach | spurious | repeated"
    head += " | counted again | recovery p50 (s) | p99"
    groups = {row: [o for (r, _), done in outcomes.items() if r == row for o in done] for row in rows}
    groups |= {column: [o for (_, c), done in outcomes.items() if c == column for o in done] for column in columns}
    lines += ["", f"| | {head} |", f"| --- |{' --- |' * (head.count('|') + 1)}"]
    lines += [f"| {name} | {_sums(done)} |" for name, done in groups.items()]
    lines.append(f"| **all** | {_sums(every)} |")
    return "\n".join(lines) + "\n"


def played(journal: Path) -> dict[str, Outcome]:
    """What passed in a campaign that was ended, by the names of the plans; its last line may be half."""
    lines = journal.read_text(encoding="utf-8").splitlines() if journal.exists() else []
    found = [Outcome(**json.loads(line)) for line in lines if line.endswith("}")]
    return {outcome.name: outcome for outcome in found if outcome.failed is None}


def into(page: Path, text: str) -> None:
    """Put the table between the page's marks."""
    before, mark, rest = page.read_text(encoding="utf-8").partition("<!-- campaign -->\n")
    _, end, after = rest.partition("<!-- /campaign -->")
    if not (mark and end):
        raise ValueError(f"{page} has no <!-- campaign --> section")
    page.write_text(f"{before}{mark}{text}{end}{after}", encoding="utf-8")
