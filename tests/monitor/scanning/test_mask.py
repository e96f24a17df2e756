from __future__ import annotations

import base64
import gzip
import os
import re
import struct
from collections.abc import Sequence
from functools import cache
from itertools import accumulate, pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.fingerprint import fingerprint
from detectors.match.engine import Engine, Match, Pace, Worker
from detectors.match.outcome import ScanResult, Unsearched
from detectors.match.region import Buffer
from detectors.rules.load import load_rules
from detectors.rules.rule import Rule
from detectors.rules.template import expand
from monitor.scanning.mask import ChangedError, Masker, mask_file
from tests.detectors import texts
from tests.detectors.texts import engine, rules, shares

KEY = b"k" * 32


@cache
def worker() -> Worker:
    return texts.engine("vcs/github", "keys/pem").worker()


def token(seed: int) -> bytes:
    return expand("ghp_{alnum:30}{crc32}", seed).encode()


@cache
def pem(seed: int) -> bytes:
    (rule,) = [rule for rule in rules() if rule.id == "private-key-rsa"]
    return expand(rule.examples[0], seed).strip().encode()


def label(rule: str, value: bytes) -> bytes:
    return f"[{rule}:{fingerprint(KEY, value)[:12]}]".encode()


def run(pieces: Sequence[bytes], pause: float, **options: object) -> tuple[bytes, Masker]:
    """Feed `pieces`, `pause` seconds apart by a clock of our own, asking in between as often as the masker wishes."""
    masker = Masker(worker(), KEY, **options)  # type: ignore[arg-type]
    out, now = b"", 100.0
    for piece in pieces:
        out += masker.feed(piece, now)
        until = now + pause
        while (due := masker.due()) is not None and due <= until:
            now = due
            out += masker.release(now)
        now = until
    return out + masker.finish(), masker


@pytest.mark.parametrize(
    "frame", ["2026-03-04T05:06:07.089012345Z stdout F {}\n", '{{"log":"{}\\n","stream":"stdout"}}\n', "web-1  | {}\n"]
)
def test_a_value_in_the_record_after_its_name_is_masked_and_nothing_else(frame: str) -> None:
    value = expand("{alnum:24}", 3)
    pieces = [frame.format(line).encode() for line in ("x", "token: |", f"  {value}", "y")]
    masker = Masker(texts.engine().worker(), KEY)
    out = b"".join(masker.feed(piece, 100.0 + n) for n, piece in enumerate(pieces)) + masker.finish()
    (rule,) = masker.stats.masked
    assert out == b"".join(pieces).replace(value.encode(), label(rule, value.encode()))


@pytest.mark.parametrize("order", ["le", "be"])
@pytest.mark.parametrize("after", [" in use\r\n", ""])
def test_a_text_in_utf_16_stays_one(order: str, after: str) -> None:
    text = f"\ufeffuser=é\r\ntoken = {{}}{after}"
    out, masker = run([text.format(token(1).decode()).encode(f"utf-16-{order}")], 0.0)
    assert out.decode(f"utf-16-{order}") == text.format(label("github-pat", token(1)).decode())
    assert masker.stats.masked == {"github-pat": 1}


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["le", "be"]),
    st.lists(
        st.sampled_from(["token", "pem", "слово ", "日本", "😀", "é ", "a line\r\n", "“", "x"]), min_size=1, max_size=8
    ),
    st.lists(st.integers(1, 400), max_size=40),
    st.sampled_from([0.0, 0.001, 0.02, 0.2]),
)
def test_text_in_utf_16_stays_one_whatever_the_cuts(
    order: str, parts: list[str], cuts: list[int], pause: float
) -> None:
    text = expected = "\ufeff"
    for seed, part in enumerate(parts):
        secret = {"token": token(seed), "pem": pem(seed)}.get(part, b"").decode()
        shown = label("github-pat", token(seed)).decode() if part == "token" else "{pem}"
        text += f"\r\ntoken {secret}\r\n" if secret else part
        expected += f"\r\ntoken {shown}\r\n" if secret else part
    data = text.encode(f"utf-16-{order}")
    edges = [0, *accumulate(cuts), len(data)]
    pieces = [data[low:high] for low, high in pairwise(edges) if data[low:high]]
    out, _ = run(pieces, min(pause, 0.9 / len(pieces)))
    assert re.sub(r"\[private-key-rsa:[0-9a-f]{12}\]", "{pem}", out.decode(f"utf-16-{order}")) == expected


