"""Positions that hold a secret (in a file's path), sealed: the database shows nothing of it, the source gets it back.

A source finds its files again by their paths, so a masked path will not do. Such a row's key is a keyed hash, the same
at every start, and its state is encrypted; both with keys that come from the fingerprint key, which does not lie in the
database.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
import structlog

from monitor.domain.model import Position

__all__ = ["Sealer"]

log = structlog.get_logger(__name__)

_PREFIX = "sealed:"
_NONCE = 12  # bytes, of AES-GCM
_HEX = re.compile(r"(?:[0-9a-f]{2})*")


@dataclass(slots=True)
class Sealer:
    """Of one source. `redact` masks what is a secret in a text, and so tells whether there is one."""

    key: bytes = field(repr=False)
    redact: Callable[[str], str]
    _sealed: set[str] = field(default_factory=set, repr=False)  # keys whose rows are sealed in the database

    def seal(self, positions: Iterable[Position]) -> list[Position]:
        """As they go into the database. A row of the other kind, from before the rules changed, is deleted."""
        out: list[Position] = []
        for position in positions:
            if self._holds(position.key) or self._holds(position.state):
                out.append(Position(position.source, position.key, None))
                out.append(self._closed(position))
                self._sealed.add(position.key)
                continue
            if position.key in self._sealed:
                out.append(Position(position.source, self._name(position.key), None))
                self._sealed.discard(position.key)
            out.append(position)
        return out

    def open(self, saved: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
        """As they were. What another key has sealed is left out: that file is read again."""
        out: dict[str, Mapping[str, Any]] = {}
        for name, state in saved.items():
            if not name.startswith(_PREFIX):
                out.setdefault(name, state)
                continue
            opened = self._opened(state)
            if opened is None:
                log.warning("a sealed position cannot be opened with this fingerprint key; its file is read again")
            else:
                key, inner = opened
                out[key] = inner
                self._sealed.add(key)
        return out

    def _holds(self, value: Any) -> bool:
        if isinstance(value, str):
            # Most are digests, which are no text; a path that is not UTF-8 is kept in hexadecimal.
            text = _path_in_hex(value) if _HEX.fullmatch(value) else value
            return bool(text) and self.redact(text) != text
        if isinstance(value, Mapping):
            return any(self._holds(part) for pair in value.items() for part in pair)
        return isinstance(value, list | tuple) and any(self._holds(part) for part in value)

    def _name(self, key: str) -> str:
        raw = key.encode("utf-8", "surrogatepass")
        return _PREFIX + hashlib.blake2b(raw, key=self._derived(b"position name"), digest_size=16).hexdigest()

    def _derived(self, purpose: bytes) -> bytes:
        return hashlib.blake2b(self.key, digest_size=32, person=purpose).digest()

    def _closed(self, position: Position) -> Position:
        name = self._name(position.key)
        if position.state is None:
            return Position(position.source, name, None)
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # slow to import, and rarely needed

        nonce = os.urandom(_NONCE)
        raw_key = position.key.encode("utf-8", "surrogatepass").hex()
        plain = orjson.dumps({"key": raw_key, "state": position.state})
        box = nonce + AESGCM(self._derived(b"position")).encrypt(nonce, plain, name.encode())
        return Position(position.source, name, {"name": name, "box": base64.b64encode(box).decode()})

    def _opened(self, state: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]] | None:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        try:
            box = base64.b64decode(state["box"])
            plain = AESGCM(self._derived(b"position")).decrypt(box[:_NONCE], box[_NONCE:], state["name"].encode())
            content = orjson.loads(plain)
            return bytes.fromhex(content["key"]).decode("utf-8", "surrogatepass"), content["state"]
        except (InvalidTag, KeyError, TypeError, ValueError, AttributeError):
            return None


def _path_in_hex(text: str) -> str:
    raw = bytes.fromhex(text)
    return raw.decode("utf-8", "surrogateescape") if b"/" in raw and b"\0" not in raw else ""
