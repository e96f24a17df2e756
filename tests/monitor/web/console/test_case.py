from __future__ import annotations

from dataclasses import replace

import pytest

from monitor.common.notification import Offer
from monitor.runbook.progress import RunbookRun, Task
from monitor.web.console.case import MainStep, main_step, open_for
from monitor.web.console.visitor import Visitor
from tests.fakes.notifications import incident

ADA = Visitor("ada", "admin", "f" * 32)
OPEN = Task("revoke", "Revoke it", "immediate", "responder", 60.0, 100.0, 1.0)
RUN = RunbookRun("a", "b", "t", "contain", "", 1.0, (OPEN,))


def run(**changes: object) -> RunbookRun:
    return replace(RUN, tasks=(replace(OPEN, **changes),))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("shown", "run", "main"),
    [
        ({"state": "resolved", "resolution": "revoked"}, RUN, None),
        ({"state": "open", "offers": (Offer("rotate", 1),)}, RUN, MainStep("ack")),
        ({"offers": (Offer("rotate", 1),)}, RUN, MainStep("run", "rotate")),
        ({"offers": (Offer("rotate", 1),), "drill": True}, RUN, MainStep("claim", "revoke", "Revoke it")),
        ({"offers": (Offer("rotate", 1, ("bob",), "completed"),)}, RUN, MainStep("claim", "revoke", "Revoke it")),
        ({}, RUN, MainStep("claim", "revoke", "Revoke it")),
        ({}, run(state="claimed", owner="ada"), MainStep("done", "revoke", "Revoke it")),
        ({}, run(state="claimed", owner="bob"), None),
        ({}, run(state="done"), MainStep("resolve")),
        ({}, None, MainStep("resolve")),
    ],
)
def test_one_thing_is_next(shown: dict[str, object], run: RunbookRun | None, main: MainStep | None) -> None:
    assert main_step(replace(incident(state="acknowledged"), **shown), run, ADA) == main  # type: ignore[arg-type]


def test_what_takes_an_admin_is_next_for_no_responder() -> None:
    shown = incident(state="acknowledged", offers=(Offer("rotate", 1),))
    assert main_step(shown, RUN, replace(ADA, role="responder")) == MainStep("claim", "revoke", "Revoke it")


@pytest.mark.parametrize(
    ("offer", "may"),
    [
        (Offer("rotate", 2), True),
        (Offer("rotate", 2, ("bob",), "planned"), True),
        (Offer("rotate", 2, ("ada",), "planned"), False),
        (Offer("rotate", 2, ("ada", "bob"), "failed"), True),
        (Offer("rotate", 2, ("ada", "bob"), "running"), False),
        (Offer("rotate", 2, ("ada", "bob"), "unknown"), False),
    ],
)
def test_an_action_is_asked_for_again_only_where_it_may_run(offer: Offer, may: bool) -> None:
    assert open_for(offer, incident(), ADA) is may
