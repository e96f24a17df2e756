from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from monitor.common.credential import Credential
from monitor.common.http import RemoteError
from monitor.scanning.scanner import RuleStats
from monitor.store import StoreError
from monitor.web.console import bulk
from tests.fakes.api import ApiProgram, serving
from tests.fakes.console import SPILLED, finding


async def ids(program: ApiProgram, count: int = 1) -> list[str]:
    await program.store.commit([finding(number) for number in range(count)])
    return [one.id for one in await program.store.incidents.find()]


async def test_a_list_goes_on_by_its_cursor_and_is_filtered_as_the_page(tmp_path: Path) -> None:
    async with serving(tmp_path) as program:
        known = await ids(program, 7)
        seen: list[str] = []
        after = ""
        while after is not None:
            page = await program.get(f"incidents?limit=3&after={after}")
            assert page["total"] == 7
            seen += [one["id"] for one in page["incidents"]]
            after = page["next"]
        assert sorted(seen) == sorted(known)
        assert len(seen) == 7
        assert (await program.get("incidents?severity=critical&rule=other"))["total"] == 0
        assert (await program.get(f"incidents/{known[0]}"))["id"] == known[0]


async def test_what_is_asked_for_wrongly_is_said_so_and_repeats_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path) as program:
        (id_,) = await ids(program)
        for path in (
            *("incidents?limit=0", "incidents?limit=501", "incidents?severity=x", "incidents?after=x", "sinks?x=y"),
            *("sources?limit=x", "outbox?state=sent", "outbox?after=x", f"sinks?after={'x' * 201}"),
            *(f"incidents/{id_}?include=all", f"incidents?{SPILLED}=1"),
        ):
            assert SPILLED not in (await program.get(path, 400))["detail"]
        await program.get("incidents/0123456789abcdef", 404)
        await program.get("nothing", 404)
        await program.holds()
        await program.post("incidents/0123456789abcdef/ack", 404)
        await program.post(f"incidents/{id_}/link", 404)
        await program.post(f"outbox/{'0' * 32}/retry", 404)
        await program.ask("DELETE", f"incidents/{id_}", 405)
        assert program.headers["Allow"] == "GET,HEAD"
        path = f"incidents/{id_}/note"
        for body, status in ((b"[]", 400), (b"{", 400), (b'"x"', 400), (b"x" * (65 << 10), 413)):
            await program.ask("POST", path, status, data=body, headers={"Content-Type": "application/json"})
        await program.ask("POST", path, 415, data={"note": "x"})
        await program.post(path, 400, key="x" * 256, note="x")
        for wrong in ({"note": 3}, {"note": ""}, {}, {"note": "x", SPILLED: "x"}, {"note": "x" * 4001}):
            assert SPILLED not in (await program.post(path, 422, **wrong))["detail"]
        for verb, sent in (
            *(("resolve", {"as": SPILLED}), ("silence", {"for": SPILLED}), ("assign", {"to": SPILLED})),
            *(("claim", {"step": "a b"}), ("run", {}), ("merge", {"other": "x"})),
        ):
            assert SPILLED not in (await program.post(f"incidents/{id_}/{verb}", 422, **sent))["detail"]
        assert (await program.get(f"incidents/{id_}"))["state"] == "open"


async def test_what_was_written_is_masked_before_it_is_kept(tmp_path: Path) -> None:
    async with serving(tmp_path) as program:
        (id_,) = await ids(program)
        await program.holds()
        await program.post(f"incidents/{id_}/note", note=f"it was {SPILLED}")
        whole = await program.get(f"incidents/{id_}?include=history")
        assert whole["history"][-1]["note"] == "it was [masked]"


async def test_a_key_acts_once_and_for_one_thing_alone(tmp_path: Path) -> None:
    async with serving(tmp_path) as program:
        first, other = await ids(program, 2)
        await program.holds()
        path = f"incidents/{first}/ack"
        answers = await asyncio.gather(*(program.post(path, key="once") for _ in range(4)))
        assert answers == [{"incident": first, "outcome": f"{first} is acknowledged"}] * 4
        assert "take another" in (await program.post(f"incidents/{other}/ack", 422, key="once"))["detail"]
        assert (await program.get(f"incidents/{other}"))["state"] == "open"
        refused = await program.post(path, 409, key="again")
        assert "(api/deploy, " in refused["detail"]
        assert await program.post(path, 409, key="again") == refused
        # A key is of one token: another's request is another one.
        await program.holds(name="other")
        assert (await program.post(f"incidents/{other}/ack", key="once"))["incident"] == other
        history = (await program.get(f"incidents/{first}?include=history"))["history"]
        assert [one["action"] for one in history if one["actor"] == "api/deploy"] == ["acknowledged"]


