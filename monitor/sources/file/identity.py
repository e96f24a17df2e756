"""Who a file is: keyed hashes of contents, and the checks made with them."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass

from monitor.common.files import ByteReader, read_exactly
from monitor.sources.file.tracked_file import TrackedFile

__all__ = ["BODY", "HEAD", "MARK", "Hasher"]

HEAD = 1024  # bytes
BODY = 16 << 10  # bytes; of files up to so long every byte is checked, so that a token exchanged for another is noticed
MARK = 256  # bytes


@dataclass(frozen=True, slots=True)
class Hasher:
    """Keyed hashes of contents, and the checks made with them."""

    key: bytes

    @classmethod
    def derived(cls, key: bytes) -> Hasher:
        return cls(hashlib.blake2b(key, digest_size=32, person=b"file identity").digest())

    def digest(self, data: bytes | memoryview) -> str:
        return hashlib.blake2b(data, key=self.key, digest_size=16).hexdigest()

    def head_matches(self, fd: int, life: TrackedFile) -> bool:
        length, digest = life.head
        return not length or self.digest(os.pread(fd, length, 0)) == digest

    def body_matches(self, fd: int, life: TrackedFile) -> bool:
        length, digest = life.body
        return not length or self.digest(os.pread(fd, length, 0)) == digest

    def mark_matches(self, fd: int, life: TrackedFile) -> bool:
        length, digest = life.mark
        return not length or self.digest(os.pread(fd, length, life.offset - length)) == digest

    def continues(self, fd: int, size: int, life: TrackedFile) -> bool:
        """Whether the file begins with all that was read of `life`, as far as the hashes of its ends can tell."""
        return size >= life.offset and self.head_matches(fd, life) and self.mark_matches(fd, life)

    def archive_continues(self, stream: ByteReader, life: TrackedFile) -> bool:
        """`continues` for a decompressed stream at its start; when true it is left at `life.offset`, or after the head
        where that is longer."""
        start = read_exactly(stream, life.head[0])
        if (start and self.digest(start) != life.head[1]) or len(start) < life.head[0]:
            return False
        if life.offset <= len(start):
            return not life.mark[0] or self.digest(start[: life.offset][-life.mark[0] :]) == life.mark[1]
        last, at = start, len(start)
        while at < life.offset and (piece := read_exactly(stream, min(1 << 20, life.offset - at))):
            last, at = last[-MARK:] + piece, at + len(piece)
        return at == life.offset and self.digest(last[-life.mark[0] :]) == life.mark[1]

    def settle(self, fd: int, life: TrackedFile, offset: int) -> None:
        """Make `life` start at `offset` with its hashes taken from the file. Raises OSError."""
        head = os.pread(fd, min(HEAD, offset), 0)
        mark = os.pread(fd, min(MARK, offset), max(0, offset - MARK))
        body = os.pread(fd, min(BODY, offset), 0)
        life.offset = offset
        life.head, life.mark = (len(head), self.digest(head)), (len(mark), self.digest(mark))
        life.body = (len(body), self.digest(body))
