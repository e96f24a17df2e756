from __future__ import annotations

import csv
import html
import io
import re
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import orjson
import pytest

from detectors.fingerprint import fingerprint
from monitor import runbook
from monitor.common.httpd import serve
from monitor.domain.model import Finding, Position
from monitor.routing.routes import Policy
from monitor.runbook.progress import Procedure
from monitor.store import Store
from monitor.web import app as web
from monitor.web import console
from monitor.web.health import Probes

KEY = b"k" * 32


def finding(number: int, **changes: object) -> Finding:
    facts: dict[str, object] = {
        "id": f"{number:032x}",
        "rule": "github-pat",
        "name": "GitHub personal access token",
        "severity": "critical",
        "confidence": "high",
        "fingerprint": fingerprint(KEY, b"value %d" % number),
        "masked": "ghp_a1…",
        "source": "app",
        "path": "/var/log/app.log",
        "generation": "g",
        "offset": number,
        "time": 1_700_000_000.0,
        "line": number + 1,
        "runbook": "github-token",
    }
    return Finding(**(facts | changes))  # type: ignore[arg-type]


class Pages:
    def __init__(self, store: Store, url: str, session: aiohttp.ClientSession) -> None:
        self.store, self.url, self._session = store, url, session

    async def get(self, path: str, status: int = 200, *, plain: bool = False) -> str:
        async with self._session.get(f"{self.url}{path}") as answer:
            assert answer.status == status, path
            text = await answer.text()
            if status == 200 and not plain:
                policy = answer.headers["Content-Security-Policy"]
                for rule in ("default-src 'none'", "style-src 'self'", "form-action 'self'", "frame-ancestors 'none'"):
                    assert rule in policy
                assert "script" not in policy
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                assert "<script" not in text.lower()
            return text


@pytest.fixture
async def pages(tmp_path: Path) -> AsyncIterator[Pages]:
    async with await Store.open(tmp_path / "state.db", Policy()) as store, aiohttp.ClientSession() as session:
        store.procedure = Procedure(None, book=runbook.load)
        probes = Probes(live=dict, ready=dict)
        async with serve(web.build(probes, routes=console.routes(store)), "127.0.0.1", 0) as url:
            yield Pages(store, url, session)


async def test_the_list_links_to_each_incident(pages: Pages) -> None:
    assert "Nothing is unresolved." in await pages.get("/")
    await pages.store.commit([finding(n) for n in range(3)], [Position("app", "a", {})])
    text = await pages.get("/incidents")
    assert '<th scope="col">last seen</th>' in text
    links = re.findall(r'href="(/incidents/\w+)"', text)
    assert len(links) == 3
    for link in links:
        assert "GitHub personal access token" in await pages.get(link)


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


async def test_what_a_log_may_choose_is_escaped(pages: Pages) -> None:
    evil = "<script>alert(1)</script>\"'&"
    await pages.store.commit([finding(1, path=f"/var/log/{evil}.log", labels={"role": evil}, masked=evil)])
    (incident,) = await pages.store.incidents.find()
    for page in ("/incidents", f"/incidents/{incident.id}"):
        text = await pages.get(page)
        assert evil not in text
        assert evil in html.unescape(text)


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


async def test_it_is_read_only(pages: Pages) -> None:
    async with aiohttp.ClientSession() as session:
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            async with session.request(method, f"{pages.url}/incidents") as answer:
                assert answer.status == 405


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


async def test_pages_go_through_all_that_match_and_say_how_many_those_are(pages: Pages) -> None:
    await pages.store.commit([finding(n, severity="critical" if n % 2 else "low", time=1.7e9 + n) for n in range(230)])
    seen: list[str] = []
    address: str | None = "/incidents?severity=critical"
    while address:
        text = await pages.get(address)
        assert "115 incidents" in text
        seen += re.findall(r'href="/incidents/(\w+)"', text)
        following = re.search(r'rel="next" href="([^"]+)"', text)
        address = html.unescape(following[1]) if following else None
    assert len(seen) == 115
    wanted = await pages.store.incidents.find(limit=500, severities=["critical"], order="urgent")
    assert seen == [one.id for one in wanted]


async def test_what_cannot_be_asked_is_said_as_text(pages: Pages) -> None:
    await pages.store.commit([finding(1)])
    for asked in ("severity=%3Cscript%3E", "nothing=1", "since=soon"):
        for path in ("/incidents", "/incidents.csv", "/incidents.jsonl"):
            assert "<" not in await pages.get(f"{path}?{asked}", 400)
    for after in ("nowhere", "1_2_3_4", "%00_1_2"):
        assert await pages.get(f"/incidents?after={after}", 400) == "after: it names no place in this list\n"
    for odd in ("after=0_nan_%00", "after=inf_0_x", "q=%00%FF", "owner=%E2%80%AE"):
        assert "left" in (text := await pages.get(f"/incidents?{odd}")) or "match" in text


async def test_exports_hold_all_that_match(pages: Pages) -> None:
    risky = "=HYPERLINK(1)"
    await pages.store.commit([finding(n, name=risky if n == 7 else "a token") for n in range(1_030)])
    rows = [*csv.DictReader(io.StringIO(await pages.get("/incidents.csv", plain=True)))]
    lines = [orjson.loads(line) for line in (await pages.get("/incidents.jsonl", plain=True)).splitlines()]
    assert len({row["id"] for row in rows}) == len({line["id"] for line in lines}) == 1_030
    assert rows[0]["where"].startswith("/var/log/app.log:")
    assert {row["name"] for row in rows} == {"a token", f"'{risky}"}
    assert {line["masked"] for line in lines} == {"ghp_a1…"}
    assert len((await pages.get("/incidents.csv?q=HYPER", plain=True)).splitlines()) == 2


async def test_the_style_is_ours_and_asks_for_nothing_elsewhere(pages: Pages) -> None:
    style = await pages.get("/console.css", plain=True)
    assert "prefers" in style or "light dark" in style
    assert "url(" not in style
    assert "@import" not in style
