from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Mapping

import pytest

from monitor.store import Notice
from monitor.web.console import bulk
from monitor.web.console.visitor import Visitor
from tests.fakes.console import SPILLED, Pages, finding
from tests.monitor.store.helpers import notify

ADA = Visitor("ada", "responder", form="f" * 32)
BOB = Visitor("bob", "responder", form="g" * 32)


@pytest.fixture
def pages(pages: Pages) -> Pages:
    pages.who = ADA
    return pages


def fields(page: str) -> dict[str, str]:
    """What its form for many would send, but for its buttons."""
    (form,) = re.findall(r'(?s)<form[^>]* method="post" action="/incidents/bulk">(.*?)</form>', page)
    return {
        name: html.unescape(value)
        for name, value in re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', form)
    }


def outcome(page: str) -> str:
    (told,) = re.findall(r'<p id="outcome"[^>]*>(.*?)</p>', page)
    return html.unescape(told)


async def states(pages: Pages) -> Mapping[str, int]:
    return Counter(incident.state for incident in await pages.store.incidents.find(limit=500))


async def test_those_that_are_ticked_are_changed_at_once(pages: Pages) -> None:
    await pages.store.commit([finding(n) for n in range(5)])
    listed = await pages.get("/incidents?severity=high")
    ticked = re.findall(r'name="(pick\.\w+)"', listed)[:2]
    sent = fields(listed) | dict.fromkeys(ticked, "on") | {"verb": "ack", "scope": "ticked", "note": f"see {SPILLED}"}
    page = await pages.post("/incidents/bulk", **sent)
    assert outcome(page) == "2 of 2 acknowledged."
    assert 'href="/incidents?severity=high"' in page
    assert await states(pages) == {"open": 3, "acknowledged": 2}
    known = await pages.store.incidents.get(ticked[0].removeprefix("pick."))
    assert known.owner == "ada"
    (entry,) = [one for one in await pages.store.incidents.history(known.id) if one.action == "acknowledged"]
    assert (entry.actor, entry.note) == ("ada", "see [masked]")

    assert outcome(await pages.post("/incidents/bulk", **sent)) == outcome(page), "the same form again"
    other = dict.fromkeys(ticked, "on") | {"verb": "ack", "scope": "ticked", "list": ""}
    pages.who = BOB
    assert outcome(await pages.post("/incidents/bulk", **other)) == "0 of 2 acknowledged; somebody else had seen to 2."


@pytest.mark.parametrize(
    ("sent", "told", "left"),
    [
        ({"verb": "silence", "for": "4h"}, "silenced", {"open": 3}),
        ({"verb": "resolve", "as": "false_positive"}, "resolved", {"resolved": 3}),
        ({"verb": "assign"}, "assigned", {"open": 3}),
    ],
)
async def test_all_of_a_list_after_a_look_at_which(
    pages: Pages, sent: dict[str, str], told: str, left: Mapping[str, int]
) -> None:
    await pages.store.commit([finding(n) for n in range(3)] + [finding(n, severity="low") for n in range(3, 5)])
    listed = await pages.get("/incidents?severity=critical")
    look = await pages.post("/incidents/bulk", **fields(listed), **sent, scope="all")
    assert "3 incidents?</h1>" in look
    assert "<code>severity ≥ critical</code>" in look
    assert await states(pages) == {"open": 5}
    page = await pages.post("/incidents/bulk", **fields(look), scope="seen")
    assert outcome(page) == f"3 of 3 {told}."
    critical = await pages.store.incidents.find(severities=["critical"])
    assert {incident.state for incident in critical} == set(left)
    assert len((await pages.store.silences.list())[1]) == (3 if "for" in sent else 0)
    assert {incident.owner for incident in critical} == ({"ada"} if sent["verb"] == "assign" else {None})
    assert {one.state for one in await pages.store.incidents.find(severities=["low"])} == {"open"}


async def test_all_that_a_message_showed_by_the_link_in_it(pages: Pages) -> None:
    await pages.store.commit([finding(n) for n in range(5)])
    ids = await pages.store.incidents.ids(limit=3)
    [sent] = await notify(pages.store, Notice("a flood", severity="high", incidents=tuple(ids), sinks=("chat",)))
    listed = await pages.get(f"/incidents?told={sent}&state=all")
    assert re.findall(r'href="/incidents/(\w{16})"', listed) == ids
    look = await pages.post("/incidents/bulk", **fields(listed), verb="ack", scope="all")
    assert outcome(await pages.post("/incidents/bulk", **fields(look), scope="seen")) == "3 of 3 acknowledged."
    assert await states(pages) == {"open": 2, "acknowledged": 3}
    assert "None match" in await pages.get("/incidents?told=forgotten&state=all")


