from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from monitor.common.payload import record
from tests.fakes.notifications import NOW, RUN, incident


def test_times_are_written_as_whoever_asks_wants_them_everywhere() -> None:
    """That the keys stay is held by docs/webhook.schema.json and the tests of the sink."""
    asked = incident(run=RUN, asked_at=NOW, validity="valid")

    def clock(time: datetime) -> str:
        return "then"

    shown = record(asked, clock)
    assert {shown[name] for name in ("first_seen", "first_logged", "last_seen", "asked_at")} == {"then"}
    place = shown["locations"][0]
    assert (shown["run"]["deadline"], place["time"], place["logged_at"]) == ("then",) * 3
    assert record(asked)["asked_at"] == "2026-11-02T14:03:07Z"


def test_what_cannot_be_encoded_is_escaped_and_what_nobody_knows_is_null() -> None:
    place = replace(incident().locations[0], path="/a\udcff", host=None)
    shown = record(incident(locations=(place,), owner=None))
    assert (shown["locations"][0]["path"], shown["locations"][0]["host"], shown["owner"]) == ("/a\\udcff", None, None)
    assert (shown["run"], shown["validity"], shown["asked_at"]) == (None, None, None)
