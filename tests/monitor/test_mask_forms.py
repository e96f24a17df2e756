"""The examples of all shipped rules in every form that hides a part of a secret: what is masked is masked whole."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable
from typing import NamedTuple

from detectors.rules.template import expand
from monitor.mask import Masker
from tests.detectors.texts import engine, rules

KEY = b"k" * 32
PIECE = 12  # characters that would tell somebody something
# Passwords without a form of their own: what tells them is that nothing but quotes follows.
TO_THE_END = {"generic-typographic", "generic-column-last", "generic-plain-cjk", "passwords-of-users"}
LABEL = re.compile(rb"\[[a-z0-9.-]+:[0-9a-f]{12}\]")
GAP = b"\n" + b"lorem ipsum dolor sit amet\n" * 12


class Case(NamedTuple):
    rule: str
    text: bytes
    start: int  # of the secret in it
    secret: bytes


def buffer(records: list[bytes]) -> tuple[bytes, list[int]]:
    """All in one, far enough apart, and where each begins: a look at each by itself would cost many times as much."""
    starts, size = [], 0
    for record in records:
        starts.append(size)
        size += len(record) + len(GAP)
    return GAP.join([*records, b""]), starts


@functools.cache
def cases() -> list[Case]:
    """An example of each rule with the widest secret that is found in it."""
    examples = [(rule.id, expand(rule.examples[0], 7).encode()) for rule in rules()]
    data, starts = buffer([text for _, text in examples])
    widest: dict[int, tuple[int, int]] = {}
    at = 0
    for match in engine().worker().scan(data):
        while at + 1 < len(starts) and starts[at + 1] <= match.start:
            at += 1
        low, high = widest.get(at, (0, 0))
        if match.end - match.start > high - low:
            widest[at] = match.start - starts[at], match.end - starts[at]
    return [Case(*examples[n], low, examples[n][1][low:high]) for n, (low, high) in widest.items()]


class Outcome(NamedTuple):
    """Of a form: by rule what came out, of those that were masked, and the rules of which nothing was."""

    masked: dict[str, bytes]
    missed: set[str]


def masked(form: Callable[[Case], bytes]) -> Outcome:
    records = [b"@@%d@@\n%b" % (number, form(case)) for number, case in enumerate(cases())]
    masker = Masker(engine().worker(), KEY)
    out = masker.feed(buffer(records)[0], 1.0) + masker.finish()
    came = {int(one[1]): one[0] for one in re.finditer(rb"@@(\d+)@@\n(?s:.*?)(?=\n@@|\Z)", out)}
    assert len(came) == len(records)
    changed = {case.rule: came[n] for n, case in enumerate(cases()) if came[n].rstrip() != (records[n] + GAP).rstrip()}
    return Outcome(changed, {case.rule for case in cases()} - changed.keys())


def left(outcome: Outcome) -> set[str]:
    """Rules of whose secret a piece can still be read in what was masked."""
    out = set()
    for case in cases():
        text = LABEL.sub(b"", outcome.masked.get(case.rule, b""))
        pieces = (case.secret[at : at + PIECE] for at in range(max(1, len(case.secret) - PIECE + 1)))
        if any(piece in text for piece in pieces):
            out.add(case.rule)
    return out


def as_value(case: Case) -> bytes:
    return json.dumps({"message": case.text.decode()}).encode()


def as_name(case: Case) -> bytes:
    return json.dumps({case.text.decode(): 12}).encode()


def test_a_name_in_json_is_masked_as_a_value_is() -> None:
    names, values = masked(as_name), masked(as_value)
    assert names.missed - values.missed <= TO_THE_END
    assert not left(names) | left(values)
    for text in names.masked.values():
        (value,) = json.loads(text.splitlines()[1]).values()
        assert value == 12


def test_a_token_by_itself_is_masked_as_the_name_of_a_field() -> None:
    alone = masked(lambda case: json.dumps([case.secret.decode()]).encode())
    name = masked(lambda case: json.dumps({case.secret.decode(): {"auth": ""}}).encode())
    assert name.missed == alone.missed
    assert len(name.masked) >= 680
