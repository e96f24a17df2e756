"""The examples of all shipped rules in every form that hides a part of a secret: what is masked is masked whole, and no
alert shows a piece."""

from __future__ import annotations

import base64
import functools
import html
import json
import quopri
import re
import zlib
from bisect import bisect_right
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes

import pytest

from detectors.rules.template import expand
from monitor.domain.model import Block
from monitor.scanning.mask import Masker
from monitor.scanning.scanner import Scanner
from tests.detectors.texts import engine, rules, shares

KEY = b"k" * 32
PIECE = 12  # characters that would tell somebody something
# What is left all the same: of values in parts a part that is found by itself, and what goes on behind a sign that ends
# the values of the rule.
AMID = {"google-chat-webhook-url", "wordpress-application-password"}
ENTITY = "adyen-api-key dingtalk-webhook-url dynatrace-token kubernetes-k3s-token mercury-api-token".split()
ENTITY += "microsoft-teams-workflow-url qdrant-management-key rancher-api-token sentry-org-token".split()
ENTITY += ["wechat-work-webhook"]
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
def cases(every: int = 1) -> list[Case]:
    """An example of each so manieth rule with the widest secret that is found in it. Which they are, their ids tell: a
    rule more leaves the others where they are."""
    chosen = [rule for rule in rules() if zlib.crc32(rule.id.encode()) % every == 1 % every]
    examples = [(rule.id, expand(rule.examples[0], 7).encode()) for rule in chosen]
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
    all: list[Case]


def masked(form: Callable[[Case], bytes], every: int) -> Outcome:
    tried = cases(every)
    records = [b"@@%d@@\n%b" % (number, form(case)) for number, case in enumerate(tried)]
    masker = Masker(engine().worker(), KEY)
    out = masker.feed(buffer(records)[0], 1.0) + masker.finish()
    came = {int(one[1]): one[0] for one in re.finditer(rb"@@(\d+)@@\n(?s:.*?)(?=\n@@|\Z)", out)}
    assert len(came) == len(records)
    changed = {case.rule: came[n] for n, case in enumerate(tried) if came[n].rstrip() != (records[n] + GAP).rstrip()}
    return Outcome(changed, {case.rule for case in tried} - changed.keys(), tried)


def left(form: Callable[[Case], bytes], outcome: Outcome) -> set[str]:
    """Rules of whose secret a piece can still be read in what was masked, as it stands or decoded. Where all of it
    stands as it did, another secret of the example was found, and this one not."""
    out = set()
    for case in outcome.all:
        text = LABEL.sub(b"", outcome.masked.get(case.rule, b""))
        pieces = {case.secret[at : at + PIECE] for at in range(max(1, len(case.secret) - PIECE + 1))}
        texts = [text, *(read(text) for read in READ[form])]
        if any(piece in one for piece in pieces for one in texts) and case.secret not in b"\n".join(texts):
            out.add(case.rule)
    return out


