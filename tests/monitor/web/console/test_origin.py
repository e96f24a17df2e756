from __future__ import annotations

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from monitor.accounts.settings import SignInConfig
from monitor.web.console.origin import BASE, address_of, by_a_browser, local_path, ours, page_before, secure


class Transport:
    """The other end of a connection."""

    def __init__(self, peer: object) -> None:
        self._peer = peer

    def get_extra_info(self, name: str, default: object = None) -> object:
        return self._peer if name == "peername" else default


def request(headers: dict[str, str], base: str = "", peer: object = ("192.0.2.9", 1)) -> web.Request:
    app = web.Application()
    app[BASE] = base
    return make_mocked_request("POST", "/x", headers=headers, app=app, transport=Transport(peer))  # type: ignore[arg-type]


BEHIND = "https://monitor.example.org"


@pytest.mark.parametrize(
    ("headers", "base", "fine"),
    [
        ({"Host": "127.0.0.1:9321", "Origin": "http://127.0.0.1:9321"}, "", True),
        ({"Host": "127.0.0.1:9321", "Origin": "http://127.0.0.1:9322"}, "", False),
        ({"Host": "127.0.0.1:9321", "Origin": BEHIND}, BEHIND, True),  # a proxy that passes another Host
        ({"Host": "monitor.example.org", "Origin": "http://monitor.example.org"}, BEHIND, False),
        ({"Host": "monitor.example.org", "Origin": "https://Monitor.example.org"}, f"{BEHIND}/path", True),
        ({"Host": "monitor.example.org", "Origin": "https://monitor.example.org.evil"}, BEHIND, False),
        ({"Host": "", "Origin": "null"}, "", False),
    ],
)
def test_a_form_is_ours_by_its_origin(headers: dict[str, str], base: str, fine: bool) -> None:
    assert (ours(request(headers, base)) == "") is fine


@pytest.mark.parametrize(
    ("peer", "forwarded", "proxies", "address"),
    [
        (("192.0.2.9", 1), "203.0.113.1", [], "192.0.2.9"),
        (("192.0.2.9", 1), "203.0.113.1", ["192.0.2.9"], "203.0.113.1"),
        (("192.0.2.9", 1), "198.51.100.7, 203.0.113.1", ["192.0.2.9"], "203.0.113.1"),
        (("192.0.2.9", 1), "198.51.100.7, 192.0.2.8", ["192.0.2.0/24"], "198.51.100.7"),
        (("127.0.0.1", 1), "203.0.113.1", [], "127.0.0.1"),
        (("127.0.0.1", 1), "203.0.113.1", ["127.0.0.1"], "203.0.113.1"),
        (("127.0.0.1", 1), "", ["127.0.0.1"], "127.0.0.1"),
        (("127.0.0.1", 1), "nonsense", ["127.0.0.1"], "127.0.0.1"),
        (("127.0.0.1", 1), "198.51.100.7, 127.0.0.1", ["192.0.2.9"], "127.0.0.1"),
        (("::ffff:192.0.2.9", 1, 0, 0), "", [], "192.0.2.9"),
        (("2001:db8::1:2", 1, 0, 0), "", [], "2001:db8::/64"),
        ("", "203.0.113.1", [], "unix"),
        ("", "203.0.113.1", ["unix"], "203.0.113.1"),
        ("", "", [], "unix"),
    ],
)
def test_the_address_that_counts(peer: object, forwarded: str, proxies: list[str], address: str) -> None:
    listed = SignInConfig.model_validate({"proxies": proxies}).proxies
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    assert address_of(request(headers, peer=peer), listed) == address


def test_https_is_what_the_base_url_says() -> None:
    assert secure(request({"Host": "monitor.example.org"}, BEHIND))
    assert not secure(request({"Host": "127.0.0.1"}, BEHIND))
    assert not secure(request({"Host": "monitor.example.org"}, "http://monitor.example.org"))


def test_a_way_back_is_a_path_here() -> None:
    assert local_path("/incidents/a?b=c#d") == "/incidents/a?b=c#d"
    assert local_path("//evil.example") == "/incidents"


@pytest.mark.parametrize(
    ("referer", "page"),
    [
        ("", "/incidents"),
        ("https://monitor.example.org/incidents/a?said=b#said", "/incidents/a?said=b"),
        ("http://127.0.0.1:9321/silences", "/silences"),
        ("https://evil.example/silences", "/incidents"),
        ("https://monitor.example.org//evil.example", "/incidents"),
        ("/silences", "/incidents"),
        ("http://[", "/incidents"),
    ],
)
def test_the_page_that_a_form_was_on(referer: str, page: str) -> None:
    assert page_before(request({"Host": "127.0.0.1:9321", "Referer": referer}, BEHIND)) == page


def test_a_command_sends_nothing_that_a_browser_sends() -> None:
    assert not by_a_browser({"User-Agent": "curl/8", "Accept": "*/*"})
    assert by_a_browser({"Cookie": "a"})
