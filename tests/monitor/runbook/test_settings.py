from __future__ import annotations

from pathlib import Path

import pytest

from monitor.config.config import parse
from monitor.config.locate import ConfigError
from monitor.runbook.progress import Rung
from monitor.site import check_books

SINKS = "[[sinks]]\nname='chat'\ntype='console'\n[[sinks]]\nname='pager'\ntype='console'\n"


def problems(text: str) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        parse(SINKS + text)
    return {problem.key: problem.message for problem in caught.value.problems}


def test_without_a_word_high_incidents_start_and_those_who_know_are_told_once() -> None:
    procedure = parse(SINKS).procedure
    assert procedure.start_at == "high"
    assert procedure.ladder == (Rung(),)
    book = procedure.book("aws-key")
    assert book is not None
    assert book.name == "aws-key"


def test_the_ladder_is_in_the_order_of_its_times() -> None:
    text = """
[runbook]
start_at = "never"
[[escalation]]
after = "10m"
sinks = ["pager"]
severity = "critical"
matchers = ['severity="high"']
[[escalation]]
"""
    procedure = parse(SINKS + text).procedure
    assert procedure.start_at is None
    first, second = procedure.ladder
    assert (first.after, first.sinks, first.severity) == (0.0, None, None)
    assert (second.after, second.sinks, second.severity) == (600.0, ("pager",), "critical")
    assert [str(matcher) for matcher in second.matchers] == ['severity="high"']


def test_mistakes_are_told_with_their_keys() -> None:
    found = problems("[runbook]\nstart_at='hgih'\nfodler='x'\n[[escalation]]\nsinks=['pagr']\nafter='soon'")
    assert set(found) == {"runbook.start_at", "runbook.fodler", "escalation[0].sinks[0]", "escalation[0].after"}
    assert 'did you mean "pager"?' in found["escalation[0].sinks[0]"]


def test_books_of_ones_own_are_checked_where_the_configuration_is(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    config = parse("[runbook]\nfolder = 'books'\n", path)
    assert config.runbook.folder == tmp_path / "books"
    with pytest.raises(ConfigError, match=r"runbook\.folder: there is no such folder"):
        check_books(config)
    (tmp_path / "books").mkdir()
    check_books(config)
    (tmp_path / "books" / "ours.toml").write_text('title = "T"\nfirst_step = "F."\nwhere = "W"\n[[step]]\nid = "new"\n')
    with pytest.raises(ConfigError, match=r"ours\.toml: step\[0\]\.title: missing"):
        check_books(config)
    check_books(parse(""))
