from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from pydantic import ValidationError

from monitor.common.http import Http, RemoteError
from monitor.common.notification import Notification
from sinks import email as module
from sinks import talks
from sinks.email import Email, EmailConfig, compose
from tests.fakes.delivery import until
from tests.fakes.notifications import EXAMPLES, NOW, event, incident, notification, notifications
from tests.fakes.peer import Peer
from tests.fakes.ports import free_port
from tests.fakes.smtp import FakeSmtp, certificate

Put = Callable[[str, str], str]
PASSWORD = "canary-password"


@asynccontextmanager
async def _server(credential: str, folder: Path) -> AsyncIterator[Peer]:
    pem = certificate(folder)
    keys = {"host": "127.0.0.1", "ca_file": str(pem[0]), "username": "me", "password": "env:MAIL_PASSWORD"}
    answers = {
        "login": ("AUTH", f"535 no {{line}} {credential}"),
        "login later": ("AUTH", f"454 later {{line}} {credential}"),
        "no login": ("AUTH", f"504 what is {{line}} {credential}"),
        "mail": ("MAIL", f"550 {credential}"),
        "drop": ("AUTH", FakeSmtp.DROP),
        "hang": ("AUTH", FakeSmtp.HANG),
    }
    async with FakeSmtp(pem, password=credential) as fake:

        def fails(patch: pytest.MonkeyPatch, answer: tuple[str, str]) -> None:
            patch.setattr(module, "ANSWER", 0.5)
            fake.answers.update([answer])

        def received() -> list[bytes]:
            """As it was sent, and decoded: base64 or quoted-printable must not hide anything."""
            return [mail.message.as_bytes() + mail.message.get_content().encode() for mail in fake.mails]

        yield Peer(
            {**keys, "port": fake.port, "sender": "a@example.org", "to": ["b@example.org"]},
            {name: lambda sink, patch, answer=answer: fails(patch, answer) for name, answer in answers.items()},
            {"MAIL_PASSWORD": credential},
            received,
        )


PEERS = {"email": _server}


def sink(port: int, **keys: Any) -> Email:
    defaults = {"host": "127.0.0.1", "port": port, "tls": "none", "sender": "monitor@example.org"}
    return Email(EmailConfig(name="mail", type="email", **{**defaults, "to": ["security@example.org"], **keys}), Http())


async def test_mails_over_starttls_with_login(tmp_path: Path, credential: Put) -> None:
    pem = certificate(tmp_path)
    async with FakeSmtp(pem, password=PASSWORD) as server:
        keys = {"tls": "starttls", "ca_file": pem[0], "username": "me", "password": credential("pass", PASSWORD)}
        await sink(server.port, **keys, to=["a@example.org", "b@example.org"]).send(notification())
    (mail,) = server.mails
    assert (mail.sender, mail.to, mail.encrypted, mail.login) == (
        *("monitor@example.org", ("a@example.org", "b@example.org"), True, "me"),
    )
    assert mail.message["Subject"] == "[critical] GitHub personal access token exposed"
    text = mail.message.get_content()
    for part in (
        *(
            "ghp_a1B2…",
            "/var/log/app/api.log:1042 (payments on web-3, services)",
            "17 times in 5 min",
            "Revoke the token",
        ),
        *("https://monitor.example.org/runbooks/github-token", ".venv/bin/monitor incidents ack 7f3a9c2e"),
        *("Line:     2026-11-02T14:03:05Z INFO login", "Sure:     high confidence"),
    ):
        assert part in text


async def test_who_was_put_off_gets_it_later_and_the_others_not_twice() -> None:
    addresses = ("a@example.org", "b@example.org", "c@example.org")
    mail = notification()
    async with FakeSmtp() as server:
        server.refusals = {"b@example.org": "450 greylisted", "c@example.org": "550 unknown"}
        for _ in range(2):
            with pytest.raises(RemoteError, match=r"1 of 3 recipients were put off \(450\)") as caught:
                await sink(server.port, to=addresses).send(mail)  # what is known outlives the process
            assert caught.value.retry
            mail = replace(mail, partly=caught.value.partly)
        server.answers["MAIL"] = "451 busy"
        with pytest.raises(RemoteError, match="answered 451") as caught:
            await sink(server.port, to=addresses).send(mail)
        assert caught.value.partly is None
        server.answers.clear()
        server.refusals = {}
        with pytest.raises(RemoteError, match=r"1 of 3 recipients were refused \(550\)") as caught:
            await sink(server.port, to=addresses).send(mail)
        assert not caught.value.retry
        mail = replace(mail, partly=caught.value.partly)
        await sink(server.port, to=addresses).send(mail)  # resent by hand: to whom it did not reach
        await sink(server.port, to=addresses[:2]).send(mail)  # or to nobody, as that one is gone
    assert [mail.to for mail in server.mails] == [(address,) for address in addresses]


