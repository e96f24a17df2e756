from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from monitor import runbook
from monitor.domain.incidents import Incident
from monitor.routing.routes import Policy
from monitor.runbook.progress import Procedure
from monitor.store import Store
from tests.monitor.store.helpers import Clock, finding, fingerprint
from tests.monitor.store.test_requests import ID, ask

OTHER = fingerprint("b")[:16]


@pytest.fixture
async def store(url: str, clock: Clock) -> AsyncIterator[Store]:
    procedure = Procedure(None, book=runbook.load)
    async with await Store.open(url, Policy(), clock=clock, procedure=procedure) as store:
        await store.commit([finding("a", runbook="github-token"), finding("b")])
        yield store


def nothing(incident: Incident, name: str) -> int | None:
    return None


async def said(store: Store, verb: str, id_: str = "", **more: object) -> tuple[bool, str]:
    asked = replace(ask(verb, id_ or f"{verb}:{more}"), answer={}, **more)  # type: ignore[arg-type]
    answer = await store.requests.do(asked, nothing)
    return answer.done, answer.text


async def test_what_only_pages_ask_for(store: Store) -> None:
    assert await said(store, "assign", detail="bob") == (True, f"{ID} is bob's")
    assert (await store.incidents.get(ID)).owner == "bob"
    assert await said(store, "start", detail=":replace") == (True, "the runbook github-token is under way, 9 steps")
    run = await store.runs.get(ID)
    assert run is not None
    assert run.order == "replace"
    assert await said(store, "skip", detail="notify", note="nobody") == (True, "step notify is skipped; 1 of 9 done")
    assert await said(store, "reopen", detail="notify") == (True, "step notify is open; 0 of 9 done")
    assert await said(store, "silence", detail="3600") == (True, f"{ID} is silenced until 2027-01-15 09:00:00 UTC")
    assert await said(store, "silence", detail="0") == (True, f"{ID} is not silenced any more")
    assert await store.silences.list() == ([], [])
    assert await said(store, "merge", detail=OTHER, note="one token") == (True, f"{OTHER} is merged into {ID}")
    assert (await store.incidents.get(OTHER)).merged == ID
    assert (await store.trail.verify()).problems == ()


async def test_a_suppression_is_of_all_that_counts_for_the_incident_and_can_be_taken_back(store: Store) -> None:
    await said(store, "merge", detail=OTHER)
    day = "86400:false_positive"
    assert await said(store, "suppress", detail=day, note="a test key") == (
        True,
        f"{ID} is suppressed until 2027-01-16 08:00:00 UTC",
    )
    assert {one.fingerprint for one in await store.suppressions.list()} == {fingerprint("a"), fingerprint("b")}
    known = await store.incidents.get(ID)
    assert (known.state, known.resolution) == ("resolved", "false_positive")
    assert await said(store, "suppress", detail="0") == (True, f"{ID} is not suppressed any more")
    assert await store.suppressions.list() == []
    assert await said(store, "suppress", "again", detail="0") == (False, f"{ID} is not suppressed")


@pytest.mark.parametrize(
    ("verb", "more", "why"),
    [
        ("assign", {}, "say to whom it is handed over"),
        ("note", {}, "the note is empty"),
        ("suppress", {"detail": "60"}, "say why it is suppressed"),
        ("suppress", {"detail": "60:revoked", "note": "x"}, "what is suppressed is resolved as one of wont_fix,"),
        ("suppress", {"detail": "-1", "note": "x"}, "a secret is suppressed for 36500 days at most"),
        ("merge", {"detail": ID}, f"incident {ID} cannot be merged into itself"),
        ("merge", {"detail": "0" * 16}, "there is no incident 0000000000000000"),
        ("start", {"detail": "nobody"}, "there is no runbook 'nobody'"),
        ("claim", {"detail": "revoke"}, f"no runbook is under way for incident {ID}"),
    ],
)
async def test_what_is_refused_says_why_and_changes_nothing(
    store: Store, verb: str, more: dict[str, str], why: str
) -> None:
    before = await store.incidents.history(ID)
    done, text = await said(store, verb, **more)
    assert (done, text.startswith(why)) == (False, True), text
    assert await store.incidents.history(ID) == before


async def test_who_was_first_with_a_step_is_named_with_the_time(store: Store, clock: Clock) -> None:
    await said(store, "start")
    await said(store, "claim", detail="revoke")
    clock.now += 60
    assert await said(store, "claim", "second", detail="revoke", actor="bob") == (
        False,
        "step revoke is claimed by ada; take it over with --anyway (since 2027-01-15 08:00:00 UTC)",
    )
    assert await said(store, "claim", "third", detail="revoke:over", actor="bob") == (
        True,
        "step revoke is claimed; 0 of 9 done",
    )
    run = await store.runs.get(ID)
    assert run is not None
    assert run.task("revoke").owner == "bob"
