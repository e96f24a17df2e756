"""Literals that stand in base64 by chance: large pictures and ciphertext have each of four characters every 16 MB."""

from __future__ import annotations

import base64
import re

__all__ = ["MIXED", "amid_others", "by_chance", "unwritten"]

_LONGEST = 8  # encoded characters of a rule's literal; what is longer stands nowhere by chance
_BEFORE, _BEHIND = 8, 12  # characters around it that are looked at
_EVIDENCE = 6  # bytes of text on one side of it: of random ones one of three hundred is
_WHOLE = re.compile(rb"[A-Za-z0-9+/_-]*")
_NO_TEXT = re.compile(rb"[^\t\n\r\x1b -~]")
_URLSAFE = bytes.maketrans(b"-_", b"+/")


def by_chance(data: bytes | bytearray | memoryview, group: int, end: int) -> bool:
    """Whether the literal that is encoded in `data[:end]`, in or behind the group of four at `group`, stands in bytes
    that are no text, neither before nor behind it. Never of one near the end of what is encoded.

    To decode and scan what is around it costs twenty times as much.
    """
    if end - group > _LONGEST + 3 or group < _BEFORE:
        return False
    piece = bytes(data[group - _BEFORE : end + _BEHIND])
    if len(piece) < _BEFORE + end - group + _BEHIND or not _WHOLE.fullmatch(piece):
        return False
    text = base64.b64decode(piece[: len(piece) // 4 * 4].translate(_URLSAFE))
    start, behind = _BEFORE * 3 // 4, (_BEFORE + end - group) * 3 // 4 + 1
    return bool(_NO_TEXT.search(text, 0, start) and _NO_TEXT.search(text, behind, behind + _EVIDENCE))


_ALIKE = re.compile(rb"[A-Za-z0-9+/](?:x{4}|X{4})[A-Za-z0-9+/]")
MIXED = re.compile(rb"(?s)(?=.*[a-z])(?=.*[A-Z]).*[0-9]")
# A part of a path, in one of the ways that people write.
_WRITTEN = re.compile(rb"(?:^|/)(?:[a-z_-]*[0-9]*|[A-Z_-]+[0-9]*|(?:[A-Z][a-z]+)+|[^/]*\.[^/]*)(?=/|$)")


def amid_others(value: bytes) -> bool:
    """Whether a letter stands there four times in a row within so much else that it may be by chance."""
    varied = len(value) >= 24 and len(set(value)) * 2 > len(value) and MIXED.search(value) is not None
    return varied and _ALIKE.search(value) is not None


def unwritten(value: bytes) -> bool:
    """Whether what looks like a path is nothing that anybody would have written: less than a sixth of it are parts
    as people write them. Base64 has slashes as well, and between two of them such a part by chance."""
    written = sum(len(part[0].lstrip(b"/")) for part in _WRITTEN.finditer(value))
    return len(value) >= 24 and written * 6 < len(value)
