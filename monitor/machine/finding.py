"""What a check found."""

from __future__ import annotations

from typing import Literal, NamedTuple

__all__ = ["CheckFinding", "host_error", "host_notice"]


class CheckFinding(NamedTuple):
    """`kind` decides the exit code: configuration and rules 78, environment 1, notice 0. `key`: of the configuration,
    or `host.…`. `mend`: the command that does it."""

    kind: Literal["configuration", "rules", "environment", "notice"]
    key: str
    message: str
    line: int | None = None
    mend: str | None = None


def host_error(about: str, message: str, mend: str | None = None) -> CheckFinding:
    return CheckFinding("environment", f"host.{about}", message, mend=mend)


def host_notice(about: str, message: str, mend: str | None = None) -> CheckFinding:
    return CheckFinding("notice", f"host.{about}", message, mend=mend)
