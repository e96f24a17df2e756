from __future__ import annotations

from dataclasses import replace

from monitor.rotation.ics import ics
from monitor.rotation.schedule import Due, Managed

DAY = 86_400.0
T = 20_000 * DAY  # 2024-10-04
SECRET = Managed(
    "vault", "secret/app.KEY", "m1", known=T, owner="platform", tags=("critical", "a,b"), consumers=("web",)
)


def parsed(text: str) -> list[tuple[str, dict[str, str], str]]:
    """Content lines as RFC 5545 has them: unfolded, name, parameters, value. Holds the limits of a line."""
    assert text.endswith("\r\n")
    assert "\n" not in text.replace("\r\n", "")
    for line in text.split("\r\n"):
        assert len(line.encode()) <= 75
    lines = text.replace("\r\n ", "").removesuffix("\r\n").split("\r\n")
    found = []
    for line in lines:
        head, colon, value = line.partition(":")
        assert colon
        name, *parameters = head.split(";")
        assert name.replace("-", "").isalnum()
        assert name == name.upper()
        found.append((name, dict(one.split("=", 1) for one in parameters), value))
    return found


def nested(lines: list[tuple[str, dict[str, str], str]]) -> list[str]:
    """The components, in order; each is closed by its own end."""
    open_: list[str] = []
    seen = []
    for name, _, value in lines:
        if name == "BEGIN":
            open_.append(value)
            seen.append("/".join(open_))
        elif name == "END":
            assert open_.pop() == value
    assert not open_
    return seen


def test_a_calendar_is_what_the_standard_says() -> None:
    lines = parsed(ics([Due(SECRET, T + DAY / 2, "every 90 days", "high", "soon")], T, 14 * DAY, "host-1"))
    assert nested(lines) == ["VCALENDAR", "VCALENDAR/VEVENT", "VCALENDAR/VEVENT/VALARM"]
    values = {name: value for name, _, value in lines}
    assert [name for name, _, _ in lines[1:3]] == ["VERSION", "PRODID"]
    assert values["VERSION"] == "2.0"
    assert values["DTSTAMP"] == "20241004T000000Z"
    assert ("DTSTART", {"VALUE": "DATE"}, "20241004") in lines
    assert ("DTEND", {"VALUE": "DATE"}, "20241005") in lines
    assert values["SUMMARY"] == "Rotate vault/secret/app.KEY"
    assert values["TRIGGER"] == "-P14D"
    assert values["CATEGORIES"] == "rotation,critical,a\\,b"
    assert values["UID"].endswith("@host-1")


def test_an_event_keeps_its_id_until_the_value_changes() -> None:
    def uid(secret: Managed, at: float = T) -> str:
        lines = parsed(ics([Due(secret, at, "", "low", "later")], T, 0, "h"))
        assert nested(lines) == ["VCALENDAR", "VCALENDAR/VEVENT"]  # no alarm without a lead
        return next(value for name, _, value in lines if name == "UID")

    assert uid(SECRET) == uid(SECRET, T + 30 * DAY) == uid(replace(SECRET, owner="other"))
    assert uid(SECRET) != uid(replace(SECRET, mark="m2"))
    assert uid(SECRET) != uid(replace(SECRET, entry="aws"))


def test_hostile_names_stay_in_their_line() -> None:
    name = "x;y,z\\\r\nEND:VCALENDAR\u202e" + "ü" * 300 + "\ud800"
    lines = parsed(ics([Due(replace(SECRET, name=name), T, "a\nb", "critical", "overdue")], T, DAY, "h"))
    assert nested(lines) == ["VCALENDAR", "VCALENDAR/VEVENT", "VCALENDAR/VEVENT/VALARM"]
    summary = next(value for key, _, value in lines if key == "SUMMARY")
    assert summary.startswith("Rotate vault/x\\;y\\,z\\\\  END:VCALENDAR ü")


def test_an_empty_calendar_is_one() -> None:
    assert nested(parsed(ics([], T, DAY, "h"))) == ["VCALENDAR"]
