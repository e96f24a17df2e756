from __future__ import annotations

import pytest

from detectors.match.engine import Worker
from detectors.rules.template import expand
from monitor.domain.model import Block
from monitor.sources.pem import Joiner
from tests.detectors import texts

KEY = expand("-----BEGIN RSA PRIVATE KEY-----\n{base64:64}\n{base64:64}\n{base64:40}\n-----END RSA PRIVATE KEY-----", 3)


@pytest.fixture(scope="module")
def worker() -> Worker:
    return texts.engine().worker()


def record(number: int, text: str, path: str = "app") -> Block:
    return Block("s", path, f"g{number}", 0, text.encode(), 1.0, attributes={"pid": "7"})


@pytest.mark.parametrize(
    "form",
    [
        "{}",
        "<13>1 2026-11-02T22:14:15.003Z web-1 app 77 ID47 - {}",
        "<13>Nov  2 22:14:15 web-1 app[77]: {}",
        '{{"log": "{}\\n", "host": "web-1"}}',
        "2026-11-02 22:14:15,003 INFO app | {}",
    ],
)
def test_a_key_line_by_line_is_seen_whole(worker: Worker, form: str) -> None:
    joiner = Joiner()
    found = []
    for number, line in enumerate(KEY.split("\n")):
        found.append(joiner.feed("a", record(number, form.format(line))))
        assert joiner.feed("b", record(100 + number, form.format("something else happens"))) is None
        assert joiner.feed("a", record(200 + number, form.format("another thread logs in the midst of it."))) is None
    *before, key = found
    assert before == [None] * len(before)
    assert key is not None
    assert (key.path, key.generation, key.attributes) == ("app", "g0-key", {"pid": "7"})
    [match] = worker.scan(bytes(key.data))
    [whole] = worker.scan(f"{KEY}\n".encode())
    assert match.secret == whole.secret
    assert not joiner.open("a")


def test_keys_of_two_programs_are_not_mixed(worker: Worker) -> None:
    other = expand("-----BEGIN RSA PRIVATE KEY-----\n{base64:64}\n-----END RSA PRIVATE KEY-----", 4)
    joiner = Joiner()
    found = []
    for number in range(max(KEY.count("\n"), other.count("\n")) + 1):
        for origin, text in (("a", KEY), ("b", other)):
            found += [joiner.feed(origin, record(number, line)) for line in text.split("\n")[number : number + 1]]
    assert len([key for key in found if key]) == 2
    for key in found:
        assert key is None or worker.scan(bytes(key.data))


def test_what_is_whole_already_and_what_is_no_private_key_is_left_alone() -> None:
    joiner = Joiner()
    for number, text in enumerate((KEY, "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----", "-----END X-----")):
        assert joiner.feed("a", record(number, text)) is None
        assert not joiner.open("a")


def test_a_key_that_does_not_end_takes_little_and_is_forgotten() -> None:
    joiner = Joiner()
    for origin in range(5000):
        joiner.feed(str(origin), record(origin, KEY.split("\n")[0]))
    assert len(joiner._open) <= 256
    for number in range(1000):
        joiner.feed("4999", record(number, "line " + "A" * 76))
    assert not joiner.open("4999")
    joiner.feed("x", record(1, KEY.split("\n")[0]))
    joiner.drop("x")
    assert joiner.feed("x", record(2, KEY.split("\n")[-1])) is None
