from __future__ import annotations

import time
from pathlib import Path

from monitor.intake.ledger import STATE, Ledger, place, total
from monitor.sources.file.source import FileConfig, FileSource
from monitor.sources.journal.config import JournalConfig
from monitor.sources.standing import standing
from monitor.sources.syslog_config import SyslogConfig
from tests.fakes.intake import FakeIntake


async def test_a_source_stands_where_its_positions_and_its_files_say(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_bytes(b"read\n" * 100)
    config = FileConfig(name="app", type="file", include=(str(log),), start_at="beginning")
    intake = FakeIntake()
    await FileSource(config, intake, b"k" * 32).run(True)
    with log.open("ab") as file:
        file.write(b"x" * 77)
    ledger = Ledger("app")
    ledger.restore({})
    ledger.enter("gone", 5, "/a", "bytes", 1.0)
    ledger.enter("gone", 6, "/b", "bytes", 2.0)
    rows = {position.key: position.state or {} for position in ledger.changed()}
    rows[STATE] = {"kept": 7.0, "lag": 0.5, "problems": {"/b.log": "cannot be read"}}

    [one] = standing([config], {"app": {**intake.saved, "sealed:x": {"box": ""}}, place("app"): rows})
    assert one.where is not None
    assert (one.where.text, one.where.behind) == ("2 files", 77)
    assert (one.kept, one.lag, one.problems) == (7.0, 0.5, {"/b.log": "cannot be read"})
    assert [(loss.place, loss.count) for loss in one.lost] == [("/b", 6), ("/a", 5)]
    assert [(loss.reason, loss.count) for loss in total(one.lost).values()] == [("gone", 11)]


def test_the_cursor_of_a_journal_tells_the_time_of_its_record() -> None:
    moment = int(time.time() * 1e6)
    config = JournalConfig(name="journal", type="journal")
    [one] = standing([config], {"journal": {"journal::": {"cursor": f"s=abc;i=1;b=def;m=1;t={moment:x};x=1"}}})
    assert one.where is not None
    assert one.where.upto == moment / 1e6
    [one] = standing([config], {"journal": {"journal::": {"cursor": "no cursor"}}})
    assert one.where is not None
    assert one.where.upto is None


def test_of_what_was_never_started_nothing_is_known() -> None:
    [one] = standing([SyslogConfig(name="net", type="syslog")], {})
    assert (one.where, one.kept, one.lag, one.lost, one.problems) == (None, None, None, (), {})
