from __future__ import annotations

import time

import pytest

from monitor.common.http import RemoteError
from monitor.sources import entries as module
from monitor.sources.entries import parse, read, target
from tests.monitor.sources.test_feed import GOOGLE, atom


async def test_what_is_read_elsewhere_is_the_same() -> None:
    body = atom(("1", "New \u00e9", "https://x.test/"), ("2", "", "https://y.test/"))
    assert await read(body) == parse(body)
    assert await read(b"neither") is None


@pytest.mark.parametrize("bomb", [b"a." * 60_000, b"<!ENTITY\n" * 20_000])
async def test_it_ends_when_its_time_is_over(monkeypatch: pytest.MonkeyPatch, bomb: bytes) -> None:
    monkeypatch.setattr(module, "SECONDS", 1)
    body = b"<rss version='2.0'><channel><item><author>%s</author></item></channel></rss>"
    with pytest.raises(RemoteError, match="cannot be read within 1 s"):
        await read(body % bomb if bomb[:1] == b"a" else bomb + body % b"")


async def test_it_ends_when_it_takes_too_much_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MEMORY", 48 << 20)
    with pytest.raises(RemoteError, match="and 48 MiB"):
        await read(b"<rss version='2.0'><channel>%s</channel></rss>" % (b"<item><title>a</title></item>" * 20_000))


async def test_it_ends_when_nothing_comes_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DEADLINE", 0.01)
    with pytest.raises(RemoteError, match="takes too long"):
        await read(atom(("1", "New", "https://x.test/")))


def test_rss_works_too_and_entries_without_an_id_are_told_apart() -> None:
    item = "<item><title>{0}</title><link>https://x.test/{0}</link><description>text</description></item>"
    body = f"<rss version='2.0'><channel><title>t</title>{item.format('a')}{item.format('b')}</channel></rss>"
    entries = parse(body.encode())
    assert entries is not None
    assert [entry.id for entry in entries] == ["https://x.test/a", "https://x.test/b"]


def test_entity_bombs_and_external_entities_expand_to_nothing(tmp_path) -> None:
    (tmp_path / "canary").write_text("canary")
    bomb = "".join(f"<!ENTITY e{n} '{f'&e{n - 1};' * 10}'>" for n in range(1, 10))
    body = (
        f"<!DOCTYPE f [<!ENTITY e0 'lol'><!ENTITY x SYSTEM 'file://{tmp_path}/canary'>{bomb}]>"
        "<feed xmlns='http://www.w3.org/2005/Atom'><title>t</title>"
        "<entry><id>1</id><title>&e9; &x;</title></entry></feed>"
    )
    start = time.thread_time()
    entries = parse(body.encode())
    assert time.thread_time() - start < 5
    assert "canary" not in repr(entries)
    assert len(repr(entries)) < 10_000


@pytest.mark.parametrize(
    ("address", "found"),
    [
        (GOOGLE.format("https%3A%2F%2Fpaste.test%2Fa%3Fb"), "https://paste.test/a?b"),
        (GOOGLE.format("javascript:alert(1)"), None),
        ("https://other.test/url?url=https://x.test", "https://other.test/url?url=https://x.test"),
        ("ftp://x.test/", None),
        ("https://user:pass@x.test/", None),
        ("http://[broken", None),
        ("", None),
    ],
)
def test_links_lead_to_the_web_or_nowhere(address: str, found: str | None) -> None:
    assert target(address) == found