async def test_of_two_that_are_merged_either_stays(tmp_path: Path) -> None:
    async with serving(tmp_path) as program:
        first, other = await ids(program, 2)
        await program.holds()
        assert (await program.post(f"incidents/{first}/merge", other=other, into=True))["incident"] == other
        assert (await program.get(f"incidents/{first}"))["merged_into"] == other


async def test_a_silence_is_made_once_and_ends_once(tmp_path: Path) -> None:
    async with serving(tmp_path) as program:
        await program.holds("responder")
        said = {"matchers": ["rule=github-pat"], "for": "1h", "note": f"known {SPILLED}"}
        made = [await program.post("silences", key="once", **said) for _ in range(2)]
        assert made[0] == made[1]
        assert (made[0]["by"], made[0]["reason"]) == ("api/deploy", "known [masked]")
        assert (await program.get("silences"))["total"] == 1
        for wrong in ({"matchers": ["x"]}, {"matchers": []}, {"for": "0"}, {"note": ""}, {"matchers": [SPILLED]}):
            assert SPILLED not in (await program.post("silences", 422, **said | wrong))["detail"]
        await program.post("silences", 422, key="once", **said | {"matchers": ["rule=y"]})
        await program.post(f"silences/{made[0]['id']}/end", note="over")
        await program.post(f"silences/{made[0]['id']}/end", 404)
        await program.holds("responder", "read", "other")
        await program.post("silences", 403, **said)


async def test_an_admin_lowers_one_rule(tmp_path: Path) -> None:
    async with serving(tmp_path) as program:
        said = {"matchers": ["rule=github-pat"], "for": "30d", "note": "test data", "severity": "low"}
        await program.holds("responder")
        assert "takes the token of an admin" in (await program.post("silences", 403, **said))["detail"]
        await program.holds("admin", name="chief")
        for wrong in ({"severity": "lowest"}, {"matchers": ["source=a"]}, {"matchers": ["rule=a", "source=a"]}):
            await program.post("silences", 422, **said | wrong)
        wrong = said | {"matchers": ["rule=github-patt"]}
        no_rule = "matchers: no rule is called 'github-patt'; did you mean github-pat?"
        assert (await program.post("silences", 422, **wrong))["detail"] == no_rule
        assert (await program.get("silences"))["total"] == 0
        made = await program.post("silences", key="once", **said)
        assert (made["severity"], made["by"]) == ("low", "api/chief")
        await program.post("silences", 422, key="once", **said | {"severity": "info"})
        await ids(program)
        assert [one["severity"] for one in (await program.get("incidents"))["incidents"]] == ["low"]
        assert [one["severity"] for one in (await program.get("silences"))["silences"]] == ["low"]
        await program.post(f"silences/{made['id']}/end")
        assert (await program.get("silences"))["total"] == 0


async def test_a_token_may_what_its_role_and_scope_say(tmp_path: Path) -> None:
    async with serving(tmp_path) as program:
        (id_,) = await ids(program)
        for role, scope in (("admin", "read"), ("viewer", "act"), ("responder", "act")):
            await program.holds(role, scope, f"{role}-{scope}")
            await program.get("incidents")
            await program.post(f"incidents/{id_}/run", 403, action="revoke")
            await program.post(f"incidents/{id_}/ack", 200 if (role, scope) == ("responder", "act") else 403)
        await program.holds("admin")
        refused = await program.post(f"incidents/{id_}/run", 409, action="revoke")
        assert "2 people, and a token is none of them" in refused["detail"]
        assert not await program.store.actions.find(incident=id_)


async def test_a_session_changes_nothing_here(tmp_path: Path) -> None:
    """A page elsewhere could have it sent; a token nobody sends unasked."""
    async with serving(tmp_path) as program:
        (id_,) = await ids(program)
        for headers in ({}, {"Origin": program.pages.url}):
            detail = (await program.ask("POST", f"incidents/{id_}/ack", 403, json={}, headers=headers))["detail"]
            assert "only a token" in detail
        assert (await program.get(f"incidents/{id_}"))["state"] == "open"


async def test_without_the_database_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise StoreError(f"database is locked: {SPILLED}")

    async with serving(tmp_path) as program:
        (id_,) = await ids(program)
        await program.holds()
        with monkeypatch.context() as patch:
            patch.setattr(program.store.incidents, "page", fail)
            patch.setattr(program.store.requests, "do", fail)
            for answer in (await program.get("incidents", 503), await program.post(f"incidents/{id_}/ack", 503)):
                assert SPILLED not in answer["detail"]
            assert program.headers["Retry-After"] == "30"
            patch.setattr(program.store.tokens, "find", fail)
            await program.get("sinks", 503)
        await program.post(f"incidents/{id_}/ack")


