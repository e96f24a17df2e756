"""What `monitor check` says of the pages: whether alerts lead to them, and who may sign in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from monitor.common.http import in_the_clear, loopback
from monitor.common.listen import split_listen
from monitor.machine.finding import CheckFinding

if TYPE_CHECKING:
    from monitor.config.config import Config

__all__ = ["pages"]


def pages(config: Config) -> Iterator[CheckFinding]:
    """Notices."""
    http, console = config.http, config.console
    base = http.base_url or ""
    open_ = http.token is None and not console.asks and base != "" and not _here(base)
    sinks = [sink.name for sink in config.sinks if sink.type != "console"]
    whose = f"the alerts of {', '.join(sinks)}"
    leads = f"links in {whose} lead to {http.listen}, on this host" if http.address else f"{whose} have no links"
    named = bool(console.people or console.groups) and not console.asks and not http.listen.startswith("unix:")
    notes = (
        (sinks and http.listen and not base, "http", f"{leads}; set http.base_url"),
        (
            http.listen and open_,
            "http.base_url",
            "pages are for visitors on this host, and a proxy that adds no X-Forwarded-For makes all of them such; "
            "set http.token, or let people sign in ([console])",
        ),
        (console.asks and not http.listen, "console", "http.listen is empty, so nobody can sign in"),
        (named, "console", "people or groups are named, and nobody can sign in: set sign_in, proxy or openid"),
        (
            console.asks and in_the_clear(base),
            "http.base_url",
            "passwords would go over the network unencrypted: put a proxy with TLS in front, and say https",
        ),
        (
            (console.sign_in or console.openid) and base.startswith("https:") and not console.proxies,
            "console.proxies",
            "wrong passwords of all that come through a proxy count as those of one address; name it here, such as "
            '["127.0.0.1"]',
        ),
        (
            console.openid is not None and console.openid.others is not None and not console.groups,
            "console.openid.others",
            f"whoever has an account at the issuer comes in as {console.openid and console.openid.others}",
        ),
    )
    yield from (CheckFinding("notice", key, message) for holds, key, message in notes if holds)
    if http.listen:
        yield from (CheckFinding("notice", key, message) for key, message in _ways(config))


def _ways(config: Config) -> Iterator[tuple[str, str]]:
    """What is wrong with the way from a browser by a proxy to here, as far as the configuration tells. That the proxy
    has a secret and addresses of its own is asked for anyway."""
    http, proxy, base = config.http, config.console.proxy, urlsplit(config.http.base_url or "")
    host, port = split_listen(http.listen)
    unix = host.startswith("/")
    reached = not unix and not loopback(host)
    if proxy is not None:
        far = [str(one) for one in proxy.from_ if one != "unix" and not one.is_loopback]
        fits = (
            ("unix" in proxy.from_)
            if unix
            else any(one != "unix" and (reached or one.is_loopback) for one in proxy.from_)
        )
        if not fits:
            named = ", ".join(map(str, proxy.from_))
            yield "console.proxy.from", f"nothing comes from {named} to {http.listen}, so the proxy signs nobody in"
        elif reached and far:
            yield (
                "console.proxy.from",
                f"the proxy at {', '.join(far)} sends its secret to {http.listen} unencrypted, and who reads it there "
                "can send it from that address as anybody: let the proxy run on this host, or use a tunnel",
            )
    if base.scheme == "https" and reached and (base.port or 443) == port:
        yield (
            "http.base_url",
            f"it says https, and the monitor itself answers on port {port} without TLS: links work only where a proxy "
            f"with TLS on another host is {base.hostname}; else let one listen there, and the monitor on 127.0.0.1",
        )


def _here(base: str) -> bool:
    return urlsplit(base).hostname in ("localhost", "127.0.0.1", "::1")
