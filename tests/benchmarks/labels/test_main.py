"""What findings come to against labels."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.labels.__main__ import LOGS, Judged, behind_others, compare, rules, table
from detectors.rules.template import expand
from tests.detectors import texts


def place(text: str, *labels: tuple[str, str], **more: Any) -> Judged:
    spans = tuple((text.index(value), text.index(value) + len(value), {"kind": kind, **more}) for kind, value in labels)
    return Judged(text, 0, len(text), spans)


def test_findings_are_counted_by_level_and_by_what_the_labels_say() -> None:
    token, other = (expand("ghp_{alnum:30}{crc32}", seed) for seed in (1, 2))
    worker = texts.engine().worker()
    counted = compare(
        [
            place(f"ümlaut token={token}", ("secret", token)),
            place(f"at {other}"),
            place(f"at {other} again", ("stand-in", other[8:12])),
            place(f"maybe {token}", ("unsure", token)),
            place("told of hunter2", ("secret", "hunter2")),
            place("an id, AK…", ("secret", "AK…"), id=True),
            place("nothing here"),
        ],
        rules(worker),
    )
    assert list(table(counted)) == [
        "high   high or critical 33 % right: secret 1, stand-in 1, nothing 1, unsure 1",
        "found 1 of 2 secrets; 33 % right in all, F1 40",
    ]


def test_without_findings_there_is_no_share() -> None:
    assert list(table(compare([], rules(texts.engine().worker())))) == ["found 0 of 0 secrets; 0 % right in all, F1 0"]


def test_of_a_file_only_what_was_labelled_counts() -> None:
    token = expand("ghp_{alnum:30}{crc32}")
    text = f"# ü\na = {token}\nb = {token}\n"
    line = text.index("b =")
    counted = compare([Judged(text, line, len(text) - 1, ())], rules(texts.engine().worker()))
    assert [*counted.items()] == [(("high or critical", "high", "nothing"), 1)]


def test_a_line_of_a_committed_log_is_searched_with_those_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = expand("{hex:64}")
    origin = {"origin": "o/r", "registry": "git", "members": [{"glob": "a.log", "product": "o/r"}]}
    label = {"start": 0, "end": 64, "kind": "secret"}
    digest = hashlib.sha256(key.encode()).hexdigest()[:16]
    place = {"origin": "o/r", "path": "a.log", "line": 3, "sha256": digest, "sealed": False, "labels": [label]}
    (tmp_path / "origins-committed.jsonl").write_text(json.dumps(origin) + "\n")
    (tmp_path / "labels-committed.jsonl").write_text(json.dumps(place) + "\n")
    (tmp_path / "o/r").mkdir(parents=True)
    (tmp_path / "o/r/a.log").write_text(f"[init] begins\n[upload-certs] Using certificate key:\r\n{key}\r\nends\n")
    monkeypatch.setenv("REPOSITORIES", str(tmp_path))
    (one,) = behind_others(False, tmp_path)
    assert one.text[one.start : one.end] == key
    assert next(table(compare([one], rules(texts.engine().worker())))).startswith("medium high or critical 100 % right")
    assert not [*behind_others(True, tmp_path)]


def test_what_is_named_as_logs_are_is_one() -> None:
    assert all(map(LOGS.search, "a/x.log y.LOG.1.gz test/z.out build-log.txt events.ndjson x.stderr".split()))
    assert not any(map(LOGS.search, "changelog.txt log.py catalog.xml logs/readme.md x.logic dialogs.json".split()))
