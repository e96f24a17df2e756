"""What a receiver will not have: to the fallback, tried again, or buried."""

from __future__ import annotations

from monitor.common.http import RemoteError
from monitor.common.notification import Notification, Receipt
from monitor.routing.routes import Policy, Route
from monitor.store import Store
from tests.fakes.delivery import (
    Recorder,
    delivering,
    delivering_with,
    finding,
    refuse,
    until,
)


async def test_a_refusal_goes_to_the_fallback_and_is_reported(store: Store) -> None:
    chat, mail, console = Recorder(refuse), Recorder(), Recorder()
    store.policy = Policy(sinks=("chat", "mail", "console"), routes=(Route(sinks=("chat",)),))
    sinks = {"chat": chat, "mail": mail, "console": console}
    async with delivering_with(store, sinks, fallbacks={"chat": "mail"}) as delivery:
        await store.commit([finding("a"), finding("b", 1)])
        await until(lambda: len(mail.got) >= 3)
        assert await delivery.settle(60) == 0
        assert delivery.stats()["chat"].dead == 2
    assert [notification.reason for notification in mail.got].count("new") == 2
    [notice] = console.got  # said once, not for each
    assert (notice.reason, notice.incidents) == ("operational", ())
    assert "chat" in notice.title
    assert "404" in notice.text
    assert "mail" in notice.text
    assert len([entry for entry in await store.outbox.list(states=["dead"]) if entry.sink == "chat"]) == 2


async def test_without_a_fallback_the_others_hear_of_it_and_it_is_tried_again(store: Store) -> None:
    chat, console = Recorder(refuse), Recorder()
    store.policy = Policy(sinks=("chat", "console"), routes=(Route(sinks=("chat",)),))
    async with delivering(store, chat=chat, console=console) as delivery:
        await store.commit([finding("a")])
        await until(lambda: console.got)
        assert "fallback" in console.got[0].text
        assert delivery.stats()["chat"].refusing == "HTTP 404: no_service"
        assert delivery.problem() is None  # the console is there
        chat.answer = None
        await until(lambda: chat.got and len(console.got) == 2)
        assert delivery.stats()["chat"].refusing is None
    assert (console.got[1].reason, console.got[1].key) == ("recovered", console.got[0].key)
    assert console.got[1].action == "resolve"
    assert not await store.outbox.list(states=["dead"])


async def test_a_receiver_that_refuses_everything_for_long_and_is_mended_gets_everything(store: Store) -> None:
    only = Recorder(refuse)
    async with delivering(store, only=only) as delivery:
        for number in range(35):
            await store.commit([finding(str(number), number)])
        await until(lambda: len(only.tried) >= 12)
        assert delivery.problem() == "sink only refuses everything: HTTP 404: no_service"
        assert await store.outbox.unsent() > 0
        only.answer = None
        assert await delivery.settle(10) == 0
        assert delivery.problem() is None
    told = {incident.id for notification in only.got for incident in notification.incidents}
    assert len(told) == 35
    assert not await store.outbox.list(states=["dead"])


async def test_what_a_working_sink_will_not_have_is_buried(store: Store) -> None:
    poison = finding("poison").fingerprint

    async def answer(notification: Notification) -> Receipt | None:
        if notification.incidents and notification.incidents[0].fingerprint == poison:
            raise RemoteError("HTTP 400", retry=False)
        return None

    chat = Recorder(answer)
    async with delivering(store, chat=chat) as delivery:
        await store.commit([finding("poison")])
        await until(lambda: chat.tried)
        await store.commit([finding("a", 1)])
        assert await delivery.settle(10) == 0
    [dead] = await store.outbox.list(states=["dead"])
    assert dead.error == "HTTP 400"
    assert len(chat.got) == 1


async def test_fallbacks_that_point_at_each_other_keep_what_both_refuse(store: Store) -> None:
    one, two = Recorder(refuse), Recorder(refuse)
    store.policy = Policy(sinks=("one", "two"), routes=(Route(sinks=("one",)),))
    async with delivering_with(store, {"one": one, "two": two}, fallbacks={"one": "two", "two": "one"}) as delivery:
        await store.commit([finding("a")])
        await until(lambda: len(one.tried) >= 1 and len([sent for sent in two.tried if sent.incidents]) >= 2)
        two.answer = None
        assert await delivery.settle(10) == 0
    states = {entry.sink: entry.state for entry in await store.outbox.list()}
    assert states == {"one": "dead", "two": "sent"}


async def test_what_some_have_taken_is_not_sent_to_them_again(store: Store) -> None:
    """Buried at once, as another try changes nothing for the rest; said, also there; and known when tried by hand."""

    async def answer(notification: Notification) -> Receipt | None:
        if notification.partly == {"has": "ada"}:
            return None
        raise RemoteError("1 of 2 recipients were refused", retry=False, partly={"has": "ada"})

    mail, console = Recorder(answer), Recorder()
    store.policy = Policy(sinks=("mail", "console"), routes=(Route(sinks=("mail",)),))
    async with delivering(store, mail=mail, console=console) as delivery:
        await store.commit([finding("a")])
        await until(lambda: console.got and len(mail.tried) >= 2)
        [dead] = await store.outbox.list(states=["dead"])
        assert f"monitor outbox retry {dead.id}" in console.got[0].text
        assert delivery.problem() is None
        assert delivery.stats()["mail"].refusing is None
        assert [sent.reason for sent in mail.tried] == ["new", "operational"]  # each once
        assert await store.undelivered.retry([dead.id], actor="ada")
        await until(lambda: mail.got and len(console.got) == 2)
    assert mail.got[0].id == dead.id
    assert console.got[1].reason == "recovered"


async def test_what_some_have_taken_is_known_at_the_next_try(store: Store) -> None:
    async def answer(notification: Notification) -> Receipt | None:
        if notification.partly == {"has": "ada"}:
            return None
        raise RemoteError("1 of 2 recipients were put off", retry=True, partly={"has": "ada"})

    mail = Recorder(answer)
    async with delivering(store, mail=mail) as delivery:
        delivery.operational("Disk full")
        await store.commit([finding("a")])
        await until(lambda: len(mail.got) == 2)
    assert len(mail.tried) == 4
