from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from monitor.common.notification import IncidentView, StepClaim
from monitor.common.outcome import Outcome, kind_of, outcome, window
from tests.fakes.notifications import NOW, incident

LATER = NOW + timedelta(hours=1)
WORD = StepClaim(NOW, "bob", "deleted")


def resolved(resolution: str, **changes: Any) -> IncidentView:
    decided = {"state": "resolved", "resolution": resolution, "resolved_at": LATER, "actor": "ada", "note": "gone"}
    return incident(**(decided | changes))


@pytest.mark.parametrize(
    ("shown", "became"),
    [
        (incident(), Outcome("exposed")),
        (incident(validity="refused", asked_at=NOW), Outcome("exposed")),
        (incident(claim=WORD), Outcome("revoked", NOW, "bob", "deleted")),
        (incident(claim=replace(WORD, checked=True)), Outcome("revoked", NOW, "bob", "deleted", NOW, "deleted")),
        (resolved("revoked"), Outcome("revoked", LATER, "ada", "gone")),
        (resolved("revoked", claim=WORD), Outcome("revoked", NOW, "bob", "deleted")),
        (resolved("revoked", claim=replace(WORD, at=LATER)), Outcome("revoked", LATER, "ada", "gone")),
        (
            resolved("revoked", validity="refused", asked_at=NOW, verdict="401"),
            Outcome("revoked", LATER, "ada", "gone", NOW, "401"),
        ),
        (resolved("revoked", validity="unknown", asked_at=NOW), Outcome("revoked", LATER, "ada", "gone")),
        (
            resolved("revoked", validity="valid", asked_at=LATER + timedelta(1), verdict="200"),
            Outcome("exposed", LATER, "ada", "gone", None, "200"),
        ),
        (resolved("revoked", validity="valid", asked_at=NOW, verdict="200"), Outcome("revoked", LATER, "ada", "gone")),
        (resolved("false_positive", claim=WORD), Outcome("false_positive", LATER, "ada", "gone")),
        (resolved("wont_fix"), Outcome("accepted", LATER, "ada", "gone")),
        (resolved("wont_fix", merged="i2"), Outcome("merged", LATER, "ada", "gone")),
    ],
)
def test_what_became_of_it_and_what_says_so(shown: IncidentView, became: Outcome) -> None:
    assert outcome(shown) == became


@pytest.mark.parametrize(
    ("resolution", "harmless", "due"),
    [
        ("false_positive", True, False),
        ("used_in_tests", True, False),
        ("wont_fix", False, False),
        ("revoked", False, True),
    ],
)
def test_which_have_deadlines_and_which_were_none(resolution: str, harmless: bool, due: bool) -> None:
    became = Outcome(kind_of("resolved", resolution))
    assert (became.harmless, became.due) == (harmless, due)
    assert kind_of("acknowledged", None) == "exposed"


@pytest.mark.parametrize(
    ("shown", "until"),
    [
        (incident(), None),
        (incident(claim=WORD), NOW),
        (resolved("revoked"), LATER),
        (resolved("revoked", claim=WORD), NOW),
        (resolved("used_in_tests", claim=WORD), None),
    ],
)
def test_it_was_exposed_from_its_first_line_until_it_was_revoked(shown: IncidentView, until: datetime | None) -> None:
    early = shown.first_seen - timedelta(minutes=1)
    assert window(replace(shown, first_logged=None)) == (shown.first_seen, until)
    assert window(replace(shown, first_logged=early)) == (early, until)
