"""`scan` and `run` say the same of the same texts: they make their findings in one place."""

from __future__ import annotations

import base64
import bz2
import gzip
import json
import lzma
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import zstandard

from detectors.rules.template import expand
from tests.monitor.cli.conftest import Command

CONFIG = """
[monitor]
state_dir = "state"
[http]
listen = "127.0.0.1:0"
[[sources]]
name = "logs"
type = "file"
include = ["logs/*"]
start_at = "beginning"
[[sinks]]
name = "screen"
type = "console"
"""
Said = tuple[str, int, str, str, tuple[str, ...], str | None]  # path, line, rule, fingerprint, decode, context


def token(number: int) -> str:
    return expand("ghp_{alnum:30}{crc32}", number)


def lines() -> Iterator[str]:
    """One text after the other, each with what is before and behind it."""
    key = expand("{pem:RSA PRIVATE KEY}", 1)
    password = expand("{alnum:24}", 2)
    access, secret = expand("{aws-id}", 3), expand("{base64:40}", 3)
    client, host = expand("{base64:43}=", 4), expand("akab-{lownum:16}-{lownum:16}", 4)
    plain = f"user ana, token={token(10)} refused"
    yield "nothing here"
    yield f"  two on a line: {token(11)} and {token(12)}, then {token(11)} again"
    yield f"größe: “{token(13)}” über\tслово\x07\x1b[0m \U0001f511"
    yield json.dumps({"level": "error", "msg": f"https://u:{token(14)}@x.example/", "n": 1})
    yield json.dumps({"log": f"{plain}\n", "stream": "stdout", "time": "2026-11-02T13:58:12.1Z"})
    yield f"2026-11-02T13:58:12.678Z stdout F {plain}"
    yield f"blob {base64.b64encode(plain.encode()).decode()} end"
    yield f"/callback?x={quote(quote(f'token={token(15)}'))}&y=1"
    yield f"postgres://shop:{password}@db-1.example:5432/orders?x=1"
    yield f"aws_access_key_id = {access}\naws_secret_access_key = {secret}"
    yield f"client_secret = {client}\nhost = {host}.luna.akamaiapis.net"
    yield f"before {key} behind"
    yield json.dumps({"key": key, "more": "x"})
    yield "\n".join(f"2026-11-02T10:00:00Z INFO {line}" for line in key.split("\n"))
    yield f"glued{token(16)}on x{token(10)}y {token(17)[:24]}"
    yield f"{'w ' * 20_000}far={token(18)} {'v ' * 20_000}"


def texts() -> dict[str, bytes]:
    """By the name of a file."""
    everything = "\n".join(lines())
    many = "".join(f"k={token(number)} at {number}\n" for number in range(1000, 1210))
    long = "".join(f"{'noise ' * 20_000} token={token(number)}" for number in range(30, 50))  # of several blocks
    whole = f"{everything}\n".encode()
    return {
        "plain.log": whole,
        "crlf.log": whole.replace(b"\n", b"\r\n"),
        "ends.log": f"{token(20)}\n{everything}\nlast={token(21)}".encode(),
        "alone.log": f"key {token(22)} of it".encode(),
        "only.log": token(23).encode(),
        "wide.log": f"vorher\r\nгрöße: {token(24)} слово {token(25)}\r\n".encode("utf-16-le"),
        "bytes.log": b"\xff\xfe\0" + f"\n\udcff x={token(26)}\n".encode("utf-8", "surrogateescape"),
        "many.log": many.encode(),
        "long.log": long.encode(),
        f"{token(27)}.log": f"in its name, too: {token(27)}\n".encode(),
    }


PACK = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zst": zstandard.compress}


def rotated(ending: str) -> bytes:
    """What became of a log that began with a line of its own."""
    whole = "\n".join(lines())
    noise = "nothing in here, nor there\n" * 100_000 if ending == "gz" else ""  # so that it has several blocks
    return PACK[ending](f"packed as {ending}\n{whole}\n{noise}last={token(28)}\n".encode())


def scanned(monitor: Command, folder: Path) -> Iterator[tuple[Said, dict[str, object]]]:
    """What `scan` says, with the whole of each row; the lines around come from what people read."""
    contexts: list[str | None] = []
    for line in monitor("scan", str(folder)).stdout.splitlines():
        if line.startswith("    "):
            contexts[-1] = line[4:]
        else:
            contexts.append(None)
    answer = monitor("scan", "--format", "jsonl", str(folder))
    for row, context in zip(map(json.loads, answer.stdout.splitlines()), contexts, strict=True):
        said = (row["path"], row["line"], row["rule"], row["fingerprint"], tuple(row["decode"]), context)
        yield said, row


def stored(folder: Path) -> Iterator[tuple[Said, dict[str, object]]]:
    """What `run` keeps, with what it makes of the incident."""
    query = """
        SELECT path, line, findings.rule, incidents.fingerprint, masked, decode, context, name, severity, labels
        FROM findings JOIN incidents ON incidents.id = findings.incident"""
    with closing(sqlite3.connect(folder / "state" / "state.db")) as database:
        database.row_factory = sqlite3.Row
        for row in database.execute(query):
            decode = tuple(json.loads(row["decode"] or "[]"))
            said = (row["path"], row["line"], row["rule"], row["fingerprint"], decode, row["context"])
            yield said, {**dict(row), "labels": json.loads(row["labels"])}


def test_both_tell_the_same_findings_alike(monitor: Command, tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    for name, text in texts().items():
        (folder / name).write_bytes(text)
    for ending in PACK:
        (folder / f"{ending}.log").write_text(f"packed as {ending}\n")
    (tmp_path / "config.toml").write_text(CONFIG)
    for _ in range(2):
        answer = monitor("run", "--once")
        assert answer.returncode == 0, answer.stderr
        for ending in PACK:
            (folder / f"{ending}.log").unlink(missing_ok=True)
            (folder / f"{ending}.log.1.{ending}").write_bytes(rotated(ending))

    ours, theirs = list(scanned(monitor, folder)), list(stored(tmp_path))
    assert Counter(said for said, _ in ours) == Counter(said for said, _ in theirs)
    assert len({said[0] for said, _ in ours}) == len(texts()) + len(PACK)

    incidents = {row["fingerprint"]: row for _, row in theirs}
    for (*_, context), row in ours:
        assert context is None or row["masked"] in context
        incident = incidents[row["fingerprint"]]
        assert (row["name"], row["severity"]) == (incident["name"], incident["severity"])
        assert row["labels"].items() <= incident["labels"].items()
    previews = {(row["fingerprint"], row["masked"]) for _, row in ours}  # of a key as it stands in JSON another one
    assert {(row["fingerprint"], row["masked"]) for _, row in theirs} <= previews
