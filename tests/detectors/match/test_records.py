from __future__ import annotations

import json

import pytest

from detectors.match import records
from detectors.match.records import around, text_of
from detectors.rules.template import expand
from tests.detectors import texts

_JSON = '{{"log":{text},"stream":"stdout","time":"2026-03-04T05:06:07.{n:09}Z"}}'
FRAMES = {
    "cri": "2026-03-04T05:06:07.{n:09}Z stdout F {line}",
    "kubectl logs --timestamps": "2026-03-04T05:06:07.{n:09}Z {line}",
    "kubectl logs --prefix": "[pod/web-{n}/app] {line}",
    "docker compose logs": "web-1  | {line}",
    "docker compose logs -t": "web-1  | 2026-03-04T05:06:07.{n:09}Z {line}",
    "GitHub Actions": "2026-03-04T05:06:07.{n:07}Z {line}",
    "gh run view --log": "build\tRun tests\t2026-03-04T05:06:07.{n:07}Z {line}",
    "Jenkins": "[2026-03-04T05:06:07.{n:03}Z] {line}",
    "RFC 5424": "<14>1 2026-03-04T05:06:07.{n:03}Z web-1 app 4711 - - {line}",
    "RFC 3164": "<14>Mar  4 05:06:07 web-1 app[{n}]: {line}",
    "journald": "Mar 04 05:06:07 web-1 app[{n}]: {line}",
    "journald, short-iso": "2026-03-04T05:06:07+0000 web-1 app[{n}]: {line}",
    "logback": "2026-03-04 05:06:07,{n:03} INFO [main] c.a.App - {line}",
    "klog": "I0304 05:06:07.{n:06}   {n} app.go:12] {line}",
    "docker": _JSON,
    "JSON": '{{"level":"info","ts":{n},"msg":{text},"pid":4711}}',
    "Vector": '{{"container":"web","message":{text},"stream":"stderr"}}',
    "logfmt": "ts=2026-03-04T05:06:07Z level=info msg={text} took={n}ms",
}
LINES = ["  password: |", '    {n} é "x"', "", "- name: y", "end"]


def framed(name: str, lines: list[str], between: str = "") -> str:
    end = "\n" if name == "docker" else ""
    return "".join(
        FRAMES[name].format(n=number, line=line, text=json.dumps(line + end)) + "\n" + between
        for number, line in enumerate(lines, 1)
    )


def said(data: bytes, at: int) -> list[bytes]:
    found = around(data, at, {}, before=5, after=9, back=4096, ahead=4096)
    return text_of(data, found)[0].split(b"\n")[:-1] if found else []


