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

    def head_matches(self, fd: int, tracked: TrackedFile) -> bool:
        length, digest = tracked.head
        return not length or self.digest(os.pread(fd, length, 0)) == digest

    def body_matches(self, fd: int, tracked: TrackedFile) -> bool:
        length, digest = tracked.body
        return not length or self.digest(os.pread(fd, length, 0)) == digest

    def mark_matches(self, fd: int, tracked: TrackedFile) -> bool:
        length, digest = tracked.mark
        return not length or self.digest(os.pread(fd, length, tracked.offset - length)) == digest

    def continues(self, fd: int, size: int, tracked: TrackedFile) -> bool:
        """Whether the file begins with all that was read of `tracked`, as far as the hashes of its ends can tell."""
        return size >= tracked.offset and self.head_matches(fd, tracked) and self.mark_matches(fd, tracked)

    def archive_continues(self, stream: ByteReader, tracked: TrackedFile) -> bool:
        """`continues` for a decompressed stream at its start; when true it is left at `tracked.offset`, or after the
        head where that is longer."""
        start = read_exactly(stream, tracked.head[0])
        if (start and self.digest(start) != tracked.head[1]) or len(start) < tracked.head[0]:
            return False
        if tracked.offset <= len(start):
            return not tracked.mark[0] or self.digest(start[: tracked.offset][-tracked.mark[0] :]) == tracked.mark[1]
        last, at = start, len(start)
        while at < tracked.offset and (piece := read_exactly(stream, min(1 << 20, tracked.offset - at))):
            last, at = last[-MARK:] + piece, at + len(piece)
        return at == tracked.offset and self.digest(last[-tracked.mark[0] :]) == tracked.mark[1]

    def settle(self, fd: int, tracked: TrackedFile, offset: int) -> None:
        """Make `tracked` start at `offset` with its hashes taken from the file. Raises OSError."""
        head = os.pread(fd, min(HEAD, offset), 0)
        mark = os.pread(fd, min(MARK, offset), max(0, offset - MARK))
        body = os.pread(fd, min(BODY, offset), 0)
        tracked.offset = offset
        tracked.head, tracked.mark = (len(head), self.digest(head)), (len(mark), self.digest(mark))
        tracked.body = (len(body), self.digest(body))
