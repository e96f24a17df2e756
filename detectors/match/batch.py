"""Verdicts on many values of a rule at once, as in text in which every few bytes are another one.

What filters ask of each is asked of all together, and what values have in common (the name before them, the lines
around them, how the rule weighs what stands there) is made once. Where something unusual is about a value nothing is
said; the judge, who says the same of each by itself, has these.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import accumulate

from detectors.match import doubt, score
from detectors.match.chosen import maybe_chosen
from detectors.match.filters import suspects, words
from detectors.match.judge import BEFORE, Judge, Verdict, no
from detectors.match.place import company, nearby, place
from detectors.match.region import Buffer
from detectors.match.tables import elsewhere
from detectors.match.weak import may_be

__all__ = ["verdicts"]

_BLANK = b" \t\"'`"


def verdicts(judge: Judge, data: Buffer, spans: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int, Verdict]]:
    """Begin and end of values, and what the rule says to them, of those at `spans`, which are disjoint and by
    position."""
    base = max(0, spans[0][0] - doubt.BACK)
    text = bytes(data[base : spans[-1][1] + doubt.AHEAD])
    places = [(start - base, end - base) for start, end in spans]
    values = [text[start:end] for start, end in places]
    before = [text[max(0, start - score.BACK) : start] for start, _ in places]
    after = [text[end : end + score.AHEAD] for _, end in places]
    nearest = [left[-BEFORE:] for left in before]
    worded, suspect = suspects(values, nearest)
    near = nearby([b"%b\n%b" % sides for sides in zip(before, after, strict=True)])
    # Step by step, and not value by value: the processor has what each takes at hand.
    numbered = [*enumerate(values)]
    refused = {n: refusal for n, value in numbered if (refusal := judge.by_itself(value, before[n]))}
    refused |= {n: no("words") for n in worded - refused.keys() if words(values[n], nearest[n])}
    looks = {n: judge.by_looks(values[n], nearest[n]) for n in suspect - refused.keys()}
    refused |= {n: refusal for n, refusal in looks.items() if refusal is not None}
    rest = [n for n, _ in numbered if n not in refused]
    refused |= {n: no("column") for n in rest if elsewhere(before[n], after[n])}
    rest = [n for n in rest if n not in refused]
    where = {n: place(before[n], after[n]) for n in rest}
    picked = maybe_chosen(values)
    rest = [n for n in rest if not (where[n].repeated(values[n]) or (n in picked and where[n].holds_chosen(values[n])))]
    beside = {n: where[n].features + (company(before[n], after[n]) if n in near else ()) for n in rest}
    weights = {n: _weighed(beside[n], judge.kinds) for n in rest}
    own = {n: score.of_value(values[n]) for n in rest}
    odds = {n: weights[n][0].total(own[n]) for n in rest}
    sure = {n: score.confidence_by(odds[n], values[n]) for n in rest}
    if judge.rule.confidence == "low":
        sure = {n: one and "low" for n, one in sure.items()}
    lines = _Lines(text)
    around = {n: lines.around(*places[n]) for n in rest if sure[n] in {"high", "medium"}}
    refused |= {n: no("score") for n in rest if sure[n] is None}
    for n in rest:
        value, left, confidence = values[n], before[n], sure[n]
        if confidence is None or left.endswith(b"PASS: ") or not left[left.rfind(b"\n") + 1 :].strip(_BLANK):
            continue  # see `aside`
        if n in around and doubt.by_name(left, not around[n]):
            confidence = "low"
        if confidence == "high" and doubt.at_most(value, left, judge.kinds, beside[n] if around[n] else ()):
            confidence = "medium"
        if confidence != "low" and around[n]:
            weighed = weights[n][1].total({**own[n], **around[n], "score": doubt.clipped(odds[n])})
            confidence = doubt.remains(confidence, score.probability(weighed), around[n])
        yield *spans[n], judge.accepted(value, confidence)
    for n, refusal in refused.items():
        if not may_be(refusal.stage, values[n]):
            yield *spans[n], refusal


@lru_cache(maxsize=256)
def _weighed(features: tuple[str, ...], rule: tuple[str, ...]) -> tuple[score.Weighing, score.Weighing]:
    """How the score and doubt weigh what else there is of a value in such a place."""
    return score.weighing().given(features), doubt.given(features, rule)


class _Lines:
    """Of a text, for all values in it."""

    def __init__(self, text: bytes) -> None:
        self._text, self._parts = text, text.split(b"\n")
        self._begins = [0, *accumulate(len(part) + 1 for part in self._parts)]
        self._lines = doubt.Lines(self._parts)

    def around(self, start: int, end: int) -> dict[str, float]:
        """`surroundings` of what stands there."""
        text, begins = self._text, self._begins
        low, high = max(0, start - doubt.BACK), min(len(text), end + doubt.AHEAD)
        own = bisect_right(begins, start) - 1
        first, last = max(0, own - doubt.NEAR), min(len(self._parts), own + 1 + doubt.NEAR)
        begin, behind = begins[own], begins[own + 1] - 1
        # Where a line is cut, or there is none, it takes a look of its own.
        if begins[first] < low or begins[last] - 1 > high or behind < end or first + 1 == last:
            return doubt.surroundings(text[start:end], text[low:start], text[end:high])
        value, left, right = text[start:end], text[begin:start], text[end:behind]
        above = self._parts[own - 1] if own else b""
        below = self._parts[own + 1] if own + 1 < last else b""
        if doubt.event(above, left, right, below):
            return {}
        twice = text.find(value, low, start) >= 0 or text.find(value, end, high) >= 0
        shape = self._lines.shapes[own] if behind - begin <= doubt.WIDE and len(value) <= 80 else None
        return self._lines.around(
            value, (left, right), slice(first, own), slice(own + 1, last), twice=twice, shape=shape
        )
