"""How each source stands, from what the database and the disk say: no daemon has to run for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from monitor.intake.ledger import STATE, Loss, losses, place
from monitor.sources import load_source
from monitor.sources.base import SourceConfig, Where

__all__ = ["Rows", "SourceStanding", "standing"]

Rows = Mapping[str, Mapping[str, Mapping[str, Any]]]  # source → key → state


@dataclass(frozen=True, slots=True)
class SourceStanding:
    """`kept`: when something it read was last kept; `lag`: seconds from written to kept, of the last. `problems`: parts
    that could not work when the daemon last said so, with the reason. None: not known."""

    name: str
    type: str
    where: Where | None
    kept: float | None
    lag: float | None
    problems: Mapping[str, str] = field(default_factory=dict)
    lost: tuple[Loss, ...] = ()

    def row(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "name": self.name,
            "type": self.type,
            "position": self.where.text if self.where else None,
            "behind_bytes": self.where.behind if self.where else None,
            "read_up_to": self.where.upto if self.where else None,
            "last_success": self.kept,
            "lag_seconds": self.lag,
            "problems": dict(self.problems),
            "lost": [asdict(loss) for loss in self.lost],
        }


def standing(configs: Iterable[SourceConfig], rows: Rows) -> list[SourceStanding]:
    """Of each configured source. Blocking: looks at files, but for those whose path
    holds a secret (monitor.intake.encrypt_position)."""
    standings = []
    for config in configs:
        ledger = rows.get(place(config.name), {})
        state = ledger.get(STATE, {})
        tell = getattr(load_source(config.type), "where", None)
        positions = rows.get(config.name, {})
        standings.append(
            SourceStanding(
                name=config.name,
                type=config.type,
                where=tell(positions) if tell is not None and positions else None,
                kept=_number(state.get("kept")),
                lag=_number(state.get("lag")),
                problems={str(part): str(why) for part, why in dict(state.get("problems") or {}).items()},
                lost=tuple(losses(ledger)),
            )
        )
    return standings


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
