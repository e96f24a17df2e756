"""`[retention]`: how long is kept what nobody waits for any more."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator

from monitor.common.duration import parse_duration

__all__ = ["RetentionConfig"]

_DAY = 86_400.0


def _age(value: object) -> float:
    if value == "never":
        return float("inf")
    try:
        return parse_duration(value)
    except ValueError:
        raise ValueError('must be a duration such as "90d", or "never"') from None


def _at_least(days: int) -> BeforeValidator:
    def check(value: object) -> float:
        seconds = _age(value)
        if seconds < days * _DAY:
            raise ValueError(f'must be at least "{days}d"')
        return seconds

    return BeforeValidator(check)


class RetentionConfig(BaseModel):
    """Ages in seconds. Nothing is ever forgotten of an incident that is not resolved, nor what is not delivered."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    # A resolved incident, neither changed nor seen for so long: its places and history go …
    incidents: Annotated[float, _at_least(1)] = 365 * _DAY
    # … and after so long its fingerprint: until then a leak of the same secret opens it again, and what was judged
    # harmless stays so.
    fingerprints: Annotated[float, _at_least(1)] = 5 * 365 * _DAY
    groups: Annotated[float, _at_least(1)] = 90 * _DAY  # in which everything is resolved
    sent: Annotated[float, _at_least(1)] = 7 * _DAY
    refused: Annotated[float, _at_least(1)] = 90 * _DAY
    receipts: Annotated[float, _at_least(1)] = 90 * _DAY  # of groups that are gone
    hooks: Annotated[float, _at_least(4)] = 7 * _DAY  # GitHub can deliver one again for three days

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.fingerprints < self.incidents:
            raise ValueError("fingerprints must be stored at least as long as incidents")
        return self
