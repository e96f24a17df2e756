"""`[rotation]`: how old a secret may become."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from monitor.common.duration import Duration
from monitor.common.severity import Severity
from monitor.common.table import Table

__all__ = ["RotationConfig", "RotationPolicy"]

_DAY = 86_400.0
_Age = Annotated[Duration, Field(ge=_DAY)]


class RotationPolicy(Table):
    """`[[rotation.policies]]`. Holds for a secret that fits all that is given: a tag of `tags`, an environment, an
    entry of `[[inventory]]`, a pattern of its name. `severity`: of the incident when it is overdue. `automatic`: its
    provider makes the new value when it is due, where the entry has `rotate`."""

    every: _Age
    tags: tuple[str, ...] = ()
    environments: tuple[str, ...] = ()
    entries: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    severity: Severity = "medium"
    automatic: bool = False


_QUARTERLY = RotationPolicy.model_validate({"every": "90d", "tags": ["critical"], "severity": "high"})


class RotationConfig(Table):
    """The first policy that fits a secret counts; one that none fits is never due by its age. `after_exposure`: how
    long it may stay once it has leaked. `before_expiry`: how long before its manager lets it expire it is due, at most
    half its life. `remind`: how long before."""

    policies: tuple[RotationPolicy, ...] = (_QUARTERLY,)
    after_exposure: Duration = Field(default=_DAY, gt=0)
    before_expiry: Duration = Field(default=7 * _DAY, ge=0)
    remind: Duration = Field(default=14 * _DAY, ge=0)
