from __future__ import annotations

from typing import Any, cast

import pytest

from monitor.common.http import RemoteError
from monitor.common.notification import Notification, Receipt
from sinks import trial as module
from sinks.base import Sink
from sinks.trial import trial


class _Sink:
    def __init__(self, answer: Receipt | Exception | None) -> None:
        self.answer = answer
        self.sent: list[Notification] = []

    async def send(self, notification: Notification) -> Receipt | None:
        self.sent.append(notification)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def tried(answer: Any) -> tuple[Receipt | None, Notification]:
    sink = _Sink(answer)
    receipt = await trial(cast(Sink, sink), "ada", "web1")
    return receipt, sink.sent[0]


async def test_it_says_that_nothing_has_leaked_and_who_sent_it() -> None:
    receipt, sent = await tried({"ticket": "OPS-1"})
    assert receipt == {"ticket": "OPS-1"}
    assert (sent.reason, sent.text) == ("test", "Sent by ada on web1. Nothing has leaked.")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RemoteError("HTTP 401", retry=False), "HTTP 401"),
        (ValueError("https://user:s3cr3t@host"), "unexpected ValueError in the sink"),
        (TimeoutError(), "no answer within 30 s"),
    ],
)
async def test_whatever_is_wrong_is_said_without_what_it_was_given(error: Exception, said: str) -> None:
    with pytest.raises(RemoteError) as raised:
        await tried(error)
    assert str(raised.value) == said
    assert module._PATIENCE == 30.0
