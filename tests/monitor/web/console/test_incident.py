from __future__ import annotations

import asyncio
import contextlib
import html
import re
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from monitor import runbook
from monitor.domain.incidents import Incident, Verified
from monitor.routing.routes import Policy
from monitor.runbook import Runbook
from monitor.runbook.book import RunbookStep
from monitor.runbook.progress import Procedure
from monitor.store import Store, StoreError
from monitor.web.console import incident
from monitor.web.console.context import ActionPreview
from tests.fakes.console import SPILLED, Pages, finding
from tests.fakes.responders import Person, at_pages, form_for


async def test_an_incident_with_its_places_history_and_first_step(pages: Pages) -> None:
    await pages.store.commit([finding(1), finding(2, fingerprint=finding(1).fingerprint, path="/var/log/b.log")])
    (incident,) = await pages.store.incidents.find()
    await pages.store.incidents.transition(incident.id, "ack", actor="ada", note="looking <into> it")
    text = html.unescape(await pages.get(f"/incidents/{incident.id}"))
    for words in (
        *("/var/log/app.log:2", "/var/log/b.log:3", "ghp_a1…", incident.fingerprint, "acknowledged", "ada"),
        *(
            "looking <into> it",
            f"Next: <code>monitor incidents resolve {incident.id} --as revoked</code>",
            "acknowledged by ada: looking <into> it",
            "2023-11-14 22:13:20 UTC",
            "/runbooks/github-token",
        ),
    ):
        assert words in text
    by_both = [await pages.get(f"/incidents/{ref}") for ref in (incident.fingerprint, incident.id[:8])]
    clock = r"As of .*|(?s:<svg.*?</svg>)|\d+ s ago"
    assert len({re.sub(clock, "", page) for page in by_both}) == 1


async def test_the_steps_of_its_runbook_are_shown_with_who_did_them(pages: Pages) -> None:
    pages.store.procedure = Procedure("high", book=runbook.load)
    await pages.store.commit([finding(1)])
    (incident,) = await pages.store.incidents.find()
    await pages.store.runs.act(incident.id, "revoke", "done", actor="ada", note="gone <b>for good</b>")
    text = await pages.get(f"/incidents/{incident.id}")
    assert "1 of 9 done" in text
    assert "Revoke the exposed secret" in text
    assert "gone &lt;b&gt;for good&lt;/b&gt;" in text
    assert "due 20" in text


async def test_what_is_not_there(pages: Pages) -> None:
    for path in ("/incidents/nobody", "/incidents/%3Cscript%3E", "/runbooks/nobody", "/runbooks/..%2Frunbook"):
        answer = await pages.get(path, 404)
        assert "<" not in answer
    await pages.store.commit([finding(n) for n in range(40)])
    starts = Counter(incident.id[0] for incident in await pages.store.incidents.find())
    ((start, shared),) = starts.most_common(1)
    assert shared > 1
    await pages.get(f"/incidents/{start}", 404)  # fits several


async def test_a_runbook(pages: Pages) -> None:
    text = await pages.get("/runbooks/github-token")
    assert "1. Revoke the exposed secret (within 15 minutes)" in text


async def test_a_drill_and_what_its_runbook_waits_for_are_told_as_in_an_alert(pages: Pages) -> None:
    pages.store.procedure = Procedure("high", book=runbook.load)
    await pages.store.drills.plan([finding(1).fingerprint], pages=False)
    await pages.store.commit([finding(1)])
    (incident,) = await pages.store.incidents.find()
    await pages.store.runs.act(incident.id, "revoke", "done", actor="ada", note="gone")
    text = await pages.get(f"/incidents/{incident.id}")
    assert "<h1>Drill: GitHub personal access token</h1>" in text
    assert "<b>First:</b> Generate the replacement.</p>" in text, "not what is done already"
    assert "; next: Generate the replacement, due 20" in text
    assert f"Acknowledge: <code>monitor incidents ack {incident.id}</code>" in text
    assert f"Next: <code>monitor runbook claim {incident.id} replace</code>" in text
    assert "Drill: GitHub personal access token" in await pages.get("/incidents")


ID = finding(1).fingerprint[:16]
PAGE = f"/incidents/{ID}"


async def preview(incident: Incident, name: str) -> ActionPreview:
    return ActionPreview("Revoke it at GitHub", ["POST https://api.github.com/revoke", '  {"value":"SECRET"}', SPILLED])


def named(*names: str) -> Callable[[], Awaitable[Sequence[str]]]:
    async def people() -> Sequence[str]:
        return names

    return people


