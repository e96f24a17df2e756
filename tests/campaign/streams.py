"""What is sent to the monitor or written beside files: a real broker, a push client, syslog, a real journal."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import shutil
import time
from pathlib import Path

import aiohttp
import aiomqtt
import msgpack

from tests.campaign.files import Files
from tests.fakes.journal import REMOTE, Journal
from tests.fakes.mosquitto import broker
from tests.fakes.ports import free_port

__all__ = ["NEEDS", "Streams"]

_SOURCES = {
    "mqtt": 'host = "127.0.0.1"\nport = {port}\ntopics = ["logs/#"]\nclient_id = "monitor"',
    "http": 'listen = "127.0.0.1:{port}"',
    "syslog": 'listen = ["tcp:127.0.0.1:{port}"]',
    "journal": 'directory = "{folder}/journal"\nstart_at = "beginning"',
}
_TRY = 0.05  # seconds between attempts of a client
_TIMEOUT = aiohttp.ClientTimeout(20)

_JOURNALS = REMOTE.exists() and shutil.which("journalctl")

# Row → what it cannot be played without, None: it is there.
NEEDS = {
    "broker": None if shutil.which("mosquitto", path="/usr/bin:/usr/sbin:/usr/local/sbin") else "needs mosquitto",
    **dict.fromkeys(("vacuum", "hosts"), None if _JOURNALS else "needs systemd-journal-remote"),
}


class Streams(Files):
    """`kind`: the type of the source that is there beside the files, None: none. Each `do_…` is an operation."""

    def __init__(self, folder: Path, name: str, kind: str | None) -> None:
        super().__init__(folder, name)
        self.kind = kind
        self.port = free_port() if kind else 0
        self.streamed: set[int] = set()  # numbers that never lay in a file
        self.fleeting: set[int] = set()  # of those that were sent by who never asks what became of them
        self.doomed: dict[int, bool] = {}  # number → whether the monitor could know
        self.noted: dict[str, set[int]] = {}  # file of the journal → numbers in it
        self._journal = Journal(folder / "journal") if kind == "journal" else None
        self._broker = contextlib.AsyncExitStack()
        self._brokered = False
        self._sending: set[asyncio.Task[None]] = set()

    def source(self) -> str:
        """Its section of the configuration."""
        if self.kind is None:
            return ""
        body = _SOURCES[self.kind].format(port=self.port, folder=self.folder)
        return f'[[sources]]\nname = "stream"\ntype = "{self.kind}"\n{body}\n'

    async def leave(self) -> None:
        for task in self._sending:
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)
        await self._broker.aclose()

    def _text(self, number: int) -> bytes:
        self.streamed.add(number)
        return b"ERROR sent with %b at step 3" % self.secret(number)

    # MQTT

    async def do_broker(self, state: str) -> None:
        """ "up"; "down": ended as a service is, with its sessions and messages on disk."""
        if state == "down":
            await self._broker.aclose()
        elif not self._brokered:
            await self._broker.enter_async_context(broker(self.folder, port=self.port, keeps=True))
        self._brokered = state == "up"

    async def do_publish(self, numbers: list[int]) -> None:
        """One message a secret, each until the broker has it."""
        for number in numbers:
            await self._publish(self._text(number))

    async def _publish(self, text: bytes) -> None:
        while True:
            with contextlib.suppress(aiomqtt.MqttError):
                async with aiomqtt.Client("127.0.0.1", self.port) as client:
                    await client.publish(f"logs/{self.random.randrange(3)}", text, qos=1)
                    return
            await asyncio.sleep(_TRY)

    # Pushed over HTTP

    async def do_push(self, numbers: list[int], cut: bool) -> None:
        """As an agent does, beside what follows: the same body again until it is taken; `cut`: half of it first."""
        body = b"".join(json.dumps({"message": self._text(number).decode()}).encode() + b"\n" for number in numbers)
        self._sending.add(asyncio.create_task(self._push(body, cut)))

    async def do_fluent(self, numbers: list[int], cut: bool) -> None:
        """As Fluent Bit does in the format it has by default; now and then packed without a word, or sent once more."""
        body = b"".join(map(self._fluent, numbers))
        if self.random.random() < 0.3:
            body = gzip.compress(body)
        times = self.random.choice((1, 1, 2))
        self._sending.add(asyncio.create_task(self._push(body, cut, "application/msgpack", times)))

    def _fluent(self, number: int) -> bytes:
        """A record of one version or the other, the secret somewhere in it."""
        moment = msgpack.ExtType(
            0, (1_700_000_000 + number).to_bytes(4, "big") + self.random.randbytes(3).rjust(4, b"\0")
        )
        text = self._text(number).decode()
        size = self.random.choice((0, 30, 300, 70_000))  # with the last one it is no longer made into objects
        said = self.random.choice((text, f'{{"msg": "{text}"}}', text.encode(), {"deep": [1, {"msg": text}]}))
        if isinstance(said, dict):
            size = min(size, 300)
        item = {"date": number, "log": said, "noise": "x" * size}
        if size > 300:
            item["log"] = f"{'y ' * 40_000}{text}"
        time = self.random.choice((moment, 1_700_000_000 + number, 1_700_000_000.5 + number))
        return bytes(msgpack.packb([[moment, {"a": 1}], item] if self.random.random() < 0.5 else [time, item]))

    async def _push(self, body: bytes, cut: bool, form: str = "application/json", times: int = 1) -> None:
        if cut:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                head = (
                    f"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: {form}\r\nContent-Length: {len(body)}\r\n\r\n"
                )
                writer.write(head.encode() + body[: len(body) // 2])
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        async with aiohttp.ClientSession(timeout=_TIMEOUT, headers={"Content-Type": form}) as session:
            while times:
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    async with session.post(f"http://127.0.0.1:{self.port}/", data=body) as answer:
                        times -= answer.status == 204
                await asyncio.sleep(_TRY)

    # Syslog over TCP, which knows no receipts

    async def do_log(self, numbers: list[int], cut: bool) -> None:
        """A connection with these messages, beside what follows; `cut`: it ends within one, which is sent again over
        another."""
        messages = [b"<13>1 - web-1 app - - - " + self._text(number) for number in numbers]
        data = b"".join(b"%d %b" % (len(text), text) for text in messages)
        sends = [data]
        if cut:
            last = messages[-1]
            sends = [data[: len(data) - self.random.randrange(1, len(last))], b"%d %b" % (len(last), last)]
        self._sending.add(asyncio.create_task(self._log(sends, numbers)))

    async def do_count(self, numbers: list[int], pause: float) -> None:
        """A connection with these messages, counted in characters; it rests so long within the value of one of them."""
        data = b""
        for number in numbers:
            words = self.random.choice(("größe", "naïve", "日本語", "🔑", "plain"))
            message = b"<13>1 - web-1 app - - - %b " % words.encode() + self._text(number)
            data += b"%d %b" % (len(message.decode()), message)
        cut = data.index(self.secret(self.random.choice(numbers))) + self.random.randrange(1, 40)
        self._sending.add(asyncio.create_task(self._deliver(data, numbers, cut, pause)))

    async def _log(self, sends: list[bytes], numbers: list[int]) -> None:
        for data in sends:
            await self._deliver(data, numbers)

    async def _deliver(self, data: bytes, numbers: list[int], cut: int = 0, pause: float = 0.0) -> None:
        """Again while nobody takes it, or the connection breaks where that shows."""
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                self.fleeting.update(numbers)
                for number in numbers:
                    self.doomed.pop(number, None)
                writer.write(data[:cut])
                await writer.drain()
                await asyncio.sleep(pause)
                writer.write(data[cut:])
                await writer.drain()
                writer.close()
                await writer.wait_closed()
                return
            await asyncio.sleep(_TRY)

    # The journal

    async def do_note(self, numbers: list[int], name: str) -> None:
        """Records in this file of the journal."""
        assert self._journal is not None
        for number in numbers:
            self._journal.write(self._text(number))
        self.noted.setdefault(name, set()).update(numbers)
        await self._journal.settle(name)

    async def do_vacuum(self, name: str) -> None:
        """A file of the journal is removed, as journald does with old ones."""
        (self.folder / f"journal/{name}.journal").unlink()

    async def do_upload(self, numbers: list[int], host: str, late: float) -> None:
        """Records of this host, which it wrote so many seconds ago."""
        assert self._journal is not None
        boot = {"_HOSTNAME": host, "_BOOT_ID": host * 32}
        for number in numbers:
            at = time.time_ns() // 1000 - int(late * 1e6)
            self._journal.write(self._text(number), __REALTIME_TIMESTAMP=str(at), **boot)
        await self._journal.settle(f"remote-{host}")

    async def do_archive(self, host: str) -> None:
        """Its file is renamed, and another one begun."""
        path = self.folder / f"journal/remote-{host}.journal"
        if path.exists():
            path.rename(path.with_name(f"remote-{host}@{time.time_ns():x}.journal"))
