from __future__ import annotations

import pytest

from monitor.clients.storage import REDIRECTS, Storage, StorageError
from tests.fakes.server import FakeServer, Fault


async def read(address: str, *, private: bool = True, clear: bool = True) -> bytes:
    storage = Storage(private=private, clear=clear)
    try:
        async with storage.open(address) as pieces:
            return b"".join([piece async for piece in pieces])
    finally:
        await storage.close()


async def test_what_lies_there_is_read_without_any_log_in() -> None:
    async with FakeServer() as server:
        server.faults.extend([Fault(302, {"Location": "/there?sig=a%2Fb"}), Fault(200, body="x" * 100_000)])
        assert await read(f"{server.url}/here?sig=a%2Fb%3D") == b"x" * 100_000
    first, second = server.requests
    assert (first.path, second.path) == ("/here?sig=a%2Fb%3D", "/there?sig=a%2Fb")
    assert not {"Authorization", "Cookie", "Referer"} & {*first.headers, *second.headers}


@pytest.mark.parametrize(
    ("address", "private", "clear", "said"),
    [
        ("http://127.0.0.1:1/log?sig=canary", True, False, "not encrypted"),
        ("https://127.0.0.1:1/log?sig=canary", False, True, "not public"),
        ("https://10.1.2.3/log?sig=canary", False, False, "not public"),
        ("http://169.254.169.254/log?sig=canary", True, True, "not public"),
        ("https://canary.invalid/log?sig=canary", True, True, "cannot be resolved"),
        ("https://u:canary@127.0.0.1/", True, True, "or a user"),
        ("https:///canary", True, True, "names no host"),
        ("canary", True, True, "not encrypted"),
        ("http://[canary", True, True, "none of the web"),
        ("https://127.0.0.1:1/canary", True, True, "cannot connect"),
    ],
)
async def test_what_leads_astray_is_not_asked_and_no_error_says_where(
    address: str, private: bool, clear: bool, said: str
) -> None:
    with pytest.raises(StorageError, match=said) as caught:
        await read(address, private=private, clear=clear)
    assert "canary" not in str(caught.value)


async def test_a_redirect_is_judged_as_the_first_address_is_and_there_are_few_of_them() -> None:
    async with FakeServer() as server:
        for where, said in (("http://169.254.169.254/", "not public"), ("ftp://x/", "not encrypted")):
            server.faults.append(Fault(307, {"Location": where}))
            with pytest.raises(StorageError, match=said):
                await read(server.url)
        server.faults.clear()
        server.always = Fault(302, {"Location": "/again"})
        with pytest.raises(StorageError, match=f"more than {REDIRECTS}"):
            await read(server.url)


@pytest.mark.parametrize(("fault", "status"), [(Fault(403, body="canary"), 403), (Fault(cut=True), 0)])
async def test_its_refusal_is_named_by_its_status(fault: Fault, status: int) -> None:
    async with FakeServer() as server:
        server.faults.append(fault)
        with pytest.raises(StorageError) as caught:
            await read(server.url)
    assert caught.value.status == status
    assert "canary" not in str(caught.value)
