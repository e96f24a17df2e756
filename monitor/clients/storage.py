"""What an interface says is stored elsewhere, at an address that is its own permission: read there, and nowhere else.

Nothing that logs in at the interface goes there: no header, no cookie. Where it leads is judged, as an answer that was
tampered with may name any machine. No error holds an address: it would let whoever reads the error in.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from yarl import URL

from monitor.common.guard import ForbiddenError, Guard
from monitor.common.http import Http, RemoteError

__all__ = ["Storage", "StorageError"]

REDIRECTS = 3
TIMEOUT = 60.0  # seconds of silence
TOTAL = 3600.0  # seconds for all of it: a peer that sends a byte a minute is not waited for


class StorageError(Exception):
    """It could not be read. `status`: of the answer, 0 when there was none."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Storage:
    """`private`: it may stand in a private network, as that of a server of one's own does. `clear`: it may be read
    unencrypted, as the interface itself is."""

    def __init__(self, *, private: bool, clear: bool) -> None:
        self._private, self._clear = private, clear
        self._guard = Guard()
        self._http = Http(timeout=TIMEOUT, connect=10, resolver=self._guard)

    async def close(self) -> None:
        await self._http.close()

    @asynccontextmanager
    async def open(self, address: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """What is stored there, as it comes. Raises StorageError, also out of what it gives."""
        url = self._address(address)
        for _ in range(REDIRECTS + 1):
            await self._allow(url)
            try:
                async with self._http.stream(url, total=TOTAL) as answer:
                    if answer.status == 200:
                        yield _read(answer.pieces)
                        return
                    if answer.status not in (301, 302, 303, 307, 308):
                        raise StorageError(f"its storage answered {answer.status}", answer.status)
                    url = self._address(answer.headers.get("location", ""), url)
            except RemoteError as error:
                failure = StorageError(f"its storage: {error}")
                break
        else:
            failure = StorageError(f"its storage redirects more than {REDIRECTS} times")
        raise failure

    def _address(self, address: str, here: URL | None = None) -> URL:
        try:
            url = URL(address, encoded=True)
            url = here.join(url) if here is not None else url
        except ValueError:
            raise StorageError("the address of its storage is none of the web") from None
        if url.scheme != "https" and not (self._clear and url.scheme == "http"):
            raise StorageError("the address of its storage is not encrypted")
        if not url.host or url.user or url.password:
            raise StorageError("the address of its storage names no host, or a user")
        return url

    async def _allow(self, url: URL) -> None:
        try:
            await self._guard.way(str(url), private=self._private)
        except ForbiddenError as error:
            raise StorageError(f"its storage: {error}") from None
        except OSError:
            raise StorageError("its storage: the host name cannot be resolved") from None


async def _read(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    try:
        async for piece in pieces:
            yield piece
    except RemoteError as error:
        failure = StorageError(f"its storage: {error}")
    else:
        return
    raise failure