@asynccontextmanager
async def night(folder: Path, **more: Any) -> AsyncIterator[tuple[Store, Callable[..., Person]]]:
    """An open incident with a runbook and an action, and people who come to its page."""
    procedure = Procedure("high", book=runbook.load)
    async with await Store.open(folder / "state.db", Policy(), procedure=procedure) as store:
        await store.commit([finding(1)])
        given = {"offers": lambda incident: [("revoke", 2)], "preview": preview, "people": named("bob")} | more
        async with at_pages(store, **given) as (url, session):
            yield store, lambda name="ada", role="admin": Person(url, session, name, role)


async def test_the_night_is_worked_by_forms_alone(tmp_path: Path) -> None:
    async with night(tmp_path) as (store, person):
        ada, bob = person(), person("bob")
        assert (await ada.press(PAGE, "ack", note="on it")).said == f"{ID} is acknowledged."
        assert (await ada.press(PAGE, "claim", step="revoke")).said == "step revoke is claimed; 0 of 9 done."
        assert "Take over from ada" in (await bob.get(PAGE)).text
        assert (await bob.press(PAGE, "claim", step="revoke", over="1")).said == "step revoke is claimed; 0 of 9 done."
        shown = await ada.get(f"{PAGE}/actions/revoke")
        assert "POST https://api.github.com/revoke" in shown.text
        assert SPILLED not in shown.text
        assert (await ada.press(f"{PAGE}/actions/revoke", "run")).said == (
            "revoke is approved by ada; it waits for 1 more."
        )
        assert "You have approved it" in (await ada.get(f"{PAGE}/actions/revoke")).text
        assert (await bob.press(f"{PAGE}/actions/revoke", "run")).said == "revoke runs now."
        (ready,) = await store.actions.ready()
        assert (ready.action, ready.approvals) == ("revoke", ("ada", "bob"))
        said = await ada.press(PAGE, "done", step="revoke", note="it answers 401")
        assert said.said == "step revoke is done; 1 of 9 done."
        assert (await ada.press(PAGE, "skip", step="notify", note="nobody is concerned")).said.startswith("step notify")
        assert (await ada.press(PAGE, "note", note=f"it was {SPILLED}")).said == f"{ID}: noted."
        assert (await ada.press(PAGE, "silence", **{"for": "1h"})).said.startswith(f"{ID} is silenced until ")
        assert (await ada.press(PAGE, "silence", **{"for": "0"})).said == f"{ID} is not silenced any more."
        assert (await ada.press(PAGE, "assign", to="bob")).said == f"{ID} is bob's."
        assert (await bob.press(PAGE, "resolve", **{"as": "revoked"})).said == f"{ID} is resolved as revoked."
        assert (await bob.press(PAGE, "reopen", step="", note="too soon")).said == f"{ID} is open again."
        said = await bob.press(PAGE, "suppress", **{"for": "7d", "as": "wont_fix", "note": "a sandbox"})
        assert said.said.startswith(f"{ID} is suppressed until ")
        history = await store.incidents.history(ID)
        assert {entry.actor for entry in history} == {"monitor", "ada", "bob"}
        assert SPILLED not in (await ada.get(PAGE)).text
        assert [entry.note for entry in history if entry.action == "noted"] == ["it was [masked]"]
        assert (await store.trail.verify()).problems == ()


async def test_from_the_link_to_a_revoked_key_it_is_few_presses(tmp_path: Path) -> None:
    async with night(tmp_path, offers=lambda incident: [("revoke", 1)]) as (store, person):
        ada = person()
        page = await ada.get(PAGE)
        assert '<button class="main" data-key="a">Acknowledge</button>' in page.text
        page = await ada.send(await ada.form(PAGE, "ack"))
        (action,) = re.findall(r'class="button main" href="([^"]+)"', page.text)
        assert (await ada.press(action, "run")).said == "revoke runs now."
        assert ada.pressed <= 7
        assert len(await store.actions.ready()) == 1


async def test_of_two_who_press_at_once_one_acts_and_the_other_hears_who_and_when(tmp_path: Path) -> None:
    async with night(tmp_path) as (store, person):
        forms = [(one, await one.form(PAGE, "ack")) for one in (person(), person("bob"))]
        answers = await asyncio.gather(*(one.send(form) for one, form in forms))
        said = {one.name: answer.said for (one, _), answer in zip(forms, answers, strict=True)}
        first = (await store.incidents.get(ID)).owner
        assert first is not None
        (second,) = said.keys() - {first}
        assert said[first] == f"{ID} is acknowledged."
        refused = f"Not done: incident {ID} is already acknowledged \\({first}, 20\\d\\d-.* UTC\\)\\."
        assert re.fullmatch(refused, said[second])
        assert [entry.action for entry in await store.incidents.history(ID)].count("acknowledged") == 1