def unwrapped(text: bytes) -> bytes:
    """All that its runs of base64 say, whatever they begin in."""
    runs = [re.sub(rb"\s", b"", run[0]) for run in re.finditer(rb"[A-Za-z0-9+/]{2,}(?:\s+[A-Za-z0-9+/]+)*", text)]
    cut = [run[lead:] for run in runs for lead in range(4)]
    return b"\n".join(base64.b64decode(run[: len(run) // 4 * 4]) for run in cut)


def in_base64(case: Case) -> bytes:
    """In lines of 76, the secret in more than one."""
    lead = (30 - case.start) % 57
    text = b"x" * max(0, lead - 1) + b"\n" * (lead > 0) + case.text
    encoded = base64.b64encode(text + b"\n")
    return b"\r\n  ".join(encoded[at : at + 76] for at in range(0, len(encoded), 76))


def in_quoted_printable(case: Case) -> bytes:
    """The secret in two lines."""
    line = case.text.rfind(b"\n", 0, case.start) + 1
    lead = max(0, 75 - min(len(case.secret) // 2, 20) - (case.start - line) % 75)
    return quopri.encodestring(case.text[:line] + b"x" * (lead - 1) + b" " * (lead > 0) + case.text[line:])


def in_percents(case: Case) -> bytes:
    return b"GET /?q=" + quote(case.text, safe="").encode() + b" HTTP/1.1"


def in_entities(case: Case) -> bytes:
    return html.escape(case.text.decode()).encode()


def with_a_percent(case: Case) -> bytes:
    return case.text.replace(case.secret, b"%b%%%02X%b" % halves(case))


def with_an_entity(case: Case) -> bytes:
    return case.text.replace(case.secret, b"%b&#%d;%b" % halves(case))


def halves(case: Case) -> tuple[bytes, int, bytes]:
    middle = len(case.secret) // 2
    return case.secret[:middle], case.secret[middle], case.secret[middle + 1 :]


def entities(text: bytes) -> bytes:
    return html.unescape(text.decode("latin-1")).encode("latin-1", "replace")


def as_value(case: Case) -> bytes:
    return json.dumps({"message": case.text.decode()}).encode()


def as_name(case: Case) -> bytes:
    return json.dumps({case.text.decode(): 12}).encode()


READ: dict[Callable[[Case], bytes], list[Callable[[bytes], bytes]]] = {
    as_value: [],
    as_name: [],
    in_base64: [unwrapped],
    in_quoted_printable: [quopri.decodestring],
    in_percents: [unquote_to_bytes],
    with_a_percent: [unquote_to_bytes],
    in_entities: [entities],
    with_an_entity: [entities],
}


@pytest.mark.parametrize("every", shares(3))
def test_a_name_in_json_is_masked_as_a_value_is(every: int) -> None:
    names, values = masked(as_name, every), masked(as_value, every)
    assert names.missed <= values.missed
    assert not left(as_name, names) | left(as_value, values)
    for text in names.masked.values():
        (value,) = json.loads(text.splitlines()[1]).values()
        assert value == 12


@pytest.mark.parametrize("every", shares(3))
def test_a_token_by_itself_is_masked_as_the_name_of_a_field(every: int) -> None:
    alone = masked(lambda case: json.dumps([case.secret.decode()]).encode(), every)
    name = masked(lambda case: json.dumps({case.secret.decode(): {"auth": ""}}).encode(), every)
    assert name.missed == alone.missed
    assert len(name.masked) >= (200, 650)[every == 1]


@pytest.mark.parametrize("every", shares(3))
@pytest.mark.parametrize(
    ("form", "missed", "halves"),  # missed: of each third rule, of all
    [
        # Of those missed no literal tells where to decode. Of an address of Google's chat the key is found by itself.
        (in_base64, (59, 180), {"calendly-token", "google-chat-webhook-url", "private-key-ssh2"}),
        (in_quoted_printable, (5, 60), {"private-key-ssh2"}),
        (in_percents, (1, 5), set()),
        (in_entities, (14, 110), set()),
        (with_a_percent, (80, 320), {*AMID, "aws-presigned-url"}),  # a sign in a value that no vendor writes so
        (with_an_entity, (92, 400), {*AMID, *ENTITY}),
    ],
)
def test_no_half_of_a_secret_is_left(
    form: Callable[[Case], bytes], missed: tuple[int, int], halves: set[str], every: int
) -> None:
    outcome = masked(form, every)
    assert left(form, outcome) <= halves
    assert len(outcome.missed) <= missed[every == 1]


@pytest.mark.parametrize("every", shares(8))
async def test_no_field_of_a_finding_shows_a_piece_of_a_secret_in_any_form(every: int) -> None:
    """Of each rule's example one form, all forms by turns: base64, quoted-printable, percent, entities, JSON."""
    shapes = (in_base64, in_quoted_printable, in_percents, in_entities, as_name)
    scanner, wrong, shown = Scanner(engine(), KEY), [], 0
    chosen = cases()[::every]
    for first in range(0, len(chosen), 40):  # of more matches in a block the lines are not shown
        some = [(case, shapes[(first + n) % len(shapes)]) for n, case in enumerate(chosen[first : first + 40])]
        data, starts = buffer([shape(case) for case, shape in some])
        for found in await scanner.scan([Block("s", "/p", "g", 0, data, 1.8e9)]):
            case, shape = some[max(0, bisect_right(starts, found.offset) - 1)]
            said = [found.context or "", found.path, found.url or "", found.service or "", *found.labels.values()]
            if case.rule == "aws-access-key-id":  # what stands there in clear is an id
                continue
            text = "\n".join(said).replace(found.masked, "").encode()
            whole = b"\n".join([text, *(read(text) for read in READ[shape])])
            pieces = {case.secret[at : at + PIECE] for at in range(max(1, len(case.secret) - PIECE + 1))}
            shown += found.context is not None
            wrong += [(case.rule, found.rule, shape.__name__)] * any(piece in whole for piece in pieces)
    scanner.close()
    assert shown > 1500 / every
    assert wrong == []
