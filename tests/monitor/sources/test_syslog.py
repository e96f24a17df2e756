from __future__ import annotations

import asyncio
import contextlib
import errno
import shutil
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from monitor.sources import syslog as module
from monitor.sources.syslog import SyslogSource, about
from monitor.sources.syslog_config import SyslogConfig
from tests.fakes.intake import FakeIntake, running, until
from tests.fakes.peer import Way
from tests.fakes.ports import free_port
from tests.fakes.rsyslog import rsyslog
from tests.fakes.smtp import certificate

UDP, TCP, TLS = "udp:127.0.0.1:0", "tcp:127.0.0.1:0", "tls:127.0.0.1:0"


@contextlib.asynccontextmanager
async def way_in(folder: Path) -> AsyncIterator[Way]:
    port = free_port()

    async def feed(lines: Sequence[str]) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.writelines(f"<13>1 - web-1 app - - - {line}\n".encode() for line in lines)
        await writer.drain()
        await closed(writer)

    yield Way({"listen": [f"tcp:127.0.0.1:{port}"]}, feed)


def config(*listen: str, **keys: Any) -> SyslogConfig:
    return SyslogConfig.model_validate({"name": "net", "type": "syslog", "listen": listen or (UDP, TCP), **keys})


@contextlib.asynccontextmanager
async def listening(intake: FakeIntake, *listen: str, **keys: Any) -> AsyncIterator[SyslogSource]:
    source = SyslogSource(config(*listen, **keys), intake, b"k" * 32)
    async with running(source):
        await until(lambda: intake.begun)
        yield source


def marks(intake: FakeIntake) -> list[int]:
    """Those found, without the priorities, which look like marks and begin a message."""
    return sorted(seen.mark for seen in intake.found.values() if seen.offset)


def port(source: SyslogSource, text: str) -> int:
    return source.listening[text][1]


async def logger(*arguments: str, text: str) -> None:
    program = shutil.which("logger")
    if program is None:
        pytest.skip("logger is not installed (apt install bsdutils)")
    process = await asyncio.create_subprocess_exec(program, *arguments, text)
    assert await process.wait() == 0


