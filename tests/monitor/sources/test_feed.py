from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from pydantic import ValidationError

from monitor.common.credential import Credential
from monitor.sources import entries
from monitor.sources.feed import FeedConfig, FeedSource
from tests.fakes.alerts import MemoryIntake
from tests.fakes.intake import until

GOOGLE = "https://www.google.com/url?rct=j&sa=t&url={}&ct=ga&usg=x"


def atom(*entries: tuple[str, str, str], age: float = 60.0) -> bytes:
    stamp = datetime.fromtimestamp(time.time() - age, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    body = "".join(
        f"<entry><id>tag:google.com,2013:googlealerts/feed:{number}</id><title type='html'>{title}</title>"
        f"<link href='{address.replace('&', '&amp;')}'/><published>{stamp}</published><updated>{stamp}</updated>"
        f"<content type='html'>about &lt;b&gt;acme&lt;/b&gt;</content></entry>"
        for number, title, address in entries
    )
    text = f"<feed xmlns='http://www.w3.org/2005/Atom'><id>tag:google.com,2005:reader</id><title>Alert</title>{body}</feed>"
    return text.encode()


class Site:
    """A real server for one feed; `answer` decides."""

    def __init__(self) -> None:
        self.answer: Callable[[web.Request], Any] = lambda request: web.Response(body=b"")
        self.requests: list[web.Request] = []
        self.url = ""

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        answer = self.answer(request)
        return await answer if asyncio.iscoroutine(answer) else answer


@pytest.fixture
async def site(aiohttp_server: Any) -> Site:
    site = Site()
    app = web.Application()
    app.router.add_get("/{path:.*}", site.serve)
    server = await aiohttp_server(app)
    site.url = str(server.make_url("/alerts/feeds/1/a-secret-path"))
    return site


@pytest.fixture
def intake() -> MemoryIntake:
    return MemoryIntake()


@pytest.fixture
def source(site: Site, intake: MemoryIntake, monkeypatch: pytest.MonkeyPatch) -> FeedSource:
    monkeypatch.setenv("FEED_URL", site.url)
    return FeedSource(FeedConfig(name="alerts", type="feed", url=Credential("env:FEED_URL")), intake, b"k" * 32)


async def test_an_entry_is_recorded_once_with_its_real_link(
    site: Site, intake: MemoryIntake, source: FeedSource
) -> None:
    entry = ("1", "&lt;b&gt;Acme&lt;/b&gt; keys on a paste site", GOOGLE.format("https://paste.test/abc"))
    site.answer = lambda request: web.Response(body=atom(entry))
    await source.run(once=True)
    await source.run(once=True)
    [finding] = intake.findings.values()
    assert (finding.masked, finding.url) == ("Acme keys on a paste site", "https://paste.test/abc")
    assert (finding.severity, finding.rule) == ("low", "feed-entry")
    assert intake.problems == {}
    site.answer = lambda request: web.Response(body=atom(entry, ("2", "More", "https://elsewhere.test/")))
    await source.run(once=True)
    assert len(intake.findings) == 2


async def test_its_text_is_read_with_the_rules_and_a_secret_in_it_is_not_shown(
    site: Site, intake: MemoryIntake, source: FeedSource
) -> None:
    site.answer = lambda request: web.Response(body=atom(("1", "canary-value leaked", "https://x.test/canary-value")))
    intake.identifies = lambda text: [None] if b"canary-value" in text else []  # type: ignore[list-item]
    await source.run(once=True)
    assert b"about acme" in intake.blocks[0][1]
    # The finding of the secret itself leads to the entry; the scanner leaves out an address that holds a secret.
    assert list(intake.links.values()) == ["https://x.test/canary-value"]
    assert "canary-value" not in repr((intake.findings, intake.saved))


async def test_one_that_the_engine_fails_on_is_told_and_holds_up_no_other(
    site: Site, intake: MemoryIntake, source: FeedSource
) -> None:
    entries = (("1", "hostile text", "https://x.test/1"), ("2", "Acme keys", "https://x.test/2"))
    site.answer = lambda request: web.Response(body=atom(*entries))
    intake.broken = b"hostile"
    await source.run(once=True)
    assert sorted(one.masked for one in intake.findings.values()) == [
        "(withheld: the entry could not be searched for secrets)",
        "Acme keys",
    ]
    assert [(reason, count > 0) for reason, count, _ in intake.lost] == [("unscannable", True)]
    assert intake.problems == {}
    assert len(intake.saved["entries"]["seen"]) == 2


async def test_old_entries_are_passed_over(site: Site, intake: MemoryIntake, source: FeedSource) -> None:
    site.answer = lambda request: web.Response(body=atom(("1", "Old", "https://x.test/"), age=30 * 86_400))
    await source.run(once=True)
    assert intake.findings == {}
    assert len(intake.saved["entries"]["seen"]) == 1


async def test_an_unchanged_feed_is_not_sent_again(site: Site, intake: MemoryIntake, source: FeedSource) -> None:
    def answer(request: web.Request) -> web.Response:
        if request.headers.get("If-None-Match") == '"v1"':
            return web.Response(status=304)
        return web.Response(body=atom(("1", "New", "https://x.test/")), headers={"ETag": '"v1"'})

    site.answer = answer
    await source.run(once=True)
    commits = intake.commits
    await source.run(once=True)
    assert (len(site.requests), intake.commits) == (2, commits)


async def _endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    try:
        while True:
            await response.write(b" " * 100_000)
    except ConnectionError:
        return response


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (lambda request: web.Response(status=404), "answered 404"),
        (lambda request: web.Response(status=302, headers={"Location": "/again"}), "more than 3 redirects"),
        (lambda request: web.Response(status=302, headers={"Location": "file:///etc/passwd"}), "only http and https"),
        (lambda request: web.Response(status=302, headers={"Location": "http://localhost:1/"}), "internal address"),
        (lambda request: web.Response(status=302, headers={"Location": "http://[::1]:1/"}), "internal address"),
        (lambda request: web.Response(status=302), "more than 3 redirects"),
        (_endless, "larger than 5 MiB"),
        (lambda request: web.Response(body=b"/etc/passwd"), "neither RSS nor Atom"),
        (lambda request: web.Response(body=b"<html><body>log in</body></html>"), "neither RSS nor Atom"),
        (lambda request: web.Response(body=b"\x00\xff\xfe"), "neither RSS nor Atom"),
    ],
)
async def test_trouble_is_told_without_the_address(
    site: Site, intake: MemoryIntake, source: FeedSource, answer: Any, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    site.answer = answer
    await source.run(once=True)
    assert problem in intake.problems["feed"]
    assert "a-secret-path" not in intake.problems["feed"] + "".join(capsys.readouterr())
    site.answer = lambda request: web.Response(body=atom())
    await source.run(once=True)
    assert intake.problems == {}


@pytest.mark.parametrize("host", ["0x7f.1", "2130706433", "017700000001", "127.1"])
async def test_a_redirect_reaches_no_internal_address_however_it_is_written(
    site: Site, intake: MemoryIntake, source: FeedSource, host: str
) -> None:
    def answer(request: web.Request) -> web.Response:
        if request.host.partition(":")[0] == "127.0.0.1":
            return web.Response(status=302, headers={"Location": f"http://{host}:{request.url.port}/inside"})
        return web.Response(body=atom())  # got there

    site.answer = answer
    await source.run(once=True)
    assert intake.problems["feed"]
    assert len(site.requests) == 1


async def test_a_server_that_hangs_is_given_up(
    site: Site, intake: MemoryIntake, source: FeedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.sources.feed.TIMEOUT", 0.2)

    given_up = asyncio.Event()

    async def hang(request: web.Request) -> web.Response:
        await given_up.wait()
        return web.Response()

    site.answer = hang
    await source.run(once=True)
    given_up.set()
    assert "no answer in time" in intake.problems["feed"]


async def test_a_feed_made_to_keep_its_reader_busy_is_given_up(
    site: Site, intake: MemoryIntake, source: FeedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """204 KiB, of which feedparser has for minutes; nothing else waits for it."""
    monkeypatch.setattr(entries, "SECONDS", 1)
    bomb = b"\n" * (204 << 10) + atom(("1", "New", "https://x.test/"))
    site.answer = lambda request: web.Response(body=bomb)
    longest, last = 0.0, time.thread_time()

    async def watch() -> None:
        nonlocal longest, last
        while True:
            await asyncio.sleep(0.01)
            now = time.thread_time()
            longest, last = max(longest, now - last), now

    watching = asyncio.create_task(watch())
    await source.poll()
    watching.cancel()
    assert "cannot be read within 1 s" in intake.problems["feed"]
    assert longest < 0.5, "the processor time of this thread between two looks"
    site.answer = lambda request: web.Response(body=atom(("1", "New", "https://x.test/")))
    await source.poll()
    assert len(intake.findings) == 1
    assert not intake.problems


async def test_the_first_poll_is_at_once(site: Site, intake: MemoryIntake, source: FeedSource) -> None:
    site.answer = lambda request: web.Response(body=atom(("1", "New", "https://x.test/")))
    task = asyncio.create_task(source.run(once=False))
    await until(lambda: intake.findings)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(intake.findings) == 1


def test_a_literal_address_is_refused_without_being_shown() -> None:
    with pytest.raises(ValidationError) as caught:
        FeedConfig.model_validate({"name": "a", "type": "feed", "url": "https://www.google.com/alerts/feeds/1/2"})
    assert "must be a reference" in str(caught.value)
    assert "feeds/1/2" not in str(caught.value)
