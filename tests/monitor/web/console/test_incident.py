from __future__ import annotations

import html
import re
from collections import Counter

from monitor import runbook
from monitor.runbook.progress import Procedure
from tests.fakes.console import Pages, finding


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
    assert len({re.sub(r"As of .*", "", page) for page in by_both}) == 1


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
