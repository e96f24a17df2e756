from __future__ import annotations

import csv
import html
import io
import re

import aiohttp
import orjson

from monitor.domain.model import Position
from tests.fakes.console import Pages, finding


async def test_the_list_links_to_each_incident(pages: Pages) -> None:
    assert "Nothing is unresolved." in await pages.get("/")
    await pages.store.commit([finding(n) for n in range(3)], [Position("app", "a", {})])
    text = await pages.get("/incidents")
    assert '<th scope="col">last seen</th>' in text
    links = re.findall(r'href="(/incidents/\w+)"', text)
    assert len(links) == 3
    for link in links:
        assert "GitHub personal access token" in await pages.get(link)


async def test_what_a_log_may_choose_is_escaped(pages: Pages) -> None:
    evil = "<script>alert(1)</script>\"'&"
    await pages.store.commit([finding(1, path=f"/var/log/{evil}.log", labels={"role": evil}, masked=evil)])
    (incident,) = await pages.store.incidents.find()
    for page in ("/incidents", f"/incidents/{incident.id}"):
        text = await pages.get(page)
        assert evil not in text
        assert evil in html.unescape(text)


async def test_it_is_read_only(pages: Pages) -> None:
    async with aiohttp.ClientSession() as session:
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            async with session.request(method, f"{pages.url}/incidents") as answer:
                assert answer.status == 405


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
        assert await pages.get(f"/incidents?after={after}", 400) == "after: it names no place in this list"
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


async def test_how_many_are_new_is_counted_by_what_the_list_asks_for(pages: Pages) -> None:
    await pages.store.commit([finding(1)])
    assert "data-fits" not in await pages.get("/incidents?state=all&sort=recent"), "all that are new are of it"
    asked = "severity=critical&q=/srv/a%26b&source=app&works="
    shown = html.unescape(await pages.get(f"/incidents?{asked}"))
    (address,) = re.findall(r'data-fits="([^"]+)"', shown)
    assert await pages.get(address, plain=True) == "0"
    await pages.store.commit(
        [
            *(finding(n, path="/srv/a&b/x.log") for n in range(2, 5)),
            finding(5, severity="low", path="/srv/a&b/x.log"),
            finding(6),
            finding(7, path="/srv/a&b/x.log", source="other"),
        ]
    )
    assert await pages.get(address, plain=True) == "3"
    await pages.store.commit([finding(n, path="/elsewhere") for n in range(100, 1200)])
    assert await pages.get(address, plain=True) == "", "so many are not looked at for one page"
    for wrong in ("/incidents/new", "/incidents/new?seen=x", "/incidents/new?seen=1&nothing=1"):
        await pages.get(wrong, 400)
