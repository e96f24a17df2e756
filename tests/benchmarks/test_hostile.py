from __future__ import annotations

from benchmarks.hostile import once, text, texts
from tests.detectors.texts import rule, worker


def test_each_line_holds_another_value_and_all_of_them_are_found() -> None:
    one = rule(r"\bpassword=(?P<secret>[!-~]{12})\n", placeholders=False)
    made = text(texts([one])["a different password a line, bare"], 1 << 12)
    lines = made.splitlines()[:-1]
    assert len(set(lines)) == len(lines) > 100
    _, told = once(worker(one), made)
    assert f"| {len(lines)} | " in told
    assert once(worker(one), made)[1] == told