Connect = Callable[..., Awaitable[asyncio.StreamWriter]]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Connects, and ends at the end whatever is still open."""
    writers: list[asyncio.StreamWriter] = []

    async def connected(source: SyslogSource, text: str = TCP, **keys: Any) -> asyncio.StreamWriter:
        _, writer = await asyncio.open_connection("127.0.0.1", port(source, text), **keys)
        writers.append(writer)
        return writer

    yield connected
    for writer in writers:
        await closed(writer)


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def test_logger_over_every_way(tmp_path: Path) -> None:
    intake = FakeIntake()
    unix = f"unix:{tmp_path}/log"
    async with listening(intake, UDP, TCP, unix) as source:
        there = ("--server", "127.0.0.1", "--tag", "web", "--id=77")
        udp, tcp = str(port(source, UDP)), str(port(source, TCP))
        await logger(*there, "--udp", "--port", udp, text="udp <1>")
        await logger(*there, "--udp", "--port", udp, "--rfc3164", text="udp <2>")
        await logger(*there, "--tcp", "--port", tcp, text="tcp <3>")
        await logger(*there, "--tcp", "--port", tcp, "--octet-count", text="counted <4>")
        await logger("--socket", f"{tmp_path}/log", "--tag", "web", text="unix <5>")
        await until(lambda: marks(intake) == [1, 2, 3, 4, 5], lambda: f"{marks(intake)} {intake.problems}")
    host = socket.gethostname()
    paths = {seen.mark: seen.path for seen in intake.found.values()}
    assert paths[1] == paths[3] == paths[4] == f"{host}/web"
    assert paths[2] == f"{host.partition('.')[0]}/web"
    assert paths[5] == "web"
    assert intake.hits == len(intake.found)
    assert not (tmp_path / "log").exists()
    assert not intake.lost
    assert not intake.problems


async def test_a_socket_that_somebody_removes_is_made_anew_and_that_of_another_is_left_to_it(tmp_path: Path) -> None:
    intake, path = FakeIntake(), tmp_path / "log"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender, socket.socket(socket.AF_UNIX) as other:
        async with listening(intake, f"unix:{path}"):
            path.unlink()
            await until(path.exists)
            await until(lambda: not intake.problems)
            sender.sendto(b"after <1>", str(path))
            await until(lambda: len(intake.found) == 1)
            other.bind(str(tmp_path / "other"))
            (tmp_path / "other").rename(path)
            await until(lambda: intake.problems == {f"unix:{path}": "another program listens there now"})
        assert path.exists()


async def test_a_socket_that_is_gone_as_soon_as_it_is_made_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    intake, path, real, made = FakeIntake(), tmp_path / "log", module.bind_datagrams, []

    def binding(*given: Any) -> socket.socket:
        made.append(real(*given))
        if len(made) == 1:
            path.unlink()
        return made[-1]

    monkeypatch.setattr(module, "bind_datagrams", binding)
    async with listening(intake, f"unix:{path}"):
        await until(lambda: len(made) == 2 and not intake.problems)
        assert made[0].fileno() < 0


async def test_reading_that_fails_for_a_moment_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    intake, real, failures = FakeIntake(), module.read_datagrams, [OSError(errno.ENOMEM, "no memory")]

    async def reading(*given: Any) -> None:
        if failures:
            raise failures.pop()
        await real(*given)

    monkeypatch.setattr(module, "read_datagrams", reading)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        async with listening(intake, UDP) as source:

            def heard() -> bool:
                if UDP in source.listening:
                    sender.sendto(b"again <1>", ("127.0.0.1", port(source, UDP)))
                return bool(intake.found)

            await until(lambda: not failures)
            await until(heard)


class Keeping(FakeIntake):
    """Keeps descriptors for the next source, as the daemon does."""

    handles: dict[tuple[int, int], int] = {}  # type: ignore[assignment]  # noqa: RUF012 - each test has its own


async def test_datagrams_that_come_while_it_is_configured_anew_are_not_lost() -> None:
    intake = Keeping()
    intake.handles = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        async with listening(intake, UDP) as source:
            first = port(source, UDP)
        sender.sendto(b"in between <1>", ("127.0.0.1", first))
        async with listening(intake, f"udp:127.0.0.1:{first}", rate=1000) as source:
            sender.sendto(b"after <2>", ("127.0.0.1", first))
            await until(lambda: marks(intake) == [1, 2])
            assert intake.handles == {}
        sender.sendto(b"to where it was <3>", ("127.0.0.1", first))
        async with listening(intake, UDP):
            await until(lambda: marks(intake) == [1, 2, 3])
            assert intake.handles == {}
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
                other.bind(("127.0.0.1", first))
        for descriptor in intake.handles.values():
            socket.socket(fileno=descriptor).close()
    assert not intake.lost


async def test_what_is_cut_of_a_large_datagram_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.sources.datagrams._LARGEST_LOCAL", 1000)
    intake, path = FakeIntake(), tmp_path / "log"
    async with listening(intake, f"unix:{path}"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"large <1> " + b"x" * 1990, str(path))
        await until(lambda: marks(intake) == [1] and intake.lost == [("too_long", 1000, f"unix:{path}")])


@pytest.mark.parametrize("framing", ["octet-counted", "traditional"])
async def test_rsyslog_forwards_to_it(tmp_path: Path, framing: str) -> None:
    intake = FakeIntake()
    async with listening(intake, TCP) as source:
        there = port(source, TCP)
        async with rsyslog(tmp_path, there, framing) as socket_:
            for number in range(20):
                await logger("--socket", str(socket_), "--tag", "app", text=f"message <{number}>")
            await until(lambda: marks(intake) == list(range(20)))
            assert {seen.path for seen in intake.found.values()} == {f"{socket.gethostname()}/app"}


async def test_tls_and_who_must_show_a_certificate(connect: Connect, tmp_path: Path) -> None:
    intake = FakeIntake()
    ca, key = certificate(tmp_path)
    keys = {"certificate": str(ca), "private_key": f"file:{key}", "client_ca": str(ca)}
    async with listening(intake, TLS, **keys) as source:
        context = ssl.create_default_context(cafile=ca)
        nobody = await connect(source, TLS, ssl=context)
        nobody.write(b"<13>1 - - - - - - nobody <1>\n")
        plain = await connect(source, TLS)
        plain.write(b"<13>1 - - - - - - in the clear <2>\n")
        await until(lambda: intake.refused["tls_handshake"] == 2)
        await closed(plain)

        context.load_cert_chain(ca, key)
        writer = await connect(source, TLS, ssl=context)
        text = b"<13>1 - web-1 app - - - " + b"x" * 200_000 + b"<3>"
        writer.write(b"%d %b" % (len(text), text))
        await until(lambda: marks(intake) == [3])
        await closed(writer)


async def test_half_a_message_is_scanned_after_a_while_and_goes_on(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_QUIET", 0.1)
    intake = FakeIntake()
    async with listening(intake) as source:
        writer = await connect(source)
        writer.write(b"<13>1 - web-1 app - - - half <1> and <2")
        await until(lambda: 1 in marks(intake))
        writer.write(b"> and <3>\n<13>1 - web-2 - - - - <4>\n")
        await until(lambda: marks(intake) == [1, 2, 3, 4])
        assert {seen.path for seen in intake.found.values() if seen.offset} == {"web-1/app", "web-2"}
        assert intake.hits == len(intake.found)
        await closed(writer)


@pytest.mark.parametrize("counted", [True, False])
async def test_a_pause_within_a_word_ends_no_message(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, counted: bool
) -> None:
    monkeypatch.setattr(module, "_SOON", 0.05)
    monkeypatch.setattr(module, "_QUIET", 0.05)
    intake = FakeIntake()
    async with listening(intake) as source:
        writer = await connect(source)
        for number in range(1, 40, 3):
            text = f"<13>1 - web-1 app - - - größe <{number}> naïve<{number + 1}> <{number + 2}>"
            data = (f"{len(text)} {text}" if counted else f"{text}\n").encode()
            cut = data.index(f"{number + 1}>".encode()) + 1
            writer.write(data[:cut])
            await until(lambda n=number: n in marks(intake))  # type: ignore[misc]
            writer.write(data[cut:])
        await until(lambda: marks(intake) == list(range(1, 40)))
        assert intake.hits == len(intake.found)
        await closed(writer)


async def test_what_came_before_it_ends_is_read(connect: Connect) -> None:
    """Of connections that it has not even accepted, too, and more than a read takes."""
    intake = FakeIntake()
    async with listening(intake) as source:
        writers = [await connect(source) for _ in range(3)]
        for number, writer in enumerate(writers, 1):
            writer.write(b"<13>1 - web-1 app - - - text " + b"x" * 30_000 * number + b" <%d>\n" % number)
            await writer.drain()
    for writer in writers:
        await closed(writer)
    assert marks(intake) == [1, 2, 3]


async def test_what_hostile_senders_send_is_scanned_all_the_same(connect: Connect) -> None:
    intake = FakeIntake()
    async with listening(intake, max_message=1024) as source:
        writers = [await connect(source) for _ in range(4)]
        writers[0].write(b"999999999 <13>1 - - - - - - a count that lies <1>" + b"x" * 50_000 + b"<2>")
        writers[1].write(b"<13>" + b"never-ending " * 20_000 + b"<3> and on")
        writers[2].write(b"\xff\xfe\0\xc3( <4>\n\n\n\r\n<999999>1 <5>\n<13>1 - \xff\xff - - - - <6>\n")
        writers[3].write(b"<13>1 - web-1 app - - - cut off <7>")
        for writer in writers:
            await writer.drain()
            await closed(writer)
        await until(lambda: marks(intake) == [1, 2, 3, 4, 5, 6, 7])
        assert max(length for _, length, _, _ in intake.blocks) < 200_000
        assert intake.hits == len(intake.found)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for text in (b"", b"\0", b"\xff" * 65_000, b"<", b"<13>" + b"\0" * 100, b"x <8>"):
                sender.sendto(text, ("127.0.0.1", port(source, UDP)))
        await until(lambda: marks(intake)[-1] == 8)
    assert not intake.lost


async def test_a_connection_that_is_reset_leaves_what_it_sent(connect: Connect) -> None:
    intake = FakeIntake()
    async with listening(intake) as source:
        writer = await connect(source)
        writer.write(b"<13>x <1>\n<13>x <2>")
        await until(lambda: marks(intake) == [1])
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        await until(lambda: marks(intake) == [1, 2])


async def test_who_holds_connections_gives_way_once_silent(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    intake = FakeIntake()
    async with listening(intake, max_connections=3) as source:
        slow = [await connect(source) for _ in range(3)]
        for writer in slow:
            writer.write(b"<13>half")
        await until(lambda: len(source._connections) == 3)
        refused = await connect(source)
        await until(lambda: intake.refused["connection_refused"] == 1)
        assert "max_connections" in intake.problems["connections"]
        await closed(refused)

        monkeypatch.setattr(module, "_SILENT", 0.0)
        writer = await connect(source)
        writer.write(b"<13>new <1>\n")
        await until(lambda: marks(intake) == [1])
        for one in (*slow, writer):
            await closed(one)
        await until(lambda: not intake.problems)


async def test_only_who_is_allowed_may_send(connect: Connect) -> None:
    intake = FakeIntake()
    async with listening(intake, allow=["192.0.2.0/24"]) as source:
        writer = await connect(source)
        writer.write(b"<13>x <1>\n")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"<13>x <2>", ("127.0.0.1", port(source, UDP)))
        await until(lambda: intake.refused["peer_refused"] == 2)
    assert not intake.found


async def test_beyond_the_rate_connections_wait_and_datagrams_are_counted_lost(connect: Connect) -> None:
    intake = FakeIntake()
    async with listening(intake, rate=50) as source:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for number in range(80):
                sender.sendto(b"x <%d>" % number, ("127.0.0.1", port(source, UDP)))
        await until(lambda: len(marks(intake)) + len(intake.lost) == 80)
        assert intake.lost
        assert {(reason, path) for reason, _, path in intake.lost} == {("rate", "datagrams of 127.0.0.1")}

        first = len(marks(intake))
        writer = await connect(source)
        writer.write(b"".join(b"<13>x <%d>\n" % (1000 + number) for number in range(120)))
        await until(lambda: len(marks(intake)) == first + 120)
        await closed(writer)


async def test_while_the_store_cannot_write_tcp_waits_and_the_kernels_drops_are_told(
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_LOOK", 0.05)
    intake = FakeIntake()
    async with listening(intake) as source:
        intake.gate.clear()
        writer = await connect(source)
        text = b"".join(b"<13>x <%d> %b\n" % (number, b"y" * 1000) for number in range(20_000))
        writer.write(text)
        sent = 0
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            while not intake.lost and sent < 100_000:
                sender.sendto(b"z" * 8000, ("127.0.0.1", port(source, UDP)))
                sent += 1
                if sent % 500 == 0:
                    await asyncio.sleep(0.01)
        await until(lambda: intake.lost)
        reason, count, path = intake.lost[0]
        assert (reason, path) == ("udp_dropped", "udp:127.0.0.1:0")
        assert 0 < count <= sent
        assert writer.transport.get_write_buffer_size() > 0  # TCP holds its sender back
        intake.gate.set()
        await until(lambda: len(intake.found) >= 40_000, seconds=60)
        assert marks(intake) == list(range(20_000))
        await closed(writer)


async def test_stopped_it_scans_what_it_has_received(connect: Connect) -> None:
    intake = FakeIntake()
    async with listening(intake) as source:
        intake.gate.clear()
        writer = await connect(source)
        writer.write(b"<13>x <1>\n<13>x <2>")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"x <3>", ("127.0.0.1", port(source, UDP)))
        await until(lambda: intake.scanned)
        asyncio.get_running_loop().call_later(0.2, intake.gate.set)
    assert marks(intake) == [1, 2, 3]
    assert not intake.lost
    await closed(writer)


async def test_what_could_not_be_scanned_in_time_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_DRAIN", 0.1)
    intake = FakeIntake()
    async with listening(intake, UDP) as source:
        intake.gate.clear()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"x <3>", ("127.0.0.1", port(source, UDP)))
        await until(lambda: intake.scanned)
    assert intake.lost == [("stopped", 5, "")]


async def test_what_a_kill_took_along_is_told() -> None:
    intake = FakeIntake()
    for _ in range(2):
        intake.begun = False
        async with listening(intake, UDP):
            assert intake.saved == {"listening": {"open": True}}
    assert not intake.lost  # it was stopped
    intake.saved = {"listening": {"open": True}}
    intake.begun = False
    async with listening(intake, UDP):
        assert intake.lost == [("killed", 0, "")]


async def test_an_address_that_is_taken_is_told_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST", 0.05)
    intake = FakeIntake()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        text = f"udp:127.0.0.1:{other.getsockname()[1]}"
        async with listening(intake, text, TCP) as source:
            assert "in use" in intake.problems[text]
            assert TCP in source.listening
            other.close()
            await until(lambda: text in source.listening)
            assert not intake.problems


async def test_a_certificate_that_is_not_there_is_told(tmp_path: Path) -> None:
    intake = FakeIntake()
    keys = {"certificate": str(tmp_path / "none.pem"), "private_key": "env:NO_SUCH_KEY"}
    async with listening(intake, TLS, TCP, **keys):
        assert "private_key: environment variable NO_SUCH_KEY is not set" in intake.problems[TLS]
        assert TCP not in intake.problems


async def test_run_once_has_nothing_to_read() -> None:
    intake = FakeIntake()
    await asyncio.wait_for(SyslogSource(config(), intake, b"k" * 32).run(True), 120)
    assert intake.begun


@pytest.mark.parametrize(
    ("message", "facts"),
    [
        ("<34>1 2026-11-02T22:14:15.003Z web-1 su 77 ID47 - text", {"host": "web-1", "service": "su", "pid": "77"}),
        ("<34>1 - - - - - - text", {}),
        ("<13>Nov  2 22:14:15 web-1 su[77]: text", {"host": "web-1", "service": "su", "pid": "77"}),
        ("<13>Nov  2 22:14:15 su: text: more", {"service": "su"}),
        ("<13>2026-11-02T22:14:15+01:00 web-1.example su: text", {"host": "web-1.example", "service": "su"}),
        ("<13>2001:db8::1 su: text", {"host": "2001:db8::1", "service": "su"}),
        ("<13>text alone", {}),
        ("no syslog", {}),
        ("", {}),
    ],
)
def test_what_a_message_says_of_itself(message: str, facts: dict[str, str]) -> None:
    assert about(message.encode()) == facts
