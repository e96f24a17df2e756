from __future__ import annotations

import ipaddress

import pytest

from monitor.common import guard as module
from monitor.common.guard import ForbiddenError, Guard, addresses, permitted


@pytest.mark.parametrize(
    ("address", "public", "private"),
    [
        ("8.8.8.8", True, True),
        ("2606:4700::1111", True, True),
        ("127.0.0.1", False, True),
        ("::1", False, True),
        ("10.1.2.3", False, True),
        ("192.168.0.1", False, True),
        ("172.16.0.1", False, True),
        ("fd00::1", False, True),
        ("169.254.169.254", False, False),  # where clouds give credentials away
        ("192.0.0.192", False, False),
        ("fd00:ec2::254", False, False),
        ("::ffff:192.0.0.192", False, False),
        ("fe80::1", False, False),
        ("0.0.0.0", False, False),
        ("::", False, False),
        ("224.0.0.1", False, False),
        ("::ffff:127.0.0.1", False, True),
        ("::ffff:169.254.169.254", False, False),
        ("64:ff9b::a9fe:a9fe", False, False),
        ("64:ff9b::808:808", True, True),
        ("64:ff9b:1::a9fe:a9fe", False, False),
        ("64:ff9b:1:a9fe:a9:fe00::", False, False),
        ("64:ff9b:1::808:808", False, False),  # where in it an address stands is each network's own affair
        ("168.63.129.16", False, False),  # public by its number, of Azure's hosts alone
        ("::ffff:168.63.129.16", False, False),
        ("fec0::1", False, True),
        ("feff::1", False, True),
        ("::169.254.169.254", False, False),
        ("::127.0.0.1", False, True),
        ("::10.0.0.1", False, True),
        ("::8.8.8.8", True, True),
        ("2002:a00:1::", False, True),
        ("2002:a9fe:a9fe::", False, False),
    ],
)
def test_which_addresses_may_be_connected_to(address: str, public: bool, private: bool) -> None:
    one = ipaddress.ip_address(address)
    assert permitted(one, private=False) is public
    assert permitted(one, private=True) is private


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "2130706433", "0x7f.1", "localhost", "localhost.", "127.1"])
async def test_this_machine_is_known_by_all_its_names(host: str) -> None:
    with pytest.raises(ForbiddenError):
        await Guard().allow(host, 443, private=False)


async def test_what_was_judged_is_what_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [["8.8.8.8"], ["127.0.0.1"]]

    async def turns(host: str, port: int) -> list[str]:
        return answers.pop(0)

    monkeypatch.setattr(module, "addresses", turns)
    guard = Guard()
    await guard.allow("api.Example.org", 443, private=False)
    # Another answer to the same question would now be this machine: nobody asks it.
    assert [found["host"] for found in await guard.resolve("api.example.org", 443)] == ["8.8.8.8"]
    with pytest.raises(OSError, match="not allowed"):
        await guard.resolve("other.example.org", 443)
    with pytest.raises(ForbiddenError):
        await guard.allow("api.example.org", 443, private=False)


async def test_one_forbidden_address_among_others_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    async def mixed(host: str, port: int) -> list[str]:
        return ["8.8.8.8", "10.0.0.1"]

    monkeypatch.setattr(module, "addresses", mixed)
    with pytest.raises(ForbiddenError):
        await Guard().allow("api.example.org", 443, private=False)


async def test_a_flood_of_hosts_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """They come out of logs, and the daemon keeps one guard for as long as it runs."""

    async def public(host: str, port: int) -> list[str]:
        return ["8.8.8.8"]

    monkeypatch.setattr(module, "addresses", public)
    monkeypatch.setattr(module, "_REMEMBERED", 3)
    guard = Guard()
    for host in ("a", "b", "a", "c", "d"):
        await guard.allow(host, 443, private=False)
    for host in ("a", "c", "d"):
        assert await guard.resolve(host, 443)
    with pytest.raises(OSError, match="not allowed"):
        await guard.resolve("b", 443)


async def test_a_name_that_is_none_is_no_crash() -> None:
    for host in ("a..b", "x" * 300):
        with pytest.raises(OSError):
            await addresses(host, 443)
    assert await addresses("127.0.0.1", 1) == ["127.0.0.1"]
