from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta, timezone

import pytest

from monitor.scanning.record import HEAD, TAIL, record

AT = datetime(2026, 11, 2, 13, 58, 12, tzinfo=UTC)
NOW = AT.timestamp() + 3600
SOON = AT.timestamp()
CEST = timezone(timedelta(hours=2))

FORMATS = {
    "RFC 3339": ("2026-11-02T13:58:12Z INFO up", 0),
    "with a fraction and a zone": ("2026-11-02T15:58:12.250+02:00 INFO up", 0.25),
    "nanoseconds": ("2026-11-02T13:58:12.250000001Z up", 0.25),
    "without a colon in the zone": ("2026-11-02T15:58:12+0200 up", 0),
    "basic": ("20261102T135812Z up", 0),
    "Python": ("2026-11-02 13:58:12,250 INFO root: up", 0.25),
    "a level before it": ("INFO 2026-11-02 13:58:12,250 up", 0.25),
    "in brackets": ("[2026-11-02 13:58:12] production.ERROR: up", 0),
    "Java": ("2026-11-02 13:58:12.250  INFO 1 --- [main] c.e.Api : up", 0.25),
    "PostgreSQL": ("2026-11-02 13:58:12.250 UTC [42] LOG:  up", 0.25),
    "Go": ("2026/11/02 13:58:12.250000 main.go:7: up", 0.25),
    "nginx's errors": ("2026/11/02 13:58:12 [error] 7#7: *1 up", 0),
    "common log": ('192.0.2.7 - ana [02/Nov/2026:15:58:12 +0200] "GET / HTTP/1.1" 200 1', 0),
    "Apache's errors": ("[Mon Nov 02 13:58:12.250000 2026] [core:error] [pid 1] up", 0.25),
    "Tomcat": ("02-Nov-2026 13:58:12.250 INFO [main] up", 0.25),
    "Redis": ("42:M 02 Nov 2026 13:58:12.250 * up", 0.25),
    "RFC 3164": ("Nov  2 13:58:12 web-3 sshd[42]: up", 0),
    "RFC 3164 with its priority": ("<34>Nov  2 13:58:12 web-3 su: up", 0),
    "RFC 5424": ("<165>1 2026-11-02T13:58:12.250Z web-3 api 42 ID47 - up", 0.25),
    "klog": ("I1102 13:58:12.250000       1 main.go:7] up", 0.25),
    "Docker": (r'{"log":"up\n","stream":"stdout","time":"2026-11-02T13:58:12.250000001Z"}', 0.25),
    "CRI": ('2026-11-02T13:58:12.250000001Z stdout F {"level":"info"}', 0.25),
    "compose": ("api-1  | 2026-11-02T13:58:12Z up", 0),
    "JSON seconds": ('{"level":"info","ts":1793627892.25,"msg":"up"}', 0.25),
    "JSON milliseconds": ('{"level":30,"time":1793627892250,"msg":"up"}', 0.25),
    "JSON nanoseconds": ('{"timestamp": "1793627892250000000", "msg":"up"}', 0.25),
    "JSON text": ('{"@timestamp":"2026-11-02T13:58:12.250Z","message":"up"}', 0.25),
    "JSON at its end": ('{"message":"' + "x" * 2000 + '","timestamp":"2026-11-02T13:58:12.250Z"}', 0.25),
    "logfmt": ('level=info time="2026-11-02T13:58:12Z" msg=up', 0),
    "logfmt seconds": ("level=info ts=1793627892.250 msg=up", 0.25),
    "audit": ("type=EXECVE msg=audit(1793627892.250:456): argc=3", 0.25),
    "squid": ("1793627892.250    156 192.0.2.7 TCP_MISS/200 1 GET http://example.com/", 0.25),
}


@pytest.mark.parametrize("name", FORMATS)
def test_the_time_of_a_record_is_read(name: str) -> None:
    line, fraction = FORMATS[name]
    assert record(line.encode(), NOW, UTC).logged_at == pytest.approx(SOON + fraction, abs=0.0005)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "token=abc",
        "GET /report?from=2026-11-02T13:58:12Z",
        '{"expires":"2026-11-02T13:58:12Z"}',
        '{"request":{"start_time":"2026-11-02T13:58:12Z"}}',
        "2026-11-02 up",
        "2026-13-40T25:61:61Z up",
        "2031-11-02T13:58:12Z ahead of us",
        "1971-11-02T13:58:12Z before there were logs",
        '{"ts":99999999999999999999}',
        '{"ts":12}',
        "1793627892abc",
        "Feb 30 13:58:12 web-3 sshd[42]: up",
        "0000-00-00 00:00:00 up",
        "2026-11-02T13:58:12+99:99 up",
    ],
)
def test_what_is_no_plausible_time_of_a_record_is_none(line: str) -> None:
    assert record(line.encode(), NOW, UTC).logged_at is None


def test_a_time_without_a_zone_is_the_hosts_or_utc_where_that_would_be_ahead() -> None:
    written = b"2026-11-02 13:58:12 up"
    assert record(written, NOW, CEST).logged_at == SOON - 7200
    assert record(written, NOW, timezone(-timedelta(hours=8))).logged_at == SOON
    here = datetime(2026, 11, 2, 13, 58, 12).astimezone().timestamp()
    assert record(written, here + 1).logged_at == here


def test_a_time_without_a_year_lies_behind_us() -> None:
    newyear = datetime(2027, 1, 1, 0, 0, 5, tzinfo=UTC).timestamp()
    assert record(b"Dec 31 23:59:59 web-3 sshd[42]: up", newyear, UTC).logged_at == newyear - 6
    assert record(b"Jan  1 00:00:06 web-3 sshd[42]: a clock a little ahead", newyear, UTC).logged_at == newyear + 1
    leap = datetime(2028, 2, 29, 1, tzinfo=UTC).timestamp()
    assert record(b"Feb 29 00:59:59 web-3 sshd[42]: up", leap, UTC).logged_at == leap - 1


def test_a_syslog_line_names_its_program() -> None:
    assert record(b"Nov  2 13:58:12 web-3 sshd[42]: up", NOW, UTC).service == "sshd"
    assert record(b"2026-11-02T13:58:12.25+00:00 web-3 postfix/smtpd[42]: up", NOW, UTC).service == "postfix/smtpd"
    assert record(b"<165>1 2026-11-02T13:58:12.25Z web-3 api 42 ID47 - up", NOW, UTC).service == "api"
    assert record(b"2026-11-02T13:58:12Z INFO up: yes", NOW, UTC).service is None


def test_only_the_ends_of_a_line_are_looked_at_and_no_text_takes_long() -> None:
    stamp = b'"timestamp":"2026-11-02T13:58:12Z"'
    assert record(b"x" * (HEAD + 10) + stamp + b"y" * (TAIL + 10), NOW, UTC).logged_at is None
    rng = random.Random(5)
    parts = [b"2026-11-02T13:58:1", b"1793627892", b'"ts":', b" | ", b"a.", b" " * 30, b"[", b"Nov  2 13:58:12 "]
    for _ in range(2000):
        record(b"".join(rng.choices(parts, k=80)), NOW, UTC)  # one that goes back and forth would take hours
