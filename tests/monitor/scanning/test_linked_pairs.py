from __future__ import annotations

from collections.abc import Iterator

import pytest

from detectors.match.engine import Engine
from detectors.rules.template import expand
from monitor.domain.model import Block, Finding
from monitor.scanning.scanner import Scanner
from tests.detectors import texts

BOTH = "aws_access_key_id = {aws-id:AKIA} aws_secret_access_key = {base64:40}"


@pytest.fixture(scope="module")
def scanner() -> Iterator[Scanner]:
    scanner = Scanner(Engine.build([rule for rule in texts.rules() if rule.id.startswith("aws-")]), b"k" * 32)
    yield scanner
    scanner.close()


async def findings(scanner: Scanner, text: str) -> list[Finding]:
    return await scanner.scan([Block("s", "/p", "g", 0, text.encode(), 1.8e9)])


async def test_an_id_and_its_secret_are_one_with_the_id_whole(scanner: Scanner) -> None:
    text = expand(BOTH, 3)
    id_, secret = text.split()[2], text.split()[-1]
    (found,) = await findings(scanner, f"{text}\n")
    assert found.rule == "aws-secret-access-key"
    assert found.labels["access_key_id"] == id_
    assert secret not in repr(found)
    (packed,) = await findings(scanner, '{"log":"' + text.replace(" = ", '=\\"').replace(" ", '\\" ') + '\\"\\n"}\n')
    assert packed.labels["access_key_id"] == id_


async def test_an_id_alone_is_told_and_far_ones_are_no_pair(scanner: Scanner) -> None:
    (alone,) = await findings(scanner, expand("key {aws-id:AKIA}\n", 1))
    assert alone.rule == "aws-access-key-id"
    assert alone.labels["access_key_id"].startswith("AKIA")
    far = await findings(scanner, expand("{aws-id:AKIA} " + "x y " * 200 + "aws_secret_access_key = {base64:40}\n", 4))
    assert [one.rule for one in far] == ["aws-access-key-id", "aws-secret-access-key"]
    assert "access_key_id" not in far[1].labels


async def test_each_secret_takes_the_id_next_to_it(scanner: Scanner) -> None:
    texts = [expand(BOTH, seed) for seed in (5, 6)]
    found = await findings(scanner, f"{texts[0]}\n{'x y ' * 20}\n{texts[1]}\n")
    assert [one.labels["access_key_id"] for one in found] == [text.split()[2] for text in texts]
