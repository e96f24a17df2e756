from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from detectors.fingerprint import fingerprint as hashed
from monitor.common.credential import CredentialError
from monitor.common.http import RemoteError
from monitor.common.inbound import Announced, HookDelivery, InboundRequest
from monitor.common.tasks import cancel
from monitor.daemon import requests
from monitor.daemon.requests import RequestRecorder, RequestWorker
from monitor.routing.routes import Policy
from monitor.snapshot import Snapshot
from monitor.store import Store
from tests.fakes.intake import until
from tests.monitor.store.helpers import finding, fingerprint

ID = fingerprint("a")[:16]
KEY = b"k" * 32


class Chat:
    """A sink that people are told through."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, bool]] = []
        self.errors: list[Exception] = []

    async def answer(self, request: InboundRequest, text: str, *, done: bool) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.told.append((request.answer["user"], text, done))


@pytest.fixture
async def store(tmp_path: Any) -> AsyncIterator[Store]:
    async with await Store.open(tmp_path / "state.db", Policy(sinks=("chat",))) as store:
        await store.commit([finding("a")])
        yield store


class Broken(Chat):
    """One whose answers about `broken` always end in `error`; None: never come."""

    def __init__(self, broken: str, error: Exception | None) -> None:
        super().__init__()
        self.broken, self.error = broken, error
        self.tried = 0

    async def answer(self, request: InboundRequest, text: str, *, done: bool) -> None:
        if self.broken in request.answer["user"]:
            self.tried += 1
            if self.error is None:
                await asyncio.Event().wait()
            else:
                raise self.error
        await super().answer(request, text, done=done)


@dataclass
class Seen:
    """What the daemon is told by the part that deals with requests."""

    keeper: RequestRecorder
    snapshot: Snapshot
    troubles: list[tuple[str, str]] = field(default_factory=list)  # title and text
    over: list[str] = field(default_factory=list)  # keys


@asynccontextmanager
async def at_work(store: Store, chat: Any, **more: Any) -> AsyncIterator[RequestRecorder]:
    async with looked_at(store, chat, **more) as seen:
        yield seen.keeper


@asynccontextmanager
async def looked_at(store: Store, chat: Any, **more: Any) -> AsyncIterator[Seen]:
    """The part of a daemon that deals with requests. `more`: other sinks."""
    scanner = SimpleNamespace(key=KEY, redact=lambda text: text.replace("hunter2hunter2", "hunt…"))
    site: Any = SimpleNamespace(store=store, scanner=scanner, snapshot=Snapshot())
    running: Any = SimpleNamespace(site=site, sinks={"chat": chat, **more}, config=SimpleNamespace(actions=()))
    keeper = RequestRecorder(site, lambda: running.sinks)
    seen = Seen(keeper, site.snapshot)
    site.tell = lambda title, text, key: seen.troubles.append((title, text))
    running.delivery = SimpleNamespace(over=lambda key, text: seen.over.append(key))
    requests = RequestWorker(running, keeper.kept)
    tasks = [asyncio.create_task(requests.answer()), asyncio.create_task(requests.run())]
    try:
        yield seen
    finally:
        await asyncio.gather(*map(cancel, tasks))


async def waiting(store: Store) -> int:
    """How many were not told."""
    query = "SELECT count(*) FROM requests WHERE told_at IS NULL"
    return await store.read(lambda connection: int(connection.exec_driver_sql(query).scalar() or 0))


def ask(id_: str, verb: Any = "ack", actor: str = "ada", **more: Any) -> Announced:
    return Announced(requests=[InboundRequest(id_, "chat", verb, actor, ID, answer={"user": "U1"}, **more)])


async def test_what_is_asked_for_is_done_and_told(store: Store) -> None:
    chat = Chat()
    async with at_work(store, chat) as keeper:
        assert await keeper.keep(ask("1"))
        await until(lambda: chat.told)
        assert await keeper.keep(ask("2"))
        assert not await keeper.keep(ask("1"))
        await until(lambda: len(chat.told) == 2)
        while await waiting(store):
            await asyncio.sleep(0.01)
    first, (user, text, done) = chat.told
    assert first == ("U1", f"{ID} is acknowledged", True)
    assert (user, done) == ("U1", False)
    assert text.startswith(f"incident {ID} is already acknowledged (ada, 20"), "by whom and when"


async def test_a_note_is_masked_before_it_is_kept(store: Store) -> None:
    async with at_work(store, Chat()) as keeper:
        await keeper.keep(ask("1", "note", note="it was hunter2hunter2"))
        await until(lambda: keeper.kept.is_set() is False)
        while (history := await store.incidents.history(ID))[-1].action != "noted":
            await asyncio.sleep(0.01)
    assert history[-1].note == "it was hunt…"


async def test_the_secret_of_an_incident_is_masked_where_no_rule_knows_it(store: Store) -> None:
    value = "nothing-says-what-it-is"
    await store.commit([finding("b", 1, fingerprint=hashed(KEY, value.encode()), masked="noth…[23]")])
    async with at_work(store, Chat()) as keeper:
        await keeper.keep(ask("1", "note", note=f"it was {value}, in Slack", actor=f"{value} (chat)"))
        while (history := await store.incidents.history(ID))[-1].action != "noted":
            await asyncio.sleep(0.01)
    assert history[-1].note == "it was noth…[23], in Slack"
    assert history[-1].actor == "noth…[23] (chat)", "who pasted it as their name, too"


async def test_a_note_is_cut_after_it_is_masked(store: Store) -> None:
    async with at_work(store, Chat()) as keeper:
        await keeper.keep(ask("1", "note", note=f"{'so it goes ' * 181}hunter2hunter2 and on"))
        while (history := await store.incidents.history(ID))[-1].action != "noted":
            await asyncio.sleep(0.01)
    assert history[-1].note.endswith(" hunt… an…")
    assert len(history[-1].note) <= 2000


class Asking(Chat):
    """A sink that asks for words first, while it can."""

    def __init__(self) -> None:
        super().__init__()
        self.can = True
        self.asked: list[str] = []

    async def ask(self, request: InboundRequest) -> bool:
        self.asked.append(request.window)
        return self.can


async def test_who_can_be_asked_for_words_is_and_nothing_is_kept_until_they_come(store: Store) -> None:
    chat = Asking()
    async with at_work(store, chat) as keeper:
        assert await keeper.keep(ask("1", window="w"))
        assert await store.requests.apply(lambda _incident, _name: None) == []
        assert await keeper.keep(ask("words", note="it was hunter2hunter2"))
        await until(lambda: chat.told)
    assert chat.asked == ["w"]
    assert [(one.action, one.note) for one in await store.incidents.history(ID)][1:] == [
        ("acknowledged", "it was hunt…")
    ]


async def test_what_nobody_can_be_asked_about_is_done_without(store: Store) -> None:
    chat = Asking()
    async with at_work(store, chat) as keeper:
        assert await keeper.keep(ask("1", window="w", refusal="ada may not do this"))
        await until(lambda: chat.told)
        assert chat.asked == []
        chat.can = False
        assert await keeper.keep(ask("2", window="w"))
        await until(lambda: len(chat.told) == 2)
    assert chat.asked == ["w"]
    assert chat.told == [("U1", "ada may not do this", False), ("U1", f"{ID} is acknowledged", True)]


async def test_a_hook_of_a_source_goes_to_its_source(store: Store) -> None:
    async with at_work(store, Chat()) as keeper:
        said = Announced(HookDelivery("d", "github", "secret_scanning_alert", "acme/web", 7))
        assert await keeper.keep(said)
        assert not await keeper.keep(said)
    assert [one.id for one in await store.hooks.due("github")] == ["d"]


async def test_telling_is_tried_again_and_given_up(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "_FIRST", 0.02)
    chat = Chat()
    chat.errors = [RemoteError("HTTP 503", retry=True), RemoteError("HTTP 429", retry=True, after=0.01)]
    async with at_work(store, chat) as keeper:
        await keeper.keep(ask("1"))
        await until(lambda: chat.told)
        chat.errors = [RemoteError("user_not_in_channel", retry=False)]
        await keeper.keep(ask("2"))
        await until(lambda: not chat.errors)
        while await waiting(store):
            await asyncio.sleep(0.01)
    assert len(chat.told) == 1


@pytest.mark.parametrize("error", [CredentialError("no such file"), RemoteError("HTTP 500", retry=True), None])
async def test_one_that_always_fails_holds_up_nothing_behind_it(
    store: Store, monkeypatch: pytest.MonkeyPatch, error: Exception | None
) -> None:
    monkeypatch.setattr(requests, "_FIRST", 0.02)
    monkeypatch.setattr(requests, "_SEND", 0.05)
    chat = Broken("U0", error)
    refused = [
        InboundRequest(str(n), "chat", "ack", "ada", ID, refusal="no", answer={"user": f"U{n}"}) for n in range(4)
    ]
    async with looked_at(store, chat) as seen:
        await seen.keeper.keep(Announced(requests=refused))
        await until(lambda: len(chat.told) == 3)
        await until(lambda: chat.tried > 1)
        assert seen.snapshot.answers["chat", "sent"] == 3
        await until(lambda: seen.snapshot.answers["chat", "failed"] > 1)


async def test_a_sink_that_hangs_holds_up_no_other(store: Store) -> None:
    hangs, works = Broken("U1", None), Chat()
    async with looked_at(store, hangs, other=works) as seen:
        await seen.keeper.keep(ask("1"))
        await until(lambda: hangs.tried)
        await seen.keeper.keep(
            Announced(requests=[InboundRequest("2", "other", "ack", "ada", ID, answer={"user": "U2"})])
        )
        await until(lambda: works.told)
    assert (hangs.tried, hangs.told) == (1, [])


async def test_answers_that_keep_failing_are_told_as_trouble_until_one_is_taken(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "_FIRST", 0.001)
    monkeypatch.setattr(requests, "_LONGEST", 0.001)
    chat = Broken("U1", KeyError("quotes what it was given"))
    async with looked_at(store, chat) as seen:
        await seen.keeper.keep(ask("1"))
        await until(lambda: seen.troubles)
        assert seen.over == []
        chat.broken = "nobody"
        await until(lambda: chat.told)
        await until(lambda: seen.over)
    assert [title for title, _ in seen.troubles] == ["Sink chat takes no answers"]
    assert seen.troubles[0][1].startswith("unexpected KeyError in the sink. ")
    assert seen.over == ["answers:chat"]


async def test_what_waited_at_the_start_is_done_and_a_sink_without_answers_is_not_asked(store: Store) -> None:
    await store.requests.keep(ask("before").requests)
    async with at_work(store, object()):
        while (await store.incidents.get(ID)).state != "acknowledged":
            await asyncio.sleep(0.01)