@pytest.mark.parametrize("order", ["le", "be"])
def test_a_secret_in_utf_16_that_is_waited_for_too_long_does_not_put_it_out_of_step(order: str) -> None:
    data = f"token {token(1).decode()}\r\n".encode(f"utf-16-{order}")
    for cut in range(8, 90):
        masker = Masker(worker(), KEY)
        out = masker.feed(data[:cut], 5.0) + masker.release(7.0) + masker.feed(data[cut:], 8.0) + masker.finish()
        text = out.decode(f"utf-16-{order}")
        assert text.endswith(label("github-pat", token(1)).decode() + "\r\n"), cut


@pytest.mark.parametrize("order", ["le", "be"])
def test_a_prompt_in_utf_16_is_not_waited_for(order: str) -> None:
    masker = Masker(worker(), KEY)
    prompt = "Continue? ".encode(f"utf-16-{order}")
    assert masker.feed(prompt, 6.0) + masker.release(6.05) == prompt


def test_each_secret_is_replaced_and_nothing_else() -> None:
    text = b"\x00binary \xff\r\nAuthorization: token " + token(1) + b"\ntail without newline"
    out, masker = run([text], 0.0)
    assert out == text.replace(token(1), label("github-pat", token(1)))
    assert (masker.stats.bytes, dict(masker.stats.masked)) == (len(text), {"github-pat": 1})


def test_a_key_over_many_lines_becomes_one_label() -> None:
    key = pem(3)
    out, _ = run([b"before\n" + key + b"\nafter\n"], 0.0)
    assert re.fullmatch(rb"before\n\[private-key-rsa:[0-9a-f]{12}\]\nafter\n", out)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from(["token", "pem", "word", "line", "long"]), min_size=1, max_size=8),
    st.lists(st.integers(1, 400), max_size=40),
    st.sampled_from([0.0, 0.001, 0.02, 0.2]),
)
def test_whatever_the_cuts_the_output_is_the_input_outside_the_spans(
    parts: list[str], cuts: list[int], pause: float
) -> None:
    text, expected = b"", b""
    for seed, part in enumerate(parts):
        plain = {"word": b"words that mean nothing ", "line": b"a line\n", "long": b"lorem ipsum " * 30 + b"\n"}
        if part == "token":
            text += b"token " + token(seed) + b" end\n"
            expected += b"token " + label("github-pat", token(seed)) + b" end\n"
        elif part == "pem":
            whole, _ = run([pem(seed) + b"\n"], 0.0)
            assert len(whole) < 60
            text += b"\n" + pem(seed) + b"\n"
            expected += b"\n" + whole
        else:
            text += plain[part]
            expected += plain[part]
    pieces, at = [], 0
    for size in cuts:
        pieces.append(text[at : at + size])
        at += size
    pieces.append(text[at:])
    # Never longer than a value may be waited for.
    if pause * len(pieces) > 0.9:
        pause = 0.9 / len(pieces)
    out, _ = run([piece for piece in pieces if piece], pause)
    assert out == expected


def test_a_line_leaves_after_a_few_hundredths_of_a_second_and_a_prompt_at_once_after_them() -> None:
    masker = Masker(worker(), KEY)
    assert masker.feed(b"a line\n", 5.0) == b""
    due = masker.due()
    assert due is not None
    assert 5.0 < due <= 5.05
    assert masker.release(due) == b"a line\n"
    assert masker.due() is None
    assert masker.feed(b"Continue? ", 6.0) + masker.release(6.05) == b"Continue? "


def test_what_may_become_a_secret_waits_a_second_and_no_longer() -> None:
    masker = Masker(worker(), KEY)
    begun = token(1)[:20]
    assert masker.feed(b"token " + begun, 5.0) + masker.release(5.5) == b""
    due = masker.due()
    assert due is not None
    assert masker.release(due) == b"token " + begun
    # The rest does not leave bare for that: what was let go is still known.
    out = masker.feed(token(1)[20:] + b"\n", 7.0) + masker.release(7.1)
    assert out == label("github-pat", token(1)) + b"\n"


def test_what_is_held_is_bounded() -> None:
    masker = Masker(worker(), KEY)
    out = b"".join(masker.feed(b"x" * (1 << 18), 1.0) for _ in range(12))
    assert len(out) >= 2 << 20


def test_what_is_not_wanted_stays() -> None:
    text = b"token " + token(1) + b"\n"
    assert run([text], 0.0, wanted=lambda match: False)[0] == text


