"""One assertion for every sink: whatever the other side does, no word of ours holds a credential.

The other side answers with all that it was sent, so a message that quotes an answer carelessly is caught here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import traceback
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from monitor.common.http import Http, RemoteError
from monitor.common.notification import Location, Notification, Receipt
from sinks import SINKS, load_sink
from sinks.base import Closes, Sink
from tests.fakes.notifications import HOSTILE, event, incident, notification
from tests.fakes.peer import peers, test_of

# Not known before the run; 32 characters as a routing key has; valid base64; passes for one of Slack's error codes.
CANARY = "".join(secrets.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(32))
PARTS = {CANARY[i : i + 8] for i in range(len(CANARY) - 7)}
CASES = {name: (kind, opened) for name, kind, opened in peers()}


@contextlib.asynccontextmanager
async def working(
    name: str, http: Http, folder: Path, patch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Sink, Mapping[str, Callable[..., Any]]]]:
    """A sink on its way to a working peer, and what makes its next send fail."""
    kind, opened = CASES[name]
    async with opened(CANARY, folder) as peer:
        for variable, value in peer.environment.items():
            patch.setenv(variable, value)
        sink_class = load_sink(kind)
        sink = sink_class(sink_class.Config(name="canary", type=kind, **peer.keys), http)
        yield sink, peer.faults
        if isinstance(sink, Closes):
            await sink.close()


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


def test_every_sink_has_a_peer() -> None:
    for kind in SINKS.keys() - {kind for kind, _ in CASES.values()}:
        pytest.fail(f"{test_of(SINKS[kind])} needs PEERS, the other side of the sink {kind}: see tests/fakes/peer.py")


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
    async with working(name, http, tmp_path, monkeypatch) as (_, faults):
        names = list(faults)
        assert names
    for fault in names:
        with monkeypatch.context() as patch:
            async with working(name, http, tmp_path, patch) as (sink, faults):
                faults[fault](sink, patch)
                with pytest.raises(RemoteError) as caught:
                    await sink.send(notification())
                assert_clean(f"the error after {fault}", _described(caught.value))
                assert_clean("repr", f"{sink!r} {vars(sink)!r} {sink.Config!r}")
    assert_clean("the log", caplog.text + "".join(repr(record.args) for record in caplog.records))
    captured = capfd.readouterr()
    assert_clean("standard output", captured.out + captured.err)


@pytest.mark.parametrize("name", CASES)
async def test_all_reasons_and_all_texts_are_taken(
    name: str, http: Http, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The peers check what they get against the vendors' rules; the payloads carry no credential but its own place."""
    async with working(name, http, tmp_path, monkeypatch) as (sink, _):
        receipt: Receipt | None = None
        for state, reason in (
            ("open", "new"),
            ("open", "update"),
            ("acknowledged", "acknowledged"),
            ("resolved", "resolved"),
        ):
            sent = notification(incident(state=state), reason=reason, receipt=receipt)
            receipt = await sink.send(sent) or receipt
        for message in (event(), event(reason="test", title="", text=""), *_everywhere()):
            await sink.send(message)
        if receipt:
            assert_clean("the receipt", repr(dict(receipt)))


def _everywhere() -> Iterator[Notification]:
    """Each hostile text in every field of text that there is."""
    for text in HOSTILE:
        place = Location(text, text, url=text, host=text, service=text, context=text)
        texts = {"id": text, "fingerprint": text, "rule": text, "name": text, "masked": text, "first_step": text}
        texts |= {"confidence": text, "program": text, "options": text}
        one = incident(**texts, owner=text, runbook=text, url=text, labels={text: text}, locations=(place,))
        yield notification(one, id="9", key=text, url=text, runbook=text, title=text, text=text)
        yield event(title=text, text=text, key=text)
