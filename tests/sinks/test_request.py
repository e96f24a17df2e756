from __future__ import annotations

import base64

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from monitor.common.http import RemoteError, Reply
from sinks.request import Request, received, said


def reply(body: str, status: int = 200) -> Reply:
    return Reply(status, CIMultiDictProxy(CIMultiDict()), body.encode())


@pytest.mark.parametrize(
    ("body", "taken"),
    [
        *(('{"a": {"ok": true}, "n": 0}', True), ('{"a": {"ok": 1}, "n": 0}', False)),
        *(('{"a": {"ok": true}}', False), ('{"a": {"ok": true}, "n": false}', False), ("", False), ("[]", False)),
    ],
)
def test_an_answer_has_to_say_what_is_expected(body: str, taken: bool) -> None:
    request = Request(expect={"/a/ok": True, "/n": 0})
    if taken:
        request.judge(reply(body), {}, "")
        return
    with pytest.raises(RemoteError, match=r"HTTP 200, but /.* is not what expect says: words") as caught:
        request.judge(reply(body), {}, "words")
    assert [caught.value.again(attempts) for attempts in (1, 5)] == [True, False]


def test_a_status_that_is_accepted_is_no_failure() -> None:
    Request(accept=(409,)).judge(reply("", 409), {}, "")
    with pytest.raises(RemoteError, match="400"):
        Request(accept=(409,)).judge(reply("", 400), {}, "")


def test_an_answer_that_repeats_a_credential_is_not_shown() -> None:
    login = base64.b64encode(b"bot@example.org:correct horse").decode()
    for echoed in ("correct horse", "bad login bot:correct-horse correct horse", login, f"Basic {login[:12]}"):
        assert said(reply(echoed), [login]) == ""
        assert received(reply(f'{{"a": "{echoed}"}}'), "/a", [login]) == ""
    assert said(reply("bot@example.org may not"), [login]) == "bot@example.org may not"
    assert said(reply(" <html>a page</html>"), []) == ""
    assert received(reply('{"a": "SEC-1"}'), "/a", [login]) == "SEC-1"
