"""Whatever finds secrets does it in one way: the rules, and the values that are known."""

from __future__ import annotations

import base64

import pytest

from detectors.fingerprint import fingerprint
from detectors.match.cost import BlockCost, TooSlowError
from detectors.match.engine import Worker
from detectors.match.exact import Exact, ExactWorker, anchor
from detectors.rules.template import expand
from tests.detectors import texts

KEY = b"k" * 32
TOKEN = expand("ghp_{alnum:30}{crc32}", 5).encode()


@pytest.fixture(scope="module", params=["rules", "values"])
def detector(request: pytest.FixtureRequest) -> Worker | ExactWorker:
    """One that knows of the token."""
    if request.param == "rules":
        return texts.engine("vcs/github").worker()
    return Exact([anchor(TOKEN, fingerprint(KEY, TOKEN), 8, KEY)], KEY).worker()


def test_it_tells_the_value_its_place_and_how_it_was_written(detector: Worker | ExactWorker) -> None:
    written = base64.b64encode(b"token=" + TOKEN + b" for all to see")
    text = b"token=%b refused\nbody=%b\n" % (TOKEN, written)
    for data in (text, bytearray(text), memoryview(text)):
        found = [(one, end) for one, end in detector.decide(data, BlockCost(len(data), None)) if one.accepted]
        assert [one.match.secret for one, _ in found if one.match is not None] == [TOKEN] * 2
        (plain, end), (decoded, _) = sorted(found, key=lambda pair: pair[0].start)
        assert (text[plain.start : plain.end], plain.decode) == (TOKEN, ())
        assert plain.end <= end <= len(text)
        assert decoded.decode == ("base64",)
        assert written[8:40] in text[decoded.start : decoded.end + 4]


def test_it_says_nothing_of_other_text(detector: Worker | ExactWorker) -> None:
    for text in (b"", b"nothing here", TOKEN[:-1] + b"_", TOKEN.swapcase()):
        assert not [one for one, _ in detector.decide(text, BlockCost(len(text), None)) if one.accepted]


def test_it_takes_no_longer_than_it_may(detector: Worker | ExactWorker) -> None:
    text = (TOKEN + b" ") * 1000
    with pytest.raises(TooSlowError):
        detector.decide(text, BlockCost(len(text), -1.0))