async def test_many_are_changed_at_once_and_a_repeat_says_how_far_it_is(tmp_path: Path) -> None:
    async with serving(tmp_path) as program:
        known = await ids(program, 5)
        await program.holds()
        sent = {"verb": "resolve", "as": "revoked", "ids": [*known[:4], known[0]], "note": f"by {SPILLED}"}
        done = await program.post("incidents/bulk", key="once", **sent)
        while done["left"]:
            done = await program.post("incidents/bulk", key="once", **sent)
        assert (done["done"], done["total"], done["refused"]) == (4, 4, {})
        assert (await program.get("incidents"))["total"] == 1
        history = (await program.get(f"incidents/{known[0]}?include=history"))["history"]
        (made,) = [entry for entry in history if entry["action"] == "resolved"]
        assert (made["actor"], made["resolution"], made["note"]) == ("api/deploy", "revoked", "by [masked]")
        for changed in ({"verb": "ack", "as": None}, {"as": "wont_fix"}, {"ids": known}):
            other = {name: value for name, value in (sent | changed).items() if value is not None}
            assert "take another" in (await program.post("incidents/bulk", 422, key="once", **other))["detail"]
        again = await program.post("incidents/bulk", verb="ack", ids=known)
        while again["left"]:
            again = await program.post("incidents/bulk", key="other", verb="ack", ids=known)
        assert (again["done"], again["overtaken"]) in {(1, 4), (0, 5)}


@pytest.mark.parametrize(
    "sent",
    [
        {"verb": "ack"},
        {"verb": "ack", "ids": []},
        {"verb": "ack", "ids": ["x"]},
        {"verb": "ack", "filter": {}},
        {"verb": "ack", "expected": 1},
        {"verb": "ack", "ids": ["0" * 16], "filter": {}, "expected": 1},
        {"verb": "ack", "filter": {SPILLED: "x"}, "expected": 1},
        {"verb": "ack", "filter": {"severity": SPILLED}, "expected": 1},
        {"verb": "ack", "filter": {"q": 1}, "expected": 1},
        {"verb": "ack", "filter": {}, "expected": -1},
        {"verb": "ack", "ids": ["0" * 16] * 3001},
        {"verb": "run", "ids": ["0" * 16]},
        {"verb": "resolve", "ids": ["0" * 16]},
        {"verb": "ack", "ids": ["0" * 16], "for": "1h"},
        {"verb": "silence", "ids": ["0" * 16], "for": SPILLED},
        {"verb": "assign", "ids": ["0" * 16], "to": SPILLED},
    ],
)
async def test_a_change_of_many_that_does_not_fit_changes_nothing(tmp_path: Path, sent: dict[str, Any]) -> None:
    async with serving(tmp_path) as program:
        (id_,) = await ids(program)
        await program.holds()
        assert SPILLED not in (await program.post("incidents/bulk", 422, **sent))["detail"]
        await program.holds(role="viewer", name="looks")
        await program.post("incidents/bulk", 403, verb="ack", ids=[id_])
        await program.holds(scope="read", name="reads")
        await program.post("sinks/chat/test", 403)
        assert (await program.get(f"incidents/{id_}"))["state"] == "open"


async def test_all_that_a_filter_has_is_changed_where_it_is_as_many_as_expected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path) as program:
        await ids(program, 3)
        await program.store.commit([finding(n, severity="low", path="/srv/test.log") for n in (7, 8)])
        await program.holds("responder")
        sent = {"verb": "resolve", "as": "used_in_tests", "filter": {"q": "/srv/test"}}
        for wrong in (0, 1, 5):
            refused = await program.post("incidents/bulk", 409, key="once", **sent, expected=wrong)
            assert (refused["expected"], "has 2 incidents" in refused["detail"]) == (2, True)
        assert (await program.get("incidents"))["total"] == 5
        done = {"left": 2}
        while done["left"]:
            done = await program.post("incidents/bulk", key="once", **sent, expected=2)
        assert (done["done"], done["total"], done["refused"]) == (2, 2, {})
        assert (await program.get("incidents?q=/srv/test"))["total"] == 0, "and a repeat says what came of it"
        for other in ({"filter": {"q": "/srv"}}, {"expected": 3}, {"expected": 0}, {"as": "revoked"}):
            again = await program.post("incidents/bulk", 422, key="once", **{**sent, "expected": 2} | other)
            assert "take another" in again["detail"]
        none = await program.post("incidents/bulk", **sent, expected=0)
        assert (none["total"], none["left"]) == (0, 0)
        only = {"verb": "ack", "filter": {"state": "acknowledged"}}
        assert (await program.post("incidents/bulk", 409, **only, expected=3))["expected"] == 0, "ack is for open ones"
        monkeypatch.setattr(bulk, "MOST", 2)
        too_many = await program.post("incidents/bulk", 422, verb="ack", filter={}, expected=3)
        assert "2 are changed at once" in too_many["detail"]