async def test_a_form_that_is_sent_again_acts_once_also_after_a_restart(tmp_path: Path) -> None:
    async with night(tmp_path) as (store, person):
        form = await person().form(PAGE, "note", note="seen in staging")
        assert (await person().send(form)).said == (await person().send(form)).said == f"{ID}: noted."
        other = await person("bob").send(form | {"form": f"{'bob':f<32}"})
        assert other.said == "", "what came of it is for who asked"
    async with night(tmp_path) as (store, person):
        assert (await person().send(form)).said == f"{ID}: noted."
        assert [entry.note for entry in await store.incidents.history(ID)].count("seen in staging") == 1


async def test_what_is_refused_says_why_and_keeps_what_was_written(tmp_path: Path) -> None:
    async with night(tmp_path) as (_, person):
        form = await person().form(PAGE, "assign", note=f"she knows {SPILLED}")
        answer = await person().send(form | {"to": "somebody"})
        assert answer.said == (
            "Not done: hand it to one of the people that are known here. You wrote: she knows [masked]"
        )
        assert (await person().send(form | {"verb": "explode"})).status == 400
        assert (await person().send(form | {"form": "g" * 32})).status == 403


async def test_who_may_not_is_shown_no_form_and_heard_in_none(tmp_path: Path) -> None:
    async with night(tmp_path) as (store, person):
        viewer, responder = person("vic", "viewer"), person("rob", "responder")
        for path in (PAGE, f"{PAGE}/actions/revoke"):
            assert '<form method="post"' not in (await viewer.get(path)).text
        assert "monitor incidents ack" in (await viewer.get(PAGE)).text, "but what to type"
        form = await responder.form(PAGE, "ack")
        assert (await viewer.send(form | {"form": f"{'vic':f<32}"})).status == 403
        assert "It takes an admin" in (await responder.get(f"{PAGE}/actions/revoke")).text
        assert (await responder.send(form | {"verb": "run", "action": "revoke"})).status == 403
        assert (await store.incidents.get(ID)).state == "open"
        assert await store.actions.find() == []


async def test_what_was_written_is_not_lost_where_a_session_has_ended(tmp_path: Path) -> None:
    async with night(tmp_path) as (store, person):
        form = await person().form(PAGE, "note", note="all <b>that</b> I know")
        answer = await person().send(form | {"form": "g" * 32})
        assert answer.status == 403
        assert ">all &lt;b&gt;that&lt;/b&gt; I know</textarea>" in answer.text
        again = form_for(answer.text, "note", note="all that I know")
        assert (await person().send(again)).said == f"{ID}: noted."
        gone = await person("").send(form)
        assert (gone.status, "I know</textarea>" in gone.text, "Send it" in gone.text) == (403, True, False)
        foreign = await person().send(form | {"form": "g" * 32}, Origin="https://evil.example")
        assert (foreign.status, "I know" in foreign.text) == (403, False), "a page elsewhere fills in nothing here"
        assert [entry.note for entry in await store.incidents.history(ID)][-1] == "all that I know"


async def test_a_database_that_cannot_be_written_is_said_so_on_the_page(tmp_path: Path) -> None:
    async with night(tmp_path) as (store, person):
        store._set_degraded("the disk is full")
        page = await person().get(PAGE)
        assert page.status == 200
        assert "The database cannot be written: the disk is full." in page.said


async def test_two_are_looked_at_before_they_are_merged_and_either_stays(tmp_path: Path) -> None:
    async with night(tmp_path) as (store, person):
        await store.commit([finding(2), finding(3, path="/elsewhere", rule="jwt", name="JWT")])
        second, third = (finding(number).fingerprint[:16] for number in (2, 3))
        assert f'<a href="{PAGE}/merge?other={second}">merge</a>' in (await person().get(PAGE)).text, "in the same file"
        assert "more of its id" in (await person().get(f"{PAGE}/merge?other=nobody")).text
        alike, unlike = [await person().get(f"{PAGE}/merge?other={other}") for other in (second[:8], third)]
        assert "do not look like one" not in alike.text
        assert "do not look like one" in unlike.text
        assert (await person().press(f"{PAGE}/merge?other={second}", "merge")).said == f"{second} is merged into {ID}."
        answer = await person().press(f"{PAGE}/merge?other={third}", "merge", way="into", note="one token")
        assert (answer.said, answer.address.partition("?")[0]) == (
            f"{ID} is merged into {third}.",
            f"/incidents/{third}",
        )
        assert "merged into this one" in answer.text
        assert (await store.incidents.get(ID)).merged == third
        assert (await person().press(PAGE, "reopen")).said == f"{ID} is open again."


