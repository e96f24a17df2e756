from __future__ import annotations

from tests.fakes.notifications import event, incident, notification


def test_the_action_follows_the_states() -> None:
    acknowledged, resolved = incident(state="acknowledged"), incident(state="resolved")
    assert event().action == "trigger"
    assert notification().action == "trigger"
    assert notification(incident(), resolved).action == "trigger"
    assert notification(acknowledged, resolved).action == "acknowledge"
    assert notification(resolved).action == "resolve"
