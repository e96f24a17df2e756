from __future__ import annotations

import asyncio
import inspect
import json
import logging
import re
import warnings
from collections.abc import Callable
from dataclasses import replace
from importlib import util
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from pydantic import ValidationError

from monitor.common.http import Http, RemoteError
from monitor.routing.routes import Policy
from monitor.store import Store
from sinks import apprise as module
from sinks.apprise import TRIES, Apprise, AppriseConfig
from tests.fakes.delivery import QUICK, delivering_with, finding, until
from tests.fakes.notifications import event, incident, notification
from tests.fakes.peer import served
from tests.fakes.server import FakeServer, Fault

Put = Callable[[str, str], str]
IMPATIENT = "cto=2&rto=2"  # seconds that the library waits for a connection, and for an answer


def library() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it imports modules that are about to go from Python
        import apprise

        apprise.Apprise.instantiate("json://127.0.0.1")
    return apprise


class FakeJson(FakeServer):
    """What Apprise's json:// leads to. `messages` in the order they came."""

    def __init__(self) -> None:
        super().__init__()
        library()
        self.messages: list[dict[str, Any]] = []

    def address(self, word: str = "in") -> str:
        return f"json://user:{word}@127.0.0.1:{self.port}/{word}?{IMPATIENT}"

    async def answer(self, request: web.Request, body: bytes) -> web.StreamResponse:
        message = json.loads(body)
        if not {"title", "message", "type"} <= message.keys() or not message["message"]:
            self.problems.append(f"no message of Apprise: {message}"[:300])
        self.messages.append(message)
        return web.Response()


PEERS = {
    "apprise": served(
        lambda _: FakeJson(),
        lambda fake, credential: ({"urls": ["env:APPRISE_URL"]}, {"APPRISE_URL": fake.address(credential)}),
    )
}


def sink(http: Http, *urls: str) -> Apprise:
    return Apprise(AppriseConfig(name="push", type="apprise", urls=urls), http)  # type: ignore[arg-type]


async def test_a_message_says_what_happened(http: Http, credential: Put) -> None:
    async with FakeJson() as server:
        push = sink(http, credential("url", server.address()))
        await push.send(notification(incident(masked="@all [x](http://evil.example)")))
        await push.send(notification(incident(state="resolved", severity="low"), reason="resolved"))
        await push.send(event(severity="medium"))
    first, second, third = server.messages
    assert first["title"] == "GitHub personal access token exposed"
    assert "Where: /var/log/app/api.log:1042" in first["message"]
    assert "@all" not in first["message"]
    assert "](" not in first["message"]
    assert first["message"].endswith("\nhttps://monitor.example.org/incidents/7f3a9c2e")
    assert [one["type"] for one in (first, second, third)] == ["failure", "success", "warning"]


async def test_who_has_it_does_not_get_it_again(http: Http, credential: Put) -> None:
    async with FakeJson() as good, FakeJson() as bad:
        push = sink(http, credential("good", good.address()), credential("bad", bad.address()))
        bad.faults.extend([Fault(500), Fault(400)])
        message = notification()
        for _ in range(2):
            with pytest.raises(RemoteError, match="1 of 2 addresses did not take it") as caught:
                await push.send(message)
            assert [caught.value.again(tries) for tries in (1, TRIES - 1, TRIES)] == [True, True, False]
            message = notification(partly=caught.value.partly)
        await push.send(message)
        await push.send(notification(partly={"has": " ".join(module._name(url) for url in push._config.urls)}))
    assert (len(good.messages), len(bad.messages), len(bad.requests)) == (1, 1, 3)


async def test_a_redirect_is_not_followed(http: Http, credential: Put) -> None:
    async with FakeJson() as server, FakeJson() as elsewhere:
        server.faults.append(Fault(307, headers={"Location": f"{elsewhere.url}/x"}))
        with pytest.raises(RemoteError, match="1 of 1"):
            await sink(http, credential("url", server.address())).send(notification())
    assert not elsewhere.requests