async def test_what_came_after_the_look_is_left_alone(pages: Pages) -> None:
    await pages.store.commit([finding(n) for n in range(3)])
    look = await pages.post("/incidents/bulk", verb="ack", scope="all", list="")
    await pages.store.commit([finding(n) for n in range(3, 60)])
    assert outcome(await pages.post("/incidents/bulk", **fields(look), scope="seen")) == "3 of 3 acknowledged."
    assert await states(pages) == {"open": 57, "acknowledged": 3}


async def test_a_look_that_is_not_remembered_is_taken_where_nothing_has_changed_and_else_had_again(
    pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "_LOOKS", 0)  # as after a restart
    await pages.store.commit([finding(n) for n in range(3)])
    look = await pages.post("/incidents/bulk", verb="ack", scope="all", list="")
    await pages.store.commit([finding(3)])
    again = await pages.post("/incidents/bulk", 409, **fields(look), scope="seen")
    assert "Nothing was done" in again
    assert await states(pages) == {"open": 4}
    assert outcome(await pages.post("/incidents/bulk", **fields(again), scope="seen")) == "4 of 4 acknowledged."


async def test_it_goes_on_where_it_was_ended(pages: Pages) -> None:
    pages.works = False
    await pages.store.commit([finding(n) for n in range(120)])
    look = await pages.post("/incidents/bulk", verb="ack", scope="all", list="")
    sent = fields(look) | {"scope": "seen"}
    page = await pages.post("/incidents/bulk", **sent)
    assert outcome(page) == "0 of 120 acknowledged; 120 to go."
    await pages.store.requests.apply(lambda incident, name: None)
    pages.works = True
    page = await pages.post("/incidents/bulk", **sent)
    while "to go" in outcome(page):
        page = await pages.get(f"/incidents/bulk/{sent['once']}")
    assert outcome(page) == "120 of 120 acknowledged."
    acknowledged = [one for one in await pages.store.incidents.find(limit=200) if one.state == "acknowledged"]
    histories = [await pages.store.incidents.history(one.id) for one in acknowledged]
    assert all([entry.action for entry in history].count("acknowledged") == 1 for history in histories)


async def test_more_than_are_done_at_once_are_done_in_turn(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "MOST", 3)
    await pages.store.commit([finding(n) for n in range(5)])
    for count, total in ((3, 5), (2, 2)):
        look = await pages.post("/incidents/bulk", verb="ack", scope="all", list="")
        assert (f"{total} match; at most" in look) is (total > count)
        assert (
            outcome(await pages.post("/incidents/bulk", **fields(look), scope="seen"))
            == f"{count} of {count} acknowledged."
        )
    assert "No incident of this list is open" in await pages.post("/incidents/bulk", verb="ack", scope="all", list="")


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        ({"verb": "delete", "scope": "all"}, "the form does not say"),
        ({"verb": "silence", "for": "soon", "scope": "all"}, "must be a duration"),
        ({"verb": "silence", "for": "0s", "scope": "all"}, "longer than nothing"),
        ({"verb": "resolve", "as": "<b>", "scope": "all"}, "as: has to be one of"),
        ({"verb": "ack", "scope": "ticked"}, "no incident is ticked"),
        ({"verb": "ack", "scope": "ticked", "pick.<script>": "on"}, "no incident is ticked"),
        ({"verb": "ack", "scope": "all", "list": "/incidents?colour=red"}, "nothing is asked for by 'colour'"),
    ],
)
async def test_a_form_that_says_nothing_of_use_is_answered_in_words(
    pages: Pages, sent: dict[str, str], why: str
) -> None:
    await pages.store.commit([finding(1)])
    text = await pages.post("/incidents/bulk", 400, **({"list": ""} | sent))
    assert why in text
    assert "<" not in text


async def test_who_may_only_look_is_offered_nothing_and_refused(pages: Pages) -> None:
    await pages.store.commit([finding(1)])
    look = fields(await pages.get("/incidents"))
    pages.who = Visitor("eve", "viewer", form="f" * 32)
    assert "bulk" not in await pages.get("/incidents")
    assert "responder" in await pages.post("/incidents/bulk", 403, **look, verb="ack", scope="all")
    pages.who = BOB
    forged = look | {"verb": "ack", "scope": "all"}
    assert "not made for you" in await pages.post("/incidents/bulk", 403, **forged)
    await pages.get("/incidents/bulk/nothing", 404)
