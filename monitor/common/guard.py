"""Where requests may go: what a name stands for is looked up once, judged, and no other address is connected to.

A host may come out of a secret, which whoever wrote the log has chosen: without this it would be a way to make the
monitor speak to machines that only it can reach.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

from monitor.common.http import host_of, loopback, proxy_for

if TYPE_CHECKING:
    from aiohttp.abc import AbstractResolver, ResolveResult
else:
    AbstractResolver = object  # aiohttp asks for its methods alone, and to import it takes a fifth of a start

__all__ = ["ForbiddenError", "Guard", "addresses", "permitted"]

# Where clouds give credentials away beside link-local addresses: AWS by IPv6, Oracle in the block for protocols, Azure
# at a public address. The last may be translated to any of these, each network in a way of its own (RFC 8215).
_NEVER = tuple(map(ipaddress.ip_network, ("fd00:ec2::/32", "192.0.0.0/24", "168.63.129.16/32", "64:ff9b:1::/48")))
# What has an IPv4 address at its end: NAT64's, and "IPv4-compatible" ones, which nobody gives out any more.
_AT_END = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("::/96"))
_REMEMBERED = 1000  # hosts; each is asked for again before it is connected to


class ForbiddenError(Exception):
    """A host that must not be asked. The message names no address."""


def permitted(address: IPv4Address | IPv6Address, *, private: bool) -> bool:
    """Whether an address may be connected to. `private`: this machine and private networks, too; where clouds give
    away credentials never is."""
    if isinstance(address, IPv6Address):
        at_end = not (address.is_loopback or address.is_unspecified) and any(address in one for one in _AT_END)
        ended = IPv4Address(int(address) & 0xFFFFFFFF) if at_end else None
        inner = ended or address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if inner is not None:
            return permitted(inner, private=private)
    special = address.is_link_local or address.is_multicast or address.is_unspecified
    if special or any(address in network for network in _NEVER):
        return False
    if isinstance(address, IPv6Address) and address.is_site_local:  # Python calls them global
        return private
    return address.is_global or (private and (address.is_private or address.is_loopback))


async def addresses(host: str, port: int) -> list[str]:
    """What a name stands for. Raises OSError."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:  # no name at all
        raise OSError("not a host name") from None
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Guard(AbstractResolver):
    """Answers the HTTP client with the addresses that `allow` has judged, and knows no others."""

    def __init__(self) -> None:
        self._allowed: dict[str, list[str]] = {}

    async def allow(self, host: str, port: int, *, private: bool) -> list[str]:
        """Look up and judge a host; returns its addresses. Raises ForbiddenError and OSError (no such name)."""
        bare = host.strip("[]").rstrip(".").lower()
        found = await addresses(bare, port)
        for one in found:
            if not permitted(ipaddress.ip_address(one.partition("%")[0]), private=private):
                raise ForbiddenError("the host stands for an address that is not public, and is not asked")
        self._allowed.pop(bare, None)
        self._allowed[bare] = found
        while len(self._allowed) > _REMEMBERED:
            del self._allowed[next(iter(self._allowed))]
        return found

    async def way(self, url: str, *, private: bool, proxy: str | None = None) -> str | None:
        """The proxy that leads to a URL, else the environment's; None: none does. Judges where the connection goes: a
        proxy, which looks names up and decides by itself, may stand anywhere. Raises ForbiddenError and OSError."""
        proxy, (host, port) = proxy or proxy_for(url), host_of(url)
        if proxy is None:
            await self.allow(host, port, private=private)
            return None
        if loopback(host) and not private:
            raise ForbiddenError("the host is this machine, and is not asked")
        await self.allow(*host_of(proxy), private=True)
        return proxy

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        allowed = self._allowed.get(host.strip("[]").rstrip(".").lower())
        if not allowed:
            raise OSError("not allowed")
        return [
            {
                "hostname": host,
                "host": one,
                "port": port,
                "family": socket.AF_INET6 if ":" in one else socket.AF_INET,
                "proto": 0,
                "flags": socket.AI_NUMERICHOST,
            }
            for one in allowed
        ]

    async def close(self) -> None:
        """Nothing is held."""
