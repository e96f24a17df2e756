from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from monitor.domain.incidents import Verified
from monitor.domain.model import Resolution
from monitor.report.document import markdown, page
from monitor.runbook.progress import BY_WORD, REFUSED
from monitor.store import Joined
from tests.monitor.report.test_dossier import HISTORY, INCIDENT, T, dossier, entry, place

HEADINGS = (
    *("Summary", "Times", "Exposure", "Timeline", "Steps", "What was verified", "Regulator's clock", "What happened"),
    *("Who was affected", "Cause", "What went well, what did not", "Prevention"),
)
HOSTILE = "</td><script>alert(1)</script>|[x](http://evil.example) `code` *bold*\n# heading\x1b[31m"


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        if tag not in ("meta", "line", "circle"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_document_has_what_the_monitor_knows_and_headings_for_what_people_know() -> None:
    text = markdown(dossier())
    assert text.startswith("# Incident i1: GitHub token\n")
    assert tuple(re.findall(r"(?m)^## (.+)$", text)) == HEADINGS
    assert "| to revoke | 15 min after it was opened |" in text
    assert "Exposed from 2027-01-15 07:58:20 UTC until 2027-01-15 08:15:00 UTC: revoked, said by bob, not " in text
    assert "not verified: gone. Seen 3 times." in text
    assert "| who acted | ada, bob |" in text
    assert "by 2027-01-18 08:00:01 UTC" in text
    assert "72 hours" in text
    assert "payments on web-3" in text
    assert r"| Revoke the exposed secret | done | bob | 2027-01-15 08:15:00 |" in text


def test_what_was_seen_once_is_said_so() -> None:
    found = dossier()
    assert ". Seen once." in markdown(replace(found, incident=replace(found.incident, occurrences=1)))


def test_what_the_issuer_said_is_evidence_and_its_absence_is_said() -> None:
    assert "Nothing was verified" in markdown(dossier())
    asked = [*HISTORY, entry(1000, "monitor", "verified", "refused: 401")]
    assert "refused: 401" in markdown(dossier(history=asked))


def test_a_step_that_ended_by_somebodys_word_was_not_verified() -> None:
    ended = [*HISTORY, entry(4000, "ada", "resolved"), entry(4000, "monitor", "step_done", BY_WORD, "revoke")]
    assert "Nothing was verified" in markdown(dossier(history=ended))
    refused = entry(4000, "monitor", "step_done", f"{REFUSED}: 401", "revoke")
    assert "Nothing was verified" not in markdown(dossier(history=[*HISTORY, refused]))


def test_revoked_is_a_fact_where_its_issuer_was_seen_to_refuse_it() -> None:
    asked = replace(INCIDENT, verified=Verified("refused", T + 4100, "GitHub answers 401"))
    text = markdown(dossier(incident=asked))
    assert "revoked by bob: gone; verified 2027-01-15 09:08:20 UTC: GitHub answers 401. Seen 3 times." in text
    assert "| state | resolved as revoked, verified |" in text


@pytest.mark.parametrize("resolution", ["false_positive", "used_in_tests"])
def test_of_what_was_no_exposure_nothing_is_due_and_nothing_is_red(resolution: Resolution) -> None:
    joined = Joined(decided={"i1": ("ada", "a hash", T)})
    found = dossier(incident=replace(INCIDENT, resolution=resolution), joined=joined)
    assert found.run is not None
    for text in (markdown(found), page(found)):
        assert "nothing was exposed" in text
        assert "said by ada: a hash" in text
        assert not re.search(r"72 hours|\bare left|\bdue 20|revoked yet|#c0392b|Who was affected", text)
    assert "#c0392b" in page(dossier())
    assert "due 20" in markdown(dossier())


def test_what_is_accepted_or_was_merged_has_no_deadlines_either() -> None:
    for changes in ({"resolution": "wont_fix"}, {"resolution": "wont_fix", "merged": "i2"}):
        text = markdown(dossier(incident=replace(INCIDENT, **changes)))  # type: ignore[arg-type]
        assert "due 20" not in text
        assert "72 hours" in text, "it was exposed all the same"


def test_the_document_tells_what_an_alert_does_in_its_words() -> None:
    asked = replace(INCIDENT, verified=Verified("valid", T, "GitHub takes it", facts={"last_use": "never"}))
    joined = Joined(decided={"i1": ("bob", "new key", 1_700_000_000.0)}, drills=frozenset({INCIDENT.fingerprint}))
    text = markdown(dossier(incident=asked, joined=joined)).replace("\\", "")
    assert text.startswith("# Incident i1: Drill: GitHub token\n")
    assert "| works | valid: GitHub takes it (last use never), asked 2027-01-15 08:00:00 UTC |" in text
    assert "| state | resolved as revoked, said by bob, not verified: new key |" in text
    assert "| payments on web-3, logs | /var/log/a.log:2 |" in text
    assert "| works | its issuer was not asked |" in markdown(dossier())


def test_a_step_that_was_done_late_says_so_and_an_ended_clock_too() -> None:
    found = dossier(now=T + 80 * 3600)
    assert "they ended 8 h ago" in markdown(found)
    assert found.run is not None
    late = tuple(replace(task, since=task.deadline + 1) if task.over else task for task in found.run.tasks)
    assert "| done late |" in markdown(replace(found, run=replace(found.run, tasks=late)))


def test_the_page_says_the_same_and_is_whole() -> None:
    tags = Tags()
    tags.feed(page(dossier()))
    assert tags.open == []
    assert "script" not in tags.seen
    assert {"svg", "table", "h2"} <= tags.seen
    assert all(heading in tags.text for heading in HEADINGS)


def test_nothing_from_outside_is_taken_for_markup() -> None:
    hostile = replace(
        INCIDENT, name=HOSTILE, labels={"user": HOSTILE}, locations=(place(path=HOSTILE, context=HOSTILE),)
    )
    found = dossier(incident=hostile, history=[*HISTORY, entry(1, HOSTILE, "acknowledged", HOSTILE)])
    tags = Tags()
    tags.feed(page(found))
    assert tags.open == []
    assert "script" not in tags.seen
    assert "a" not in tags.seen
    text = markdown(found)
    assert "\x1b" not in text
    assert tuple(re.findall(r"(?m)^## (.+)$", text)) == HEADINGS
    for line in text.splitlines():
        assert not re.search(r"(?<!\\)[<>`\[]", line), line
    rows = [line for line in text.splitlines() if line.startswith("| ") and "alert" in line]
    assert rows
    assert all(len(re.findall(r"(?<!\\)\|", row)) in (3, 5, 6) for row in rows), "no cell adds a column"