async def test_a_try_that_comes_too_soon_waits_for_the_one_before(
    http: Http, credential: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, entered = asyncio.Event(), asyncio.Event()

    class Slow(FakeJson):
        async def answer(self, request: web.Request, body: bytes) -> web.StreamResponse:
            entered.set()
            await gate.wait()
            return await super().answer(request, body)

    async with Slow() as server:
        push = sink(http, credential("url", server.address().replace("rto=2", "rto=60")))
        first = asyncio.create_task(push.send(notification()))
        await until(entered.is_set, 60)
        with monkeypatch.context() as patch:
            patch.setattr(module, "PATIENCE", 0.01)
            with pytest.raises(RemoteError, match=r"no answer within 0\.01 s") as caught:
                await push.send(notification())
            assert caught.value.retry
        gate.set()
        await first
    assert len(server.messages) == 1


async def test_what_is_never_taken_ends_as_a_dead_letter_and_nothing_shows_the_address(
    tmp_path: Path,
    http: Http,
    credential: Put,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(module, "TRIES", 3)
    word = "nobody-may-see-this-word"

    class Picky(FakeJson):
        async def answer(self, request: web.Request, body: bytes) -> web.StreamResponse:
            return web.Response(status=400, text=word) if b"/refused/" in body else await super().answer(request, body)

    async with Picky() as server, await Store.open(tmp_path / "state.db") as store:
        store.policy = Policy(sinks=("push",))
        sinks: Any = {"push": sink(http, credential("url", server.address(word)))}
        async with delivering_with(store, sinks, patience=replace(QUICK, send=30.0)) as delivery:
            await store.commit([replace(finding("a"), path="/refused/a.log")])
            await until(lambda: delivery.stats()["push"].failed > 3)
            assert not await store.outbox.list(states=["dead"])  # it may be the sink
            await store.commit([finding("b")])
            await until(lambda: delivery.stats()["push"].dead == 1)
        assert len(server.messages) == 1
    said = capfd.readouterr()
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert word not in caplog.text + said.out + said.err
    assert word.encode() not in stored


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("nonsense-address", "no address that Apprise knows"),
        ("json://127.0.0.1:9/a json://127.0.0.1:9/b", "no address that Apprise knows, or more than one"),
        ("json://hidden@push.example.org/", "unencrypted"),
    ],
)
async def test_an_address_that_is_of_no_use_is_named_by_its_reference(
    http: Http, credential: Put, address: str, said: str
) -> None:
    with pytest.raises(RemoteError) as caught:
        await sink(http, credential("url", address)).send(notification())
    assert not caught.value.retry
    assert str(caught.value).startswith("urls: env:TEST_URL: ")
    assert said in str(caught.value)
    assert address not in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_what_would_be_too_long_is_cut_unless_the_address_says_otherwise() -> None:
    apprise = library()
    with pytest.MonkeyPatch.context() as patch:
        seen: list[Any] = []
        patch.setattr(apprise.Apprise, "notify", lambda self, **_: seen.append(self[0].overflow_mode))
        for query in ("", "?overflow=split"):
            notify = module._service(f"json://127.0.0.1:9/{query}", insecure=False)
            assert callable(notify)
            assert notify("a", "b", "info") is False
    assert seen == [apprise.OverflowMode.TRUNCATE, apprise.OverflowMode.SPLIT]


def test_addresses_are_references_only() -> None:
    for urls in ("json://hidden@127.0.0.1/", ["env:A", "json://hidden@127.0.0.1/"]):
        with pytest.raises(ValidationError, match="must be a reference") as caught:
            AppriseConfig(name="p", type="apprise", urls=urls)  # type: ignore[arg-type]
        assert "hidden" not in str(caught.value)
    with pytest.raises(ValidationError, match="one stands there twice"):
        AppriseConfig(name="p", type="apprise", urls=["env:A", "env:A"])  # type: ignore[arg-type]
    assert AppriseConfig(name="p", type="apprise", urls="env:A").urls[0].reference == "env:A"  # type: ignore[arg-type]


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "apprise" else util.find_spec(name))
    with pytest.raises(ValidationError, match=r'pip install "exposure-monitor\[apprise\]"'):
        AppriseConfig(name="p", type="apprise", urls=["env:A"])  # type: ignore[arg-type]


def test_it_is_imported_when_it_sends() -> None:
    assert not re.search(r"(?m)^(import|from) apprise", inspect.getsource(module))
