"""What GitHub's secret types stand for: our rule for the same kind of secret, or whose advice holds and how bad."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import cast

from monitor.common.severity import Severity

__all__ = ["OTHER", "Kind", "kinds"]


@dataclass(frozen=True, slots=True)
class Kind:
    """`rule`: id of ours, None where no rule takes such a secret; then `runbook` and `severity` hold."""

    rule: str | None = None
    runbook: str = "generic-secret"
    severity: Severity = "high"


OTHER = Kind()  # a type that GitHub has made since, or a pattern of the user's own


@cache
def kinds() -> Mapping[str, Kind]:
    """By GitHub's `secret_type`."""
    table = tomllib.loads(resources.files("monitor.github").joinpath("types.toml").read_text(encoding="utf-8"))
    found = {kind: Kind(rule) for kind, rule in table["rules"].items()}
    for runbook, levels in table["issuers"].items():
        for severity, names in levels.items():
            found |= {name: Kind(None, runbook, cast(Severity, severity)) for name in names}
    return found