class Slow(Worker):
    """It meets text it cannot bear: at once, or when it looks again at what was masked."""

    def __init__(self) -> None:
        super().__init__(worker().engine)

    def search(
        self, data: Buffer, fresh: int = 0, limit: int | None = None, pace: Pace | None = None, head: bytes = b""
    ) -> ScanResult:
        text = bytes(data)
        if b"hostile" in text or (b"later" in text and b"[github-pat:" in text):
            return ScanResult([], unsearched=[Unsearched(0, len(text), "slow")])
        return super().search(data, fresh, limit, pace, head)


@pytest.mark.parametrize(("fail_open", "expected"), [(False, b"[withheld: 8 bytes]\n"), (True, b"hostile\n")])
def test_what_cannot_be_scanned_is_withheld_or_let_through_and_counted(fail_open: bool, expected: bytes) -> None:
    masker = Masker(Slow(), KEY, fail_open=fail_open)
    assert masker.feed(b"hostile\n", 1.0) + masker.finish() == expected
    assert (masker.stats.withheld, masker.stats.unscanned) == ((0, 8) if fail_open else (8, 0))


@pytest.mark.parametrize("fail_open", [False, True])
def test_nor_does_what_cannot_be_looked_at_again(fail_open: bool) -> None:
    text = b"later " + token(1) + b"\n"
    masker = Masker(Slow(), KEY, fail_open=fail_open)
    masked = text.replace(token(1), label("github-pat", token(1)))
    wanted = masked if fail_open else b"[withheld: %d bytes]\n" % len(masked)
    assert masker.feed(text, 1.0) + masker.finish() == wanted


def test_files_are_masked_in_their_place(tmp_path: Path) -> None:
    path = tmp_path / "transcript.jsonl"
    path.write_bytes(b'{"msg":"token ' + token(1) + b'"}\n{"n":1}\n')
    path.chmod(0o640)
    link = tmp_path / "link"
    link.symlink_to(path)
    before = path.stat()
    mask_file(link, lambda: Masker(worker(), KEY))
    assert path.read_bytes() == b'{"msg":"token ' + label("github-pat", token(1)) + b'"}\n{"n":1}\n'
    assert (path.stat().st_mode, path.stat().st_uid) == (before.st_mode, before.st_uid)
    assert link.is_symlink()
    assert sorted(os.listdir(tmp_path)) == ["link", "transcript.jsonl"]


def test_a_file_that_is_written_to_meanwhile_is_left(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"token " + token(1) + b"\n")

    def writes(match: Match) -> bool:
        with path.open("ab") as file:
            file.write(b"more\n")
        return True

    with pytest.raises(ChangedError):
        mask_file(path, lambda: Masker(worker(), KEY, wanted=writes))
    assert token(1) in path.read_bytes()
    assert os.listdir(tmp_path) == ["log"]


def test_a_file_without_secrets_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"nothing here\n")
    before = path.stat()
    mask_file(path, lambda: Masker(worker(), KEY))
    assert path.stat().st_ino == before.st_ino


@pytest.mark.parametrize("every", shares(2))
def test_nothing_is_found_in_what_was_masked_and_no_label_is_taken_for_a_secret(every: int) -> None:
    chosen = [rule for rule in rules() if rule.family in ("generic", "database", "secrets", "vcs", "cloud", "keys")]
    everything = engine().worker()
    for rule in chosen[::every]:
        for template in rule.examples[:2]:
            masker = Masker(everything, KEY)
            # A full line that ends in `=` may go on in the next one, as in quoted-printable; not in an empty one.
            out = masker.feed(b"start\n" + expand(template, 5).encode() + b"\n\nend\n", 1.0) + masker.finish()
            assert [match.rule.id for match in everything.scan(out)] == [], rule.id
            assert out.startswith(b"start\n"), rule.id
            assert out.endswith(b"\n\nend\n"), rule.id


def test_what_is_found_beside_a_mask_is_masked_in_turn_and_not_withheld() -> None:
    both = "baidu-ai-secret-key", "made-with"
    [baidu] = [rule for rule in load_rules(("cloud/baidu",)) if rule.id == both[0]]
    between = r"""(?:["'][^"'\n]{1,100}["'],\s?){0,2}["'](?P<secret>[A-Za-z0-9][A-Za-z0-9/_=+.~-]{19,199})["']\s?[,)]"""
    call = r"""(?:\bnew [A-Z]\w{1,60}\(|[=(,:]\s?[A-Z]\w{2,40}\(|\b[A-Z]\w{2,40}\(["'][^"'\n]{1,100}["'],\s?)"""
    made = Engine.build([baidu, Rule(both[1], "Made with it", pattern=call + between, severity="low", priority=5)])
    for template in baidu.examples[:2]:
        masker = Masker(made.worker(), KEY)
        masked = masker.feed(expand(template, 5).encode() + b"\n\nend\n", 1.0) + masker.finish()
        assert masked.endswith(b"\n\nend\n")
        assert masker.stats.masked == dict.fromkeys(both, 1)
        assert not masker.stats.withheld


