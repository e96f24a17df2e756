"""The plan of a trial, made from its row, its column and its seed."""

from __future__ import annotations

import random

from tests.campaign.columns import COLUMNS
from tests.campaign.rows import ROWS
from tests.campaign.script import Op, Plan, Script

__all__ = ["make"]


def make(row: str, column: str, seed: int) -> Plan:
    """The plan of one trial."""
    script = Script(random.Random(f"{row} {column} {seed}"))
    script.settings["start_at"] = script.random.choice(("end", "beginning"))
    ROWS[row](script)
    episodes = COLUMNS[column](script)
    ops, begun = script.ops, script.begun
    # Disjoint episodes: each begins where or after the one before has ended.
    cuts = sorted(script.random.randint(begun, len(ops)) for _ in range(2 * len(episodes)))
    for (begin, end), first, last in reversed(list(zip(episodes, cuts[::2], cuts[1::2], strict=True))):
        late: Op = ["sleep", round(script.random.random() * 0.1, 3)]
        ops[last:last] = end
        ops[first:first] = [late, *begin]
    return Plan(row, column, seed, script.settings, ops)
