"""Whether rotation is written down, and whether it is done: by the ages that the inventory knows."""

from __future__ import annotations

from collections.abc import AsyncIterator

from monitor.audit import papers
from monitor.audit.subject import Subject
from monitor.audit.verdict import Evidence, unknown

__all__ = ["kept"]


async def kept(subject: Subject) -> AsyncIterator[Evidence]:
    """A page says how often, and no secret of the inventory is older than that."""
    for piece in papers.rotation(subject):
        yield piece
    yield unknown("whether it is kept: this monitor has no inventory of secrets yet", "monitor audit --only rotation")
