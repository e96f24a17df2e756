"""One assertion for every sink: whatever the other side does, no word of ours holds a credential.

The other side answers with all that it was sent, so a message that quotes an answer carelessly is caught here.
"""

from __future__ import annotations

import asyncio
import io
import logging
import secrets
import sys
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from monitor.common.http import Http, RemoteError
from monitor.common.notification import Location, Notification, Receipt
from sinks import SINKS, load_sink
from sinks import email as email_module
from sinks import mqtt as mqtt_module
from sinks.base import Sink
from tests.fakes.alertmanager import FakeAlertmanager
from tests.fakes.mosquitto import broker
from tests.fakes.notifications import HOSTILE, event, incident, notification
from tests.fakes.pagerduty import FakePagerDuty
from tests.fakes.ports import free_port
from tests.fakes.server import FAULTS, FakeServer, Fault
from tests.fakes.slack import FakeSlack
from tests.fakes.smtp import FakeSmtp, certificate
from tests.fakes.webhook import FakeWebhook

# Not known before the run; 32 characters as a routing key has; valid base64; passes for one of Slack's error codes.
CANARY = "".join(secrets.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(32))
SIGNING = f"whsec_{CANARY}"
PARTS = {CANARY[i : i + 8] for i in range(len(CANARY) - 7)}


@dataclass
class Case:
    """A sink on its way to a working peer; `faults`: by name, what makes the next send fail."""

    sink: Sink
    faults: dict[str, Callable[[], Any]]


def _build(kind: str, http: Http, **keys: Any) -> Sink:
    sink_class = load_sink(kind)
    return sink_class(sink_class.Config(name="canary", type=kind, **keys), http)


Open = Callable[[Http, Path, pytest.MonkeyPatch], Any]


def _served(make: Callable[[], FakeServer], build: Callable[[Any, Http], Sink]) -> Open:
    """A sink of HTTP with all the faults of a server."""

    @asynccontextmanager
    async def opened(http: Http, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Case]:
        async with make() as fake:
            faults: dict[str, Callable[[], Any]] = {
                name: (lambda fault=fault: fake.faults.append(fault)) for name, fault in FAULTS.items()
            }
            bodies = (f'{{"ok":false,"error":"{CANARY}"}}', f'{{"errors":["bad {CANARY}"]}}', CANARY)
            for number, body in enumerate(bodies):
                fault = Fault(400, body=body)
                faults[f"echo {number}"] = lambda fault=fault: fake.faults.append(fault)
            yield Case(build(fake, http), faults)

    return opened


@asynccontextmanager
async def _console(http: Http, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Case]:
    closed = io.StringIO()
    closed.close()
    yield Case(_build("console", http), {"closed": lambda: monkeypatch.setattr(sys, "stdout", closed)})


@asynccontextmanager
async def _email(http: Http, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Case]:
    monkeypatch.setattr(email_module, "ANSWER", 0.5)
    pem = certificate(tmp_path)
    async with FakeSmtp(pem, password=CANARY) as fake:
        keys = {"tls": "starttls", "ca_file": pem[0], "username": "me", "password": "env:CANARY"}
        sink = _build("email", http, host="127.0.0.1", port=fake.port, sender="a@b", to=["c@d"], **keys)
        answers = {
            "login": ("AUTH", f"535 no {{line}} {CANARY}"),
            "login later": ("AUTH", f"454 later {{line}} {CANARY}"),
            "no login": ("AUTH", f"504 what is {{line}} {CANARY}"),
            "mail": ("MAIL", f"550 {CANARY}"),
            "drop": ("AUTH", FakeSmtp.DROP),
            "hang": ("AUTH", FakeSmtp.HANG),
        }
        yield Case(
            sink,
            {name: (lambda answer=answer: fake.answers.update([answer])) for name, answer in answers.items()},
        )


@asynccontextmanager
async def _mqtt(http: Http, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Case]:
    monkeypatch.setattr(mqtt_module, "TIMEOUT", 1.0)
    async with broker(tmp_path, login=("me", CANARY)) as port:
        keys = {"host": "127.0.0.1", "username": "me", "password": "env:CANARY"}
        sink = cast(Any, _build("mqtt", http, port=port, **keys))

        def point(**changes: Any) -> None:
            sink._config = sink._config.model_copy(update=changes)

        faults: dict[str, Callable[[], Any]] = {
            "down": lambda: point(port=free_port()),
            "login": lambda: monkeypatch.setenv("CANARY", CANARY[::-1]),
            "name": lambda: point(host="name.invalid"),
        }
        yield Case(sink, faults)


