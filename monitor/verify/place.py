"""Whose server a secret is of: its vendor's public service, or one that somebody runs. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from monitor.verify.probe import Probe

__all__ = ["ProbeTarget", "place_of", "servers_of", "spoken_of"]

_LONGEST = 8192  # characters of a line that are looked at
_URL = re.compile(r"""(?i)https?://(?:([^\s/@'"<>]{1,512})@)?([a-z0-9.-]{1,253})(?::\d{1,5})?(/[^\s'"<>]{0,512})?""")
_NPMRC = re.compile(r"(?i)(?<![:\w])//([a-z0-9.-]{1,253})(?::\d{1,5})?(?:/[^\s:]{0,200})?:_auth")
_TYPES = {"github": "github", "github-actions": "github", "vault": "vault"}  # types of tables → provider
_ADDRESSES = ("base_url", "server")
_ALSO = {"github.com": ("githubusercontent.com", "github.io"), "npmjs.org": ("npmjs.com",)}


@dataclass(frozen=True, slots=True)
class ProbeTarget:
    """Where to ask: origins (scheme and host; None: as the probe says). `sure`: a secret that is unknown there is known
    nowhere else. `why`: nothing may be sent anywhere."""

    origins: tuple[str | None, ...] = ()
    sure: bool = True
    why: str = ""


def place_of(probe: Probe, own: str | None, others: Collection[str], lines: Iterable[str]) -> ProbeTarget:
    """`own`: the server that the configuration has for it; `others`: hosts of further ones that it names; `lines`: what
    stood around the secret, with or without it."""
    origins = (own,) if own else (probe.sites or (None,))
    if not probe.elsewhere:
        return ProbeTarget(origins)
    said = spoken_of(probe, lines)
    key = f"verify.servers.{probe.provider}"
    if own:
        home = host_of(own)
        at_home = home in said or (_public(probe, home) and any(_public(probe, host) for host in said))
        strangers = sorted(host for host in said if host != home and not (at_home and _public(probe, host)))
        if strangers:
            return ProbeTarget(sure=False, why=f"it stands with {strangers[0]}, and {key} names another server")
        return ProbeTarget(origins, sure=at_home or not set(others) - {home})
    at_home = any(_public(probe, host) for host in said)
    if strangers := sorted(host for host in said if not _public(probe, host)):
        why = f"it stands with {strangers[0]}, so it may be of a server of its own: name that in {key}"
        return ProbeTarget(sure=False, why=why)
    if not at_home and (known := sorted(host for host in others if not _public(probe, host))):
        why = f"it may be of {known[0]}, which the configuration names, as well as of the public service: set {key}"
        return ProbeTarget(sure=False, why=why)
    return ProbeTarget(origins, sure=at_home or probe.elsewhere == "rarely")


def spoken_of(probe: Probe, lines: Iterable[str]) -> frozenset[str]:
    """Hosts of this product that the lines speak of: logged in to, or with an address that looks like one's."""
    looks = re.compile(probe.own) if probe.own else None
    return frozenset(
        host
        for line in lines
        for host, path, login in _addresses(line[:_LONGEST])
        if login or _public(probe, host) or (looks is not None and looks.search(host + path))
    )


def servers_of(tables: Iterable[Any]) -> Mapping[str, frozenset[str]]:
    """By provider, the hosts that tables of the configuration (sources, inventory) name."""
    found: dict[str, set[str]] = {}
    for table in tables:
        provider = _TYPES.get(getattr(table, "type", ""))
        url = next((text for name in _ADDRESSES if (text := getattr(table, name, None))), None)
        if provider and isinstance(url, str):
            found.setdefault(provider, set()).add(host_of(url))
    return {provider: frozenset(hosts) for provider, hosts in found.items()}


def host_of(url: str) -> str:
    return (urlsplit(url).hostname or "").rstrip(".").lower()


def _addresses(line: str) -> Iterator[tuple[str, str, bool]]:
    """Host, path, and whether somebody logs in there."""
    for found in _URL.finditer(line):
        yield found[2].rstrip(".").lower(), found[3] or "", found[1] is not None
    for found in _NPMRC.finditer(line):
        yield found[1].rstrip(".").lower(), "", True


def _public(probe: Probe, host: str) -> bool:
    urls = (probe.url, *probe.sites) if probe.url.startswith("https://") else probe.sites
    homes = {".".join(host_of(url.replace("{", "").replace("}", "")).split(".")[-2:]) for url in urls}
    return any(host == one or host.endswith(f".{one}") for home in homes for one in (home, *_ALSO.get(home, ())))
