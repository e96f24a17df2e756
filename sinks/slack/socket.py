"""Socket Mode: the monitor connects to Slack, and what people press comes over that connection; no port is open.

Slack's own client (slack_sdk 3.48) was tried. It closes a connection before it opens the next, asks a refused one again
for ever without telling, and logs its address with the ticket in it. Kept from that, it came to more lines than this.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

import orjson
import structlog

from monitor.common.backoff import backoff
from monitor.common.credential import CredentialError
from monitor.common.http import Http, RemoteError, in_the_clear
from monitor.common.inbound import InboundRequest
from monitor.common.tasks import cancel
from sinks.slack.api import call
from sinks.slack.config import SlackConfig
from sinks.slack.inbound import asked

if TYPE_CHECKING:
    from aiohttp import ClientWebSocketResponse

__all__ = ["SocketMode"]

log = structlog.get_logger(__name__)

_FIRST, _LONGEST = 1.0, 60.0  # seconds from a failure to the next try
_WITHOUT_A_WORD = 3  # failures in a row
_HELLO = 15.0  # seconds for Slack's first word
_KEEP = 2.5  # seconds for the database: Slack shows an error to who pressed after three
_LEAVE = 30.0  # seconds that a connection is read on while another takes over
_LARGEST = 1 << 20  # bytes of one message

Ask = Callable[[Sequence[InboundRequest]], Awaitable[bool]]  # whether they are kept, durably


class SocketMode:
    """`run` until cancelled."""

    def __init__(
        self,
        config: SlackConfig,
        http: Http,
        ask: Ask,
        problem: Callable[[str | None], None],
        sinks: Callable[[], Sequence[SlackConfig]],
    ) -> None:
        """`trouble`: told why no connection can be had, and None when there is one. `sinks`: those of the app, as what
        is pressed in the message of one may come over the connection of another."""
        self._config, self._http, self._ask, self._problem, self._sinks = config, http, ask, problem, sinks
        self._failures = 0

    async def run(self) -> NoReturn:
        leaving: set[asyncio.Task[None]] = set()
        current: asyncio.Task[None] | None = None

        def left(task: asyncio.Task[None]) -> None:
            leaving.discard(task)
            if not task.cancelled() and (error := task.exception()) is not None:  # nobody waits for it any more
                log.debug("the connection before has ended", sink=self._config.name, error_type=type(error).__name__)

        try:
            while True:
                over = asyncio.Event()
                current = asyncio.create_task(self._connection(over))
                waiting = asyncio.create_task(over.wait())
                await asyncio.wait({current, waiting}, return_when=asyncio.FIRST_COMPLETED)
                await cancel(waiting)
                if current.done():
                    await self._ended(current)
                else:  # Slack is about to close it: the next takes over before
                    leaving.add(current)
                    current.add_done_callback(left)
        finally:
            for task in (*leaving, *((current,) if current else ())):
                await cancel(task)

    async def _ended(self, connection: asyncio.Task[None]) -> None:
        error = connection.exception()
        if error is None:
            return
        if not isinstance(error, RemoteError | CredentialError):
            raise error
        self._failures += 1
        for_good = not getattr(error, "retry", False)
        log.warning("no connection for what is pressed in Slack", sink=self._config.name, reason=str(error))
        if for_good or self._failures >= _WITHOUT_A_WORD:
            self._problem(str(error))
        pause = getattr(error, "after", None) or backoff(20 if for_good else self._failures, _FIRST, _LONGEST)
        await asyncio.sleep(pause)

    async def _connection(self, over: asyncio.Event) -> None:
        """From its opening to its end. Sets `over` when another has to take over. Raises RemoteError."""
        assert self._config.app_token
        token = self._config.app_token.resolve("app_token")
        answer = await call(self._http, f"{self._config.api_url}/apps.connections.open", token)
        url = answer.get("url")
        if not isinstance(url, str) or urlsplit(url).scheme not in ("wss", "ws"):
            raise RemoteError("Slack named no address for Socket Mode", retry=True)
        if in_the_clear(f"http{url[2:]}") and not self._config.insecure:
            raise RemoteError("Slack named an address that is not encrypted", retry=True)

        async with self._http.websocket(url, limit=_LARGEST) as socket:
            greeted = False
            while True:
                patience = _LEAVE if over.is_set() else None if greeted else _HELLO
                message = await socket.receive(patience)
                if message.type.name != "TEXT":
                    if message.type.name in ("CLOSE", "CLOSING", "CLOSED", "ERROR"):
                        break
                    continue
                said = _read(message.data)
                greeted |= said.get("type") == "hello"
                await self._take(socket, said, over)
        if not over.is_set():
            raise RemoteError("Slack closed the connection", retry=True)

    async def _take(self, socket: ClientWebSocketResponse, said: Mapping[str, Any], over: asyncio.Event) -> None:
        kind, envelope = said.get("type"), said.get("envelope_id")
        if kind == "hello":
            log.info("listening for what is pressed in Slack", sink=self._config.name)
            self._failures = 0
            self._problem(None)
        elif kind == "disconnect":
            if said.get("reason") == "link_disabled":
                raise RemoteError("Socket Mode is switched off for this app: switch it on in its settings", retry=False)
            over.set()
        elif isinstance(envelope, str) and await self._kept(said):
            await socket.send_str(orjson.dumps({"envelope_id": envelope}).decode())

    async def _kept(self, said: Mapping[str, Any]) -> bool:
        """Whether nothing is lost when Slack forgets it."""
        payload = said.get("payload")
        if said.get("type") != "interactive" or not isinstance(payload, dict):
            return True
        requests = asked(payload, self._sinks())
        if not requests:
            return True
        try:
            # Shielded: what was begun is finished, and a repeat of it is ignored.
            return await asyncio.wait_for(asyncio.shield(asyncio.ensure_future(self._ask(requests))), _KEEP)
        except TimeoutError:
            return False


def _read(text: str) -> Mapping[str, Any]:
    try:
        said = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return said if isinstance(said, dict) else {}