@pytest.mark.parametrize("name", FRAMES)
def test_what_records_say_is_read_from_any_of_them(name: str) -> None:
    data = framed(name, LINES).encode()
    at = 0
    for line in data.splitlines(keepends=True):
        for place in (at + len(line) // 2, at + len(line) - 1):
            assert said(data, place) == [line.encode() for line in LINES]
        at += len(line)


@pytest.mark.parametrize("name", [name for name in FRAMES if "prefix" not in name])
def test_records_of_others_between_are_left_out(name: str) -> None:
    other = '{"log":"tick\\n","stream":"stderr"}\n' if name == "docker" else "nothing of a record\n"
    data = framed(name, LINES, other).encode()
    assert said(data, data.index(b"\n") - 1) == [line.encode() for line in LINES]


def test_no_record_is_cut_where_nobody_looks_further() -> None:
    data = framed("cri", ["password:", "a word", "token=0123456789"]).encode()
    at = data.index(b"password:")
    for limit in range(data.index(b"a word") + len("a word\n"), len(data) + 1):
        found = around(data, at, {}, before=0, after=9, back=0, ahead=limit - at)
        assert text_of(data, found)[0] == b"password:\na word\n" + b"token=0123456789\n" * (limit == len(data))


def test_places_lead_back_through_escapes() -> None:
    data = framed("docker", ["a\té", "b\\c"]).encode()
    text, marks = text_of(data, around(data, 12, {}, before=1, after=1, back=99, ahead=999))
    assert text == "a\té\nb\\c\n".encode()
    assert dict(marks)[0] == 8
    assert data[dict(marks)[text.index(b"b")] :].startswith(b"b\\\\c\\n")


def test_a_line_that_a_runtime_cut_is_one() -> None:
    parts = ["2026-03-04T05:06:07Z stdout P pass", "2026-03-04T05:06:07Z stdout F word: x"]
    # What goes on is framed in another way; it is the text of both that counts.
    assert said("\n".join(parts).encode(), 3) in ([b"password: x"], [])
    cut = '{"log":"pass","stream":"stdout"}\n{"log":"word: x\\n","stream":"stdout"}\n'
    assert said(cut.encode(), 10) == [b"password: x"]


def test_what_is_no_record_says_nothing() -> None:
    for text in (
        "password:\n  value\n",
        "x\n" * 9,
        "",
        "2026-03-04T05:06:07Z stdout F alone\n",
        '{"a": 1}\n{"a": 2}\n',
    ):
        for at in (0, len(text) // 2, len(text)):
            assert said(text.encode(), at) == []


def test_records_are_not_looked_for_without_end() -> None:
    data = framed("cri", ["x"] * 5000).encode()
    assert len(said(data, len(data) // 2)) == 15
    long = framed("cri", ["x" * 5000] * 9).encode()
    assert len(said(long, len(long) // 2)) < 3


SECRET = "{alnum:24}"
IDIOMS = {
    "a block of YAML": f"token: |\n  {SECRET}",
    "a name and its value": f'name  = "SECRET_TOKEN"\n  value = "{SECRET}"',
    "a property list": f"<key>ApiKey</key>\n<string>{SECRET}</string>",
    "an element": f"<password>\n  {SECRET}\n</password>",
    "a table": f"| user | password |\n|---|---|\n| jdoe | {SECRET} |",
    "columns": f"id,login,password,email\n4,build,{SECRET},a@acme.io",
    "a call": f'client_secret = (\n    "{SECRET}"\n)',
    "a debugger": f"(lldb) po self.apiKey\n{SECRET}",
    "a protocol": f"USER reporting\nPASS {SECRET}",
    "a value before its name": f"        - value: {SECRET}\n          name: APP_DB_PASSWD",
    "a form": f'Content-Disposition: form-data; name="password"\n\n{SECRET}',
}


@pytest.mark.parametrize("name", FRAMES)
def test_idioms_over_two_lines_are_found_in_records(name: str) -> None:
    worker = texts.engine().worker()
    missed = []
    whole = (
        {"docker"} if FRAMES[name].count("{text}") else {*FRAMES}
    )  # a string of JSON, but for Docker's, may be any word
    for idiom, template in IDIOMS.items():
        if name not in whole and idiom in ("a debugger", "a value before its name"):
            continue
        lines = expand(template, 3).split("\n")
        value = expand(template, 3)[template.index(SECRET) :][:24].encode()
        data = framed(name, lines).encode()
        told = [match for match in worker.scan(data) if match.secret == value]
        if not any(data[match.start : match.end] == value for match in told):
            missed.append(idiom)
    assert missed == []


@pytest.mark.parametrize("name", FRAMES)
def test_words_at_the_ends_of_records_ask_for_nothing(name: str) -> None:
    worker = texts.engine().worker()
    hexes = expand("{hex:40}", 1)
    lines = ["invalid password", f"commit {hexes}", "token expired:", "next try in 12 s", "secret rotated", hexes]
    lines += [
        "Enter password:",
        "login successful",
        "unexpected token:",
        f"  at {hexes[:12]}",
        "password:",
        "user: bob",
    ]
    assert worker.scan(framed(name, lines).encode()) == []


def test_a_value_in_the_next_record_is_told_once_by_the_block_it_came_with() -> None:
    worker = texts.engine().worker()
    value = expand(SECRET, 5)
    data = framed("cri", ["token: |", f"  {value}", "x", "y"]).encode()
    ends = [number + 1 for number, byte in enumerate(data) if byte == ord("\n")]
    told = []
    for fresh, limit in zip([0, *ends], ends, strict=False):
        told += [(limit, match.secret) for match in worker.scan(data[:limit], fresh, limit)]
    assert told == [(ends[1], value.encode())]


def test_only_what_is_found_in_records_is_hidden() -> None:
    value = expand(SECRET, 5)
    data = framed("docker", ["a word", "token: |", f"  {value}", "another word"]).encode()
    found = texts.engine().worker().search(data)
    place = data.index(value.encode())
    assert found.hidden == [(place, place + len(value))]


def test_records_that_have_no_neighbour_of_their_kind_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    # Each would otherwise be read again for each of the twenty around it that ask for a value.
    lines = [f"[{expand('{lower:8}', number)}/x] password:\n" for number in range(300)]
    read: list[int] = []
    readings = records._readings

    def counted(data: bytes, low: int, high: int) -> list[records.RecordText]:
        read.append(low)
        return readings(data, low, high)

    monkeypatch.setattr(records, "_readings", counted)
    texts.engine().worker().search("".join(lines).encode())
    assert len(lines) <= len(read) < 2 * len(lines)