def access_list(*entries: tuple[int, int, int]) -> bytes:
    """As the kernel keeps it: what each is for (1 owner, 2 user, 4 group, 16 most, 32 others), rights, and who."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", kind, rights, who) for kind, rights, who in entries)


def test_nobody_else_may_read_a_masked_file(tmp_path: Path) -> None:
    all_ = 0xFFFFFFFF
    listed = access_list((1, 6, all_), (2, 4, 65534), (4, 0, all_), (16, 4, all_), (32, 0, all_))
    folder, path, other = tmp_path / "logs", tmp_path / "logs/with", tmp_path / "logs/without"
    folder.mkdir()
    for one in (path, other):
        one.write_bytes(b"token " + token(9) + b"\n")
        one.chmod(0o640)
    try:
        os.setxattr(path, "system.posix_acl_access", listed)  # the group may read nothing, whatever the mode says
        os.setxattr(folder, "system.posix_acl_default", listed)
        os.setxattr(path, "user.origin", b"web-1")
    except OSError:
        pytest.skip("a file system without access lists")
    for one in (path, other):
        assert mask_file(one, lambda: Masker(worker(), KEY)).masked
    assert os.getxattr(path, "system.posix_acl_access") == listed
    assert os.getxattr(path, "user.origin") == b"web-1"
    assert (os.listxattr(other), other.stat().st_mode & 0o777) == ([], 0o640)


def test_what_was_not_decoded_for_its_size_is_withheld_or_counted() -> None:
    hidden = base64.b64encode(b"token: " + token(4) + b" and so on")
    packed = base64.b64encode(gzip.compress(bytes(1 << 21), mtime=0))
    text = b"".join(b"%d %b\n" % (number, packed) for number in range(3)) + b"x " + hidden + b"\n"
    out, masker = run([text], 0.0)
    assert hidden not in out
    assert out.startswith(b"0 [withheld: ")
    assert masker.stats.withheld >= len(packed)
    _, masker = run([text], 0.0, fail_open=True)
    assert (masker.stats.withheld, masker.stats.unscanned >= len(packed)) == (0, True)


def test_masked_is_all_that_overlaps_whatever_rule_is_told() -> None:
    own = texts.rule(r"ghp_(?P<secret>[A-Za-z0-9]{8})[A-Za-z0-9]{28}", id="own", priority=900, severity="low")
    everything = Engine.build([*(one for one in rules() if one.id == "github-pat"), own]).worker()
    masker = Masker(everything, KEY)
    out = masker.feed(b"token " + token(5) + b" end\n", 1.0) + masker.finish()
    assert out == b"token " + label("own", token(5)[4:12]) + b" end\n"
    masker = Masker(everything, KEY, wanted=lambda match: match.severity != "low")
    out = masker.feed(b"token " + token(5) + b" end\n", 1.0) + masker.finish()
    assert out == b"token " + label("github-pat", token(5)) + b" end\n"


@pytest.mark.parametrize(
    ("begin", "row"),
    [
        (b"id,login,password\n", "%d,user-%04d-of-the-department-of-many-other-departments,%s\n"),
        (
            b"INSERT INTO users (id, login, password) VALUES\n",
            "(%d, 'user %04d of the department of many other departments', '%s'),\n",
        ),
    ],
)
def test_rows_of_a_table_are_masked_however_far_behind_the_names_of_its_columns(begin: bytes, row: str) -> None:
    values = [expand("{alnum:20}", seed) for seed in range(550)]
    rows = [(row % (number, number, value)).encode() for number, value in enumerate(values)]
    masker = Masker(engine().worker(), KEY)
    out = masker.feed(begin, 0.0)
    for number in range(0, len(rows), 200):
        out += masker.feed(b"".join(rows[number : number + 200]), float(number))
    out += masker.finish()
    assert len(b"".join(rows)) > 40_000
    assert [value for value in values if value.encode() in out] == []