async def test_two_that_ask_by_one_key_act_once(tmp_path: Path) -> None:
    async with serving(tmp_path) as program:
        await ids(program, 5)
        await program.holds("responder")
        sent: dict[str, Any] = {"verb": "ack", "filter": {"rule": "github-pat"}, "expected": 5}
        both = await asyncio.gather(*(program.post("incidents/bulk", key="once", **sent) for _ in range(2)))
        while both[0]["left"]:
            both = [await program.post("incidents/bulk", key="once", **sent)]
        assert (both[0]["done"], both[0]["refused"]) == (5, {})


async def test_noise_is_that_of_the_page(tmp_path: Path) -> None:
    async with serving(tmp_path) as program:
        now = time.time()
        found = [finding(n, time=now - 60, rule="jwt" if n < 3 else "github-pat") for n in range(8)]
        await program.store.commit([*found, finding(9, time=now - 9 * 86_400)])
        (jwt, *_) = await program.store.incidents.find(rules=["jwt"])
        await program.store.incidents.transition(jwt.id, "resolve", actor="ada", resolution="false_positive")
        program.pages.snapshot.scanner.rules |= {"jwt": RuleStats(4, 2.5), "slow": RuleStats(9, 7.5)}
        await program.store.silences.add(["rule=jwt"], 60, actor="ada", reason="x", severity="low")
        page = await program.get("noise?sort=cost&limit=2")
        assert (page["total"], [row["rule"] for row in page["noise"]]) == (3, ["slow", "jwt"])
        row = page["noise"][1]
        figures = {"incidents": 3, "unresolved": 2, "resolved": 1, "no_secret": 1, "sightings": 3, "alerts": 0}
        assert row | figures | {"looks": 4, "seconds": 2.5} == row
        assert [one["severity"] for one in row["silences"]] == ["low"]
        (last,) = (await program.get(f"noise?sort=cost&limit=2&after={quote(page['next'])}"))["noise"]
        assert (last["rule"], last["incidents"], last["seconds"]) == ("github-pat", 5, None)
        rows = (await program.get("noise?days=30&sort=no+secret"))["noise"]
        assert {row["rule"]: row["incidents"] for row in rows} == {"jwt": 3, "github-pat": 6, "slow": 0}
        for wrong in ("days=3", f"sort={quote(SPILLED)}", "x=y"):
            assert SPILLED not in (await program.get(f"noise?{wrong}", 400))["detail"]


async def test_noise_without_a_database_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(tmp_path) as program:

        async def fail(*_: object) -> None:
            raise StoreError("database is locked")

        monkeypatch.setattr(program.store, "read", fail)
        assert "there are no figures" in (await program.get("noise", 503))["detail"]


async def test_a_sink_is_tried_and_the_trail_says_by_which_program(tmp_path: Path) -> None:
    async with serving(tmp_path) as program:
        await program.holds("responder")
        await program.post("sinks/chat/test")
        assert "wait a moment" in (await program.post("sinks/chat/test", 409))["detail"]
        program.pages.refusal = LookupError("no sink is called pager")
        await program.post("sinks/pager/test", 404)
        program.pages.refusal = RemoteError(f"HTTP 401: {SPILLED}", retry=False)
        await program.post("sinks/mail/test", 409)
        _, rows = await program.store.trail.page(actor="api/deploy")
        notes = ["mail did not take it: HTTP 401: [masked]", "chat took the test, as ticket 7"]
        assert [row.entry.note for row in rows] == notes


async def test_events_say_that_something_has_changed_and_nothing_of_what(tmp_path: Path) -> None:
    async with serving(tmp_path, token=Credential("env:NONE")) as program:
        await program.get("events", 503)  # who it is cannot be known
        await program.holds(scope="read")
        (id_,) = await ids(program)
        heard = await program.stream()
        assert b'"critical":1' in heard
        assert id_.encode() not in heard