async def test_whom_all_refuse_is_asked_anew() -> None:
    addresses = ("a@example.org", "b@example.org")
    async with FakeSmtp() as server:
        server.refusals = {"a@example.org": "450 later", "b@example.org": "550 unknown"}
        with pytest.raises(RemoteError, match="put off") as caught:
            await sink(server.port, to=addresses).send(notification())
        server.refusals["a@example.org"] = "550 unknown"
        mail = replace(notification(), partly=caught.value.partly)
        with pytest.raises(RemoteError, match="every recipient was refused") as caught:
            await sink(server.port, to=addresses).send(mail)
        server.refusals = {}
        await sink(server.port, to=addresses).send(replace(notification(), partly=caught.value.partly))
    assert [mail.to for mail in server.mails] == [addresses]


async def test_a_server_that_hangs_up_between_recipients_has_taken_it_for_none() -> None:
    addresses = ("a@example.org", "b@example.org", "c@example.org")
    async with FakeSmtp() as server:
        target = sink(server.port, to=addresses)
        server.refusals = {"b@example.org": "421 closing down"}
        with pytest.raises(RemoteError, match="3 of 3 recipients were put off") as caught:
            await target.send(notification())
        assert caught.value.retry
        assert not caught.value.partly
        server.refusals = {}
        await target.send(notification())
    assert [mail.to for mail in server.mails] == [addresses]


async def test_a_mail_whose_answer_is_late_is_not_sent_again() -> None:
    async with FakeSmtp() as server:
        target = sink(server.port)
        server.held["."] = asyncio.Event()
        for _ in range(2):  # whoever waits gives up, once and again
            first = asyncio.create_task(target.send(notification()))
            await until(lambda: server.mails)
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
        server.held["."].set()
        await target.send(notification())
        assert len(server.mails) == 1
        await target.send(notification())  # a new one
    assert len(server.mails) == 2


@pytest.mark.parametrize("answer", ["421 too busy to say goodbye", "500 what?", FakeSmtp.DROP])
async def test_what_a_server_says_to_the_goodbye_is_no_word_on_the_mail(answer: str) -> None:
    async with FakeSmtp() as server:
        server.answers["QUIT"] = answer
        await sink(server.port).send(notification())
    assert len(server.mails) == 1


async def test_a_sink_that_was_replaced_hands_over_nothing_more() -> None:
    async with FakeSmtp() as server:
        target = sink(server.port)
        server.held["RCPT"] = asyncio.Event()
        sending = asyncio.create_task(target.send(notification()))
        await until(lambda: "RCPT" in server.heard)
        sending.cancel()
        await target.close()
        server.held["RCPT"].set()
        await until(lambda: server.ended)
    assert not server.mails
    with pytest.raises(asyncio.CancelledError):
        await sending


async def test_mails_that_hang_do_not_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(talks, "TALKS", 1)
    async with FakeSmtp() as server:
        target = sink(server.port)
        server.held["EHLO"] = asyncio.Event()
        first = asyncio.create_task(target.send(notification()))
        await until(lambda: server.heard)
        with pytest.raises(RemoteError, match="the mail server has not answered to 1 messages yet") as caught:
            await target.send(notification(id="50"))
        assert caught.value.retry
        server.held["EHLO"].set()
        await first
        await target.send(notification(id="50"))
    assert len(server.mails) == 2


async def test_a_mistake_in_a_conversation_is_told_and_holds_up_no_later_try(monkeypatch: pytest.MonkeyPatch) -> None:
    def mistaken(*_: object) -> None:
        raise AttributeError(PASSWORD)

    async with FakeSmtp() as server:
        target = sink(server.port)
        with monkeypatch.context() as patch:
            patch.setattr(module, "_hand_over", mistaken)
            with pytest.raises(RemoteError, match="unexpected AttributeError in the conversation") as caught:
                await asyncio.wait_for(target.send(notification()), 60)
        assert caught.value.retry
        assert PASSWORD not in str(caught.value)
        await target.send(notification())
    assert len(server.mails) == 1


async def test_a_line_that_begins_with_a_dot_arrives() -> None:
    async with FakeSmtp() as server:
        await sink(server.port).send(event(title=".", text="..\n.end"))
    assert server.mails[0].message.get_content().splitlines() == [".", "", "..", ".end"]


async def test_no_8_bit_body_for_a_server_that_did_not_offer_to_take_one() -> None:
    async with FakeSmtp() as server:
        await sink(server.port).send(notification(incident(name="Schlüssel – geheim", owner="Zoë")))
    assert server.raw[0].isascii()
    assert "Schlüssel – geheim" in server.mails[0].message.get_content()