async def test_its_issuer_is_asked_from_the_page(tmp_path: Path) -> None:
    asked: list[tuple[str, str]] = []

    async def ask(incident: Incident, actor: str) -> str:
        asked.append((incident.id, actor))
        return "it works"

    async with night(tmp_path, ask=ask) as (_, person):
        answer = await person().press(PAGE, "ask")
        assert answer.said == "Its issuer was asked: no answer"
        assert asked == [(ID, "ada")]
    async with night(tmp_path) as (_, person):
        form = await person().form(PAGE, "ack")
        assert (await person().send(form | {"": f"{PAGE}/ask"})).status == 404
    async with night(tmp_path, ask=ask) as (_, person):
        form = await person().form(PAGE, "ask")
        answer = await person().send(form | {"form": "g" * 32})
        assert answer.status == 403
        assert f'href="{PAGE}">Load the page again</a>' in answer.text
        assert len(asked) == 1


async def test_what_was_written_is_not_lost_where_the_database_is_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(incident, "_PATIENCE", 0.3)
    async with night(tmp_path) as (store, person):
        form = await person().form(PAGE, "note", note="all <b>that</b> I know")
        with contextlib.closing(sqlite3.connect(tmp_path / "state.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            answer = await person().send(form)
            assert answer.status == 503
            assert "Not stored yet" in answer.text
            assert ">all &lt;b&gt;that&lt;/b&gt; I know</textarea>" in answer.text
            assert f'name="once" value="{form["once"]}"' in answer.text, "sent again it is known as the same"
            assert PAGE in answer.text
            assert (await person().get(PAGE)).status == 200, "what can be read is shown"
            other.execute("ROLLBACK")
        assert (await person().send(form)).said == f"{ID}: noted."
        assert [entry.action for entry in await store.incidents.history(ID)].count("noted") == 1


async def test_without_a_database_the_page_says_what_still_holds(tmp_path: Path) -> None:
    async with night(tmp_path) as (store, person):
        form = await person().form(PAGE, "note", note="all that I know")
        for name in (PAGE, f"{PAGE}/actions/revoke", f"{PAGE}/merge?other={ID}"):
            assert (await person().get(name)).status == 200
        await store.close()

        def gone(*_: object, **_more: object) -> None:
            raise StoreError("state.db: unable to open the database file")

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(store, "read", gone)
            for name in (PAGE, f"{PAGE}/actions/revoke", f"{PAGE}/merge?other={ID}"):
                answer = await person().get(name)
                assert answer.status == 503
                assert "nothing that was stored is lost" in answer.text
            answer = await person().send(form)
            assert (answer.status, "all that I know" in answer.text) == (503, True)


EVIL = "<img src=x onerror=alert(1)>\"'</textarea></script>{{ 7 * 7 }}\u202e"
BOOK = Runbook(
    *("evil", EVIL, EVIL, EVIL, "javascript:alert(1)", (EVIL,)),
    steps=(RunbookStep(id="look", title=EVIL, phase="immediate", within=60.0, actor=EVIL, text=EVIL),),
)


async def test_nothing_that_others_wrote_is_markup_on_any_page(tmp_path: Path) -> None:
    """Text of logs, names of rules, data of GitHub, names of people, notes, runbooks, actions, errors."""

    async def evil(incident: Incident, name: str) -> ActionPreview:
        return ActionPreview(EVIL, [EVIL])

    async def said(text: str) -> str:
        return text

    given = {"offers": lambda incident: [("evil", 2)], "preview": evil, "people": named(EVIL)}
    async with await Store.open(
        tmp_path / "state.db", Policy(), procedure=Procedure("high", book=lambda name: BOOK)
    ) as store:
        strange = {"name": EVIL, "masked": EVIL, "path": f"/{EVIL}", "service": EVIL, "source": EVIL, "context": EVIL}
        strange |= {"rule": EVIL, "url": f"https://github.com/{EVIL}", "runbook": EVIL, "labels": {EVIL: EVIL}}
        await store.commit([finding(number, **strange) for number in (1, 2)])
        await store.incidents.assign(ID, EVIL, actor=EVIL, note=EVIL)
        verified = Verified("valid", 1.0, EVIL, "github", {EVIL: EVIL})
        await store.verdicts.record(ID, verified, actor=EVIL, worth=lambda *_: None)
        await store.incidents.transition(ID, "ack", actor=EVIL, note=EVIL)
        await store.runs.act(ID, "look", "claim", actor=EVIL, note=EVIL)
        planned = await store.actions.plan(ID, "evil", actor=EVIL, needed=2)
        with pytest.MonkeyPatch.context() as before:  # names were made plain
            before.setattr("monitor.store.actions.named", lambda name: True)
            await store.actions.approve(planned.id, EVIL)
        old = await store.actions.start(ID, EVIL, actor=EVIL, automatic=False)
        await store.actions.finish(old.id, "failed", EVIL, actor=EVIL)
        async with at_pages(store, said, **given) as (url, session):
            ada = Person(url, session)
            other = finding(2).fingerprint[:16]
            refused = await ada.send(await ada.form(PAGE, "assign", note=EVIL, to=EVIL + "?"))
            suppressed = await ada.press(PAGE, "suppress", **{"for": "7d", "note": EVIL})
            assert suppressed.said.startswith(f"{ID} is suppressed")
            form = await ada.form(PAGE, "note", note=EVIL)
            with pytest.MonkeyPatch.context() as patched:
                patched.setattr(store, "write", lambda *_, **__: gone(EVIL))
                lost = await ada.send(form)
            pages = [refused, suppressed, lost]
            pages += [await ada.get(path) for path in (f"{PAGE}/actions/evil", f"{PAGE}/merge?other={other}")]
            pages += [await ada.get(path) for path in ("/runbooks/evil", f"{PAGE}/report", f"{PAGE}/report.svg")]
    assert [page.status for page in pages] == [200, 200, 503, 200, 200, 200, 200, 200]
    for page in pages:
        assert page.text.count("&lt;img src=x") >= 1
        assert "{{ 7 * 7 }}" in page.text
        for wrong in ("<img src=x", "</script>{{", "</textarea></s", 'href="javascript:', "\u202e"):
            assert wrong not in page.text, page.address
    seen = pages[1].text
    assert seen.count("&lt;img src=x") > 30, "every field is shown"


async def gone(why: str) -> None:
    raise StoreError(why)


async def test_a_page_that_is_open_knows_whether_it_is_over(tmp_path: Path) -> None:
    async with night(tmp_path) as (store, person):
        page = (await person().get(PAGE)).text
        (turn,) = re.findall(r'data-stream="/events" data-stale="30" data-turn="(\d+)"', page)
        assert (await person().get(f"{PAGE}/turn")).text == turn
        await store.incidents.note(ID, "seen", actor="bob")
        assert (await person().get(f"{PAGE}/turn")).text == str(int(turn) + 1)


async def test_a_false_positive_has_nothing_due_and_nothing_red(tmp_path: Path) -> None:
    async with night(tmp_path) as (store, person):
        assert re.search(r'badge critical">.* due ', (await person().get(PAGE)).text, re.DOTALL)
        await store.incidents.transition(ID, "resolve", actor="ada", resolution="false_positive", note="a hash")
        for path in (PAGE, f"{PAGE}/report"):
            page = (await person().get(path)).text
            assert "nothing was exposed: a false positive, said by ada: a hash" in page
            assert not re.search(r'badge critical|class="until|\bdue [<2]|are left|said to be revoked', page)


async def test_the_report_is_a_page_to_be_printed_with_its_picture_and_as_markdown(tmp_path: Path) -> None:
    async with night(tmp_path) as (store, person):
        await store.incidents.transition(ID, "ack", actor="ada", note="<b>mine</b>")
        await store.runs.act(ID, "revoke", "done", actor="ada", note="it answers 401")
        answer = await person().get(f"{PAGE}/report")
        assert answer.status == 200
        for words in ("Regulator&#39;s clock", "&lt;b&gt;mine&lt;/b&gt;", "it answers 401", "What went well"):
            assert words in answer.text
        (picture,) = re.findall(r'<img class="paper" src="([^"]+)" alt="([^"]+)"', answer.text)
        assert re.search("acknowledged 20.* UTC, said to be revoked 20", picture[1])
        drawn = await person().get(picture[0])
        assert (drawn.status, drawn.text.startswith("<svg ")) == (200, True)
        written = await person().get(f"{PAGE}/report.md")
        assert written.text.startswith(f"# Incident {ID}: GitHub personal access token")
        assert (await person().get("/incidents/nobody/report")).status == 404
