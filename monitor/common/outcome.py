"""What became of an exposed secret, with what says so: document, page, messages and deadlines all go by this. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from monitor.common.notification import IncidentView

__all__ = ["HARMLESS", "Outcome", "OutcomeKind", "kind_of", "outcome", "window"]

OutcomeKind = Literal["exposed", "revoked", "accepted", "false_positive", "used_in_tests", "merged"]
HARMLESS = ("false_positive", "used_in_tests")  # by these nothing was exposed


@dataclass(frozen=True, slots=True)
class Outcome:
    """`at`, `by`, `note`: since when, who said so, and what shows it by their word. `checked`: when its issuer refused
    the secret, `answer` being its words; None: that it is revoked is no more than what somebody says."""

    kind: OutcomeKind
    at: datetime | None = None
    by: str = ""
    note: str = ""
    checked: datetime | None = None
    answer: str = ""

    @property
    def harmless(self) -> bool:
        """Nothing was exposed: no clock runs, and nothing is red."""
        return self.kind in HARMLESS

    @property
    def due(self) -> bool:
        """Whether its steps still have deadlines: what was revoked is to be replaced."""
        return self.kind in ("exposed", "revoked")


def kind_of(state: str, resolution: str | None) -> OutcomeKind:
    """By what was decided alone."""
    kinds: dict[str | None, OutcomeKind] = {
        "revoked": "revoked",
        "wont_fix": "accepted",
        "false_positive": "false_positive",
        "used_in_tests": "used_in_tests",
    }
    return kinds.get(resolution, "exposed") if state == "resolved" else "exposed"


def outcome(incident: IncidentView) -> Outcome:
    """What was decided, or what its step says where that came first; and what the issuer's answer makes of it."""
    if incident.merged:
        return Outcome("merged", incident.resolved_at, incident.actor or "", incident.note)
    became = Outcome(kind_of(incident.state, incident.resolution))
    if became.kind != "exposed":
        became = replace(became, at=incident.resolved_at, by=incident.actor or "", note=incident.note)
    claim = incident.claim
    if claim and became.due and (became.at is None or claim.at < became.at):
        checked = (claim.at, claim.note) if claim.checked else (None, "")
        became = Outcome("revoked", claim.at, claim.by, claim.note, *checked)
    return _answered(became, incident)


def _answered(became: Outcome, incident: IncidentView) -> Outcome:
    """An answer alone ends nothing: a key that its issuer refuses today may be one that is only blocked."""
    asked = incident.asked_at
    if became.kind != "revoked" or asked is None:
        return became
    if incident.validity == "refused":
        return replace(became, checked=asked, answer=incident.verdict)
    if incident.validity == "valid" and asked > (became.checked or became.at or asked):
        # Seen to work since, so it is not revoked, whatever was said or shown before.
        return replace(became, kind="exposed", checked=None, answer=incident.verdict)
    return became


def window(incident: IncidentView) -> tuple[datetime, datetime | None]:
    """When it was exposed: from, and until it was revoked by what is known (None: it is still, or never was)."""
    became = outcome(incident)
    start = min(incident.first_seen, incident.first_logged or incident.first_seen)
    return start, became.at if became.kind == "revoked" else None