CASES: dict[str, tuple[str, Open]] = {
    "alertmanager": (
        "alertmanager",
        _served(FakeAlertmanager, lambda fake, http: _build("alertmanager", http, url=fake.url, token="env:CANARY")),
    ),
    "console": ("console", _console),
    "email": ("email", _email),
    "mqtt": ("mqtt", _mqtt),
    "pagerduty": (
        "pagerduty",
        _served(
            FakePagerDuty,
            lambda fake, http: _build("pagerduty", http, routing_key="env:CANARY", base_url=fake.url),
        ),
    ),
    "slack bot": (
        "slack",
        _served(
            lambda: FakeSlack(token=CANARY),
            lambda fake, http: _build("slack", http, token="env:CANARY", channel="#alerts", api_url=fake.api_url),
        ),
    ),
    "slack webhook": (
        "slack",
        _served(
            lambda: FakeSlack(webhook=f"/services/{CANARY}"),
            lambda fake, http: _build("slack", http, webhook_url=_url(fake, f"/services/{CANARY}")),
        ),
    ),
    "webhook": (
        "webhook",
        _served(
            lambda: FakeWebhook(SIGNING),
            lambda fake, http: _build(
                "webhook", http, url=_url(fake, f"/{CANARY}?key={CANARY}"), signing_secret="env:SIGNING"
            ),
        ),
    ),
    "webhook for discord": (
        "webhook",
        _served(FakeServer, lambda fake, http: _build("webhook", http, url=_url(fake, f"/{CANARY}"), format="discord")),
    ),
}


def _url(fake: FakeServer, path: str) -> str:
    Path(fake.folder).joinpath("url").write_text(fake.url + path)  # type: ignore[attr-defined]
    return f"file:{fake.folder}/url"  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CANARY", CANARY)
    monkeypatch.setenv("SIGNING", SIGNING)
    monkeypatch.setattr(FakeServer, "folder", str(tmp_path), raising=False)


def assert_clean(place: str, text: str) -> None:
    found = [part for part in PARTS if part in text]
    assert not found, f"{place} holds {len(found)} parts of the credential"


def _described(error: BaseException) -> str:
    """All that a log, a crash report or a debugger's first look would show of an error."""
    seen: list[BaseException] = []
    chain: BaseException | None = error
    while chain is not None and chain not in seen:
        seen.append(chain)
        chain = chain.__cause__ or chain.__context__
    return "\n".join(f"{one!r} {one} {one.args!r} {''.join(traceback.format_exception(one))}" for one in seen)


def test_every_sink_has_a_case() -> None:
    assert {kind for kind, _ in CASES.values()} == set(SINKS)


@pytest.mark.parametrize("name", CASES)
async def test_no_fault_brings_a_credential_to_light(
    name: str,
    http: Http,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)  # logs what it thinks slow, with its arguments
    open_case = CASES[name][1]
    async with open_case(http, tmp_path, monkeypatch) as case:
        names = list(case.faults)
        assert names
    for fault in names:
        with monkeypatch.context() as patch:
            async with open_case(http, tmp_path, patch) as case:
                case.faults[fault]()
                with pytest.raises(RemoteError) as caught:
                    await case.sink.send(notification())
                assert_clean(f"the error after {fault}", _described(caught.value))
                assert_clean("repr", f"{case.sink!r} {vars(case.sink)!r} {case.sink.Config!r}")
                await case.sink.close()
    assert_clean("the log", caplog.text + "".join(repr(record.args) for record in caplog.records))
    captured = capfd.readouterr()
    assert_clean("standard output", captured.out + captured.err)


@pytest.mark.parametrize("name", CASES)
async def test_all_reasons_and_all_texts_are_taken(
    name: str, http: Http, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The peers check what they get against the vendors' rules; the payloads carry no credential but its own place."""
    async with CASES[name][1](http, tmp_path, monkeypatch) as case:
        receipt: Receipt | None = None
        for state, reason in (
            ("open", "new"),
            ("open", "update"),
            ("acknowledged", "acknowledged"),
            ("resolved", "resolved"),
        ):
            sent = notification(incident(state=state), reason=reason, receipt=receipt)
            receipt = await case.sink.send(sent) or receipt
        for message in (event(), event(reason="test", title="", text=""), *_everywhere()):
            await case.sink.send(message)
        if receipt:
            assert_clean("the receipt", repr(dict(receipt)))
        await case.sink.close()


def _everywhere() -> Iterator[Notification]:
    """Each hostile text in every field of text that there is."""
    for text in HOSTILE:
        place = Location(text, text, url=text, host=text, service=text, context=text)
        texts = {"id": text, "fingerprint": text, "rule": text, "name": text, "masked": text, "first_step": text}
        texts |= {"confidence": text, "program": text, "options": text}
        one = incident(**texts, owner=text, runbook=text, url=text, labels={text: text}, locations=(place,))
        yield notification(one, id="9", key=text, url=text, runbook=text, title=text, text=text)
        yield event(title=text, text=text, key=text)
