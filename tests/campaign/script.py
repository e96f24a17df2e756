"""What happens in one trial, decided beforehand: a list of plain operations that `Stage` carries out, made from a seed.

A trial is a file fault (a row) in the course of which a process, storage or sink fault (a column) comes and goes at
random moments. The same row, column and seed give the same plan.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Op", "Plan", "Script"]

Op = list[Any]  # name, arguments; all of it JSON


@dataclass(frozen=True)
class Plan:
    """`settings`: what Stage.__init__ takes; `ops`: in order, each a method of Stage."""

    row: str
    column: str
    seed: int
    settings: dict[str, Any]
    ops: Sequence[Op]

    @property
    def name(self) -> str:
        return f"{self.row}-{self.column}-{self.seed}"

    def dump(self) -> str:
        """As JSON, one operation a line."""
        head = {"row": self.row, "column": self.column, "seed": self.seed, "settings": self.settings}
        ops = ",\n  ".join(json.dumps(op) for op in self.ops)
        return f'{json.dumps(head)[:-1]}, "ops": [\n  {ops}\n]}}'

    @classmethod
    def load(cls, text: str) -> Plan:
        return cls(**json.loads(text))


@dataclass
class Script:
    """A plan in the making."""

    random: random.Random
    settings: dict[str, Any] = field(default_factory=dict)
    ops: list[Op] = field(default_factory=list)
    issued: int = 0
    begun: int = 0  # operations up to which no fault comes

    def op(self, name: str, *arguments: Any) -> None:
        self.ops.append([name, *arguments])

    def ids(self, least: int, most: int | None = None) -> list[int]:
        """So many secrets that were never issued before."""
        count = self.random.randint(least, most or least)
        self.issued += count
        return list(range(self.issued - count, self.issued))

    def put(self, handle: str, least: int = 1, most: int = 3, **how: Any) -> None:
        """Write lines with new secrets; often in two pieces, cut anywhere."""
        if "cut" not in how and self.random.random() < 0.4:
            how["cut"] = round(self.random.random(), 3)
            how["pause"] = round(self.random.choice((0.0, 0.02, 0.4)), 3)
        self.op("put", handle, self.ids(least, most), how)

    def open(self, handle: str, path: str, mode: str = "a") -> None:
        self.op("open", handle, path, mode)

    def begin(self) -> None:
        """The monitor starts and reads what is there; from now on faults come."""
        self.op("start")
        self.put("h", 1, 2, cut=1.0)
        self.op("settle")
        self.begun = len(self.ops)

    def perhaps(self, share: float = 0.5) -> bool:
        return self.random.random() < share

    def nap(self, most: float = 0.1) -> None:
        self.op("sleep", round(self.random.random() * most, 3))

    def away(self) -> None:
        """The monitor is not there for what follows, up to `back`."""
        self.op("kill" if self.perhaps(0.6) else "term")

    def back(self) -> None:
        self.op("start")
