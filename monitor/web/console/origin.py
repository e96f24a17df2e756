"""Where a request comes from: of our own pages, and by which address."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from aiohttp import web

from monitor.accounts.settings import Network, within
from monitor.common.http import loopback
from monitor.common.httpd import neighbourhood
from monitor.web.auth import FORWARDED

__all__ = ["BASE", "address_of", "by_a_browser", "local_path", "ours", "page_before", "peer_of", "secure"]

BASE = web.AppKey("base_url", str)  # http.base_url; empty: there is none
_LONGEST = 2000  # characters of an address to come back to


def ours(request: web.Request) -> str:
    """Why a form may not be from a page of ours; empty: it is. Browsers say where a form comes from."""
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site not in (None, "same-origin", "none"):
        return "it comes from a page elsewhere"
    if origin is None:
        return "" if site else "it does not say from which page it comes (Origin)"
    return "" if origin.lower() in _origins(request) else "it comes from a page elsewhere"


def _origins(request: web.Request) -> Iterable[str]:
    """Those that a page of ours has: as people reach it, and as it was asked for, by a name that we know."""
    host, base = request.headers.get("Host", "").lower(), urlsplit(request.app.get(BASE, ""))
    if base.netloc:
        yield f"{base.scheme}://{base.netloc}".lower()
    if not (base.scheme == "https" and host == base.netloc.lower()):
        yield f"http://{host}"
    yield f"https://{host}"


def secure(request: web.Request) -> bool:
    """Whether the browser has it by https: a proxy in front of us knows, and `base_url` says."""
    base, peer = urlsplit(request.app.get(BASE, "")), peer_of(request)
    if (peer is None or loopback(peer)) and request.headers.get("X-Forwarded-Proto", "").lower() == "https":
        return True
    return request.secure or (base.scheme == "https" and request.headers.get("Host", "").lower() == base.netloc.lower())


def local_path(text: str) -> str:
    """An address to come back to, if it is one of ours; else the list."""
    plain = text.isascii() and text.isprintable() and "\\" not in text and len(text) <= _LONGEST
    if not plain or not text.startswith("/") or text.startswith("//") or text.startswith("/sign-"):
        return "/incidents"
    return text


def page_before(request: web.Request) -> str:
    """The page of ours that a form was on, as the browser says; else the list."""
    hosts = (request.headers.get("Host", "").lower(), urlsplit(request.app.get(BASE, "")).netloc.lower())
    try:
        before = urlsplit(request.headers.get("Referer", ""))
    except ValueError:
        return local_path("")
    path = before._replace(scheme="", netloc="", fragment="").geturl()
    return local_path(path if before.netloc.lower() in hosts else "")


def peer_of(request: web.Request) -> str | None:
    """The address at the other end of the connection; None: it is a unix socket."""
    peer = request.transport.get_extra_info("peername") if request.transport else None
    return str(peer[0]) if isinstance(peer, tuple) else None


def address_of(request: web.Request, proxies: Iterable[Network]) -> str:
    """Who counts as one for limits. The proxies that are listed say for whom they ask: on this host anybody can."""
    proxies, at = tuple(proxies), peer_of(request)
    named = ",".join(request.headers.getall("X-Forwarded-For", [])).split(",")
    while named and within(at, proxies):
        try:
            last = named.pop().strip().strip("[]")
            neighbourhood(last)
        except ValueError:
            break
        at = last
    return "unix" if at is None else neighbourhood(at)


def by_a_browser(headers: Mapping[str, str]) -> bool:
    """Whether a browser, or a proxy for somebody, sent this, whoever is at the other end of the socket."""
    return any(name in headers for name in (*FORWARDED, "Origin", "Sec-Fetch-Site", "Cookie", "Referer"))