async def test_a_thread_per_key_and_an_id_per_notification() -> None:
    async with FakeSmtp() as server:
        target = sink(server.port)
        for message in (notification(), notification(), notification(id="50", reason="resolved"), event()):
            await target.send(message)
    ids = [mail.message["Message-ID"] for mail in server.mails]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3
    threads = [mail.message["References"] for mail in server.mails]
    assert threads[0] == threads[2] != threads[3]


@pytest.mark.parametrize(
    ("verb", "answer", "retry", "says"),
    [
        ("MAIL", "451 try later", True, "answered 451"),
        ("MAIL", "550 never: {line}", False, "answered 550"),
        ("RCPT", "450 busy", True, "1 of 1 recipients were put off"),
        ("RCPT", "550 {line}", False, "every recipient was refused"),
        ("DATA", "452 full", True, "answered 452"),
        ("DATA", "554 spam", False, "answered 554"),
        ("DATA", FakeSmtp.DROP, True, "broke off"),
        ("DATA", "250 what?", True, "answered 400"),
        ("EHLO", FakeSmtp.HANG, True, "did not answer in time"),
        ("EHLO", FakeSmtp.DROP, True, "broke off"),
    ],
)
async def test_faults(monkeypatch: pytest.MonkeyPatch, verb: str, answer: str, retry: bool, says: str) -> None:
    monkeypatch.setattr(module, "ANSWER", 0.5 if answer == FakeSmtp.HANG else 60.0)
    async with FakeSmtp() as server:
        server.answers[verb] = answer
        with pytest.raises(RemoteError, match=says) as caught:
            await sink(server.port).send(notification())
        assert caught.value.retry is retry
        assert server.mails == []


async def test_login_and_tls_failures(tmp_path: Path, credential: Put) -> None:
    pem = certificate(tmp_path)
    login = {"username": "me", "password": credential("pass", "canary-nonsense")}
    async with FakeSmtp(pem, password=PASSWORD) as server:
        with pytest.raises(RemoteError, match="check username and password") as caught:
            await sink(server.port, tls="starttls", ca_file=pem[0], **login).send(notification())
        assert not caught.value.retry
        assert "canary" not in repr(caught.value)
        with pytest.raises(RemoteError, match="certificate") as caught:
            await sink(server.port, tls="starttls", **login).send(notification())
        assert caught.value.retry
    async with FakeSmtp() as server:
        with pytest.raises(RemoteError, match="offers no STARTTLS") as caught:
            await sink(server.port, tls="starttls", **login).send(notification())
        assert not caught.value.retry
    with pytest.raises(RemoteError, match="Connection refused") as caught:
        await sink(free_port()).send(notification())
    assert caught.value.retry


@EXAMPLES
@given(notifications)
def test_any_notification_is_a_mail_without_foreign_headers(message: Notification) -> None:
    raw = compose(message, "monitor@example.org", ("a@example.org",), NOW).as_bytes()
    head = raw.partition(b"\r\n\r\n")[0]
    names = {line.partition(b":")[0] for line in head.split(b"\r\n") if not line.startswith((b" ", b"\t"))}
    assert names <= {
        *(b"Subject", b"From", b"To", b"Date", b"Message-ID", b"References", b"In-Reply-To", b"Auto-Submitted"),
        *(b"Importance", b"Content-Type", b"Content-Transfer-Encoding", b"MIME-Version"),
    }
    assert max(map(len, raw.split(b"\r\n"))) <= 998


def test_a_group_is_a_list() -> None:
    text = compose(notification(*[incident()] * 60), "a@b", ("c@d",), NOW).get_content()
    assert text.splitlines()[0] == "60 secrets (GitHub personal access token) exposed"
    assert "and 10 more" in text
    assert text.count("First:    Revoke the token on GitHub") == 1


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"sender": "no address"}, "plain address"),
        ({"to": []}, "at least 1 item"),
        ({"to": ["a@b\r\nBcc: c@d"]}, "plain address"),
        ({"username": "me"}, "go together"),
        ({"username": "me", "password": "hidden"}, "must be a reference"),
        ({"username": "me", "password": "env:P", "tls": "none"}, "unencrypted"),
    ],
)
def test_configuration_errors_are_clear(keys: dict[str, Any], says: str) -> None:
    base: dict[str, Any] = {"name": "m", "type": "email", "host": "h", "sender": "a@b", "to": ["c@d"], **keys}
    with pytest.raises(ValidationError, match=says) as caught:
        EmailConfig(**base)
    assert "hidden" not in str(caught.value)
