"""Incidents that are held back while a worse one of the same host or service is open. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from monitor.common.severity import Severity, rank
from monitor.routing.match import Matcher

__all__ = ["Inhibited", "Inhibition", "Inhibitors", "OpenIncident"]


class Inhibition(BaseModel):
    """One `[[inhibitions]]` table: what `matchers` take is held back while a worse incident that `while` takes is not
    resolved and both have the same value for each label of `equal`.

    Alertmanager's inhibition, but for two things, so that nothing is silent by mistake: only a more severe incident
    holds another back, and a label that either of them lacks is not the same.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, validate_by_alias=True, validate_by_name=True
    )

    matchers: tuple[Matcher, ...] = ()  # none: every incident
    while_: tuple[Matcher, ...] = Field(default=(), alias="while")  # none: every worse incident
    equal: tuple[str, ...] = ("host", "service")

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if not self.equal and not self.while_:
            raise ValueError("equal = [] needs while: else any worse incident, wherever it is, would hold these back")
        return self

    def same(self, labels: Mapping[str, str]) -> tuple[str, ...] | None:
        """The values by which it tells what belongs together; None: one is missing."""
        values = tuple(labels.get(name, "") for name in self.equal)
        return values if all(values) else None

    def takes(self, labels: Mapping[str, str]) -> bool:
        """Whether a worse incident with the same values would hold these back."""
        return self.same(labels) is not None and all(matcher.matches(labels) for matcher in self.matchers)


@dataclass(frozen=True, slots=True)
class OpenIncident:
    """An incident that is not resolved and that a sink hears of, with what matchers see of it."""

    id: str
    severity: Severity
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Inhibited:
    """`by`: the incident that holds it back; `place`: of the inhibition, from 1; `reason`: in words."""

    by: str
    place: int
    reason: str


class Inhibitors:
    """What incidents hold back. One that is held back itself holds nothing: nobody has been told of it."""

    def __init__(self, inhibitions: Sequence[Inhibition], standing: Iterable[OpenIncident] = ()) -> None:
        self._inhibitions = inhibitions
        # (place, values of `equal`) → the worst of them
        self._worst: dict[tuple[int, tuple[str, ...]], OpenIncident] = {}
        self.add(standing)

    def add(self, standing: Iterable[OpenIncident]) -> None:
        """None of them worse than those added before: what these hold back is known by then."""
        for one in sorted(standing, key=lambda one: (-rank(one.severity), one.id)):
            if self.holder(one) is None:
                self._add(one)

    def _add(self, one: OpenIncident) -> None:
        for place, inhibition in enumerate(self._inhibitions, 1):
            values = inhibition.same(one.labels)
            if values is not None and all(matcher.matches(one.labels) for matcher in inhibition.while_):
                self._worst.setdefault((place, values), one)

    def holder(self, one: OpenIncident) -> Inhibited | None:
        """What holds it back; None: nothing does."""
        for place, inhibition in enumerate(self._inhibitions, 1):
            values = inhibition.same(one.labels)
            other = None if values is None else self._worst.get((place, values))
            if other is None or rank(other.severity) <= rank(one.severity):
                continue
            if all(matcher.matches(one.labels) for matcher in inhibition.matchers):
                where = ", ".join(
                    f'{name}="{value}"' for name, value in zip(inhibition.equal, values or (), strict=True)
                )
                reason = f"incident {other.id}, {other.severity}, is not resolved{f' ({where})' if where else ''}"
                return Inhibited(other.id, place, reason)
        return None
