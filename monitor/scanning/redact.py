"""Texts that come from outside (paths, addresses, names, labels) with whatever the rules take for a secret masked.

They go into the database, to sinks and into logs, so each passes here where a finding or an alert is made.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from typing import TYPE_CHECKING

from detectors.match.cost import UNHURRIED
from detectors.match.outcome import covered
from monitor.common.outside import LABEL, NAME, PATH, ROOM, let_in
from monitor.domain.model import Alert, Finding

if TYPE_CHECKING:
    from detectors.match.engine import Worker
    from detectors.match.outcome import Cover

__all__ = ["WITHHELD", "Redactor"]

WITHHELD = "(withheld: it holds a secret)"
_REMEMBERED = 2048  # texts: the paths of one host are few and come with every finding
_ROOM = 1 << 20  # characters of them
_LEAST = 8  # no secret is shorter


class Redactor:
    """For one thread, as `worker` is. Never raises: what cannot be looked at is withheld."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._known: dict[tuple[str, str], str] = {}
        self._size = 0  # characters of those

    def __call__(self, text: str, preview: str = "") -> str:
        """`text` with each secret in it as its masked preview, or WITHHELD where that cannot be done safely.

        A `preview` that stands in it already is left: in the place of a password it looks like one.
        """
        if len(text) < _LEAST:
            return text
        known = self._known.get((text, preview))
        if known is None:
            known = self._redacted(text, preview.encode())
            if len(text) <= ROOM:
                self._remember(text, preview, known)
        return known

    def _remember(self, text: str, preview: str, known: str) -> None:
        if len(self._known) >= _REMEMBERED or self._size > _ROOM:
            self._known.clear()
            self._size = 0
        self._known[text, preview] = known
        self._size += len(text)

    def address(self, url: str | None) -> str | None:
        """None for one that holds a secret: masked it would lead nowhere."""
        return url if url is None or self(url) == url else None

    def labels(self, labels: Mapping[str, str]) -> Mapping[str, str]:
        return {key: let_in(value, self, LABEL) for key, value in labels.items()} if labels else labels

    def finding(self, finding: Finding) -> Finding:
        """A ready-made finding (of another system's alert), fit to be kept."""
        return replace(
            finding,
            name=let_in(finding.name, self, NAME),
            path=let_in(finding.path, self, PATH),
            service=finding.service and let_in(finding.service, self),
            labels=self.labels(finding.labels),
            url=self.address(finding.url),
        )

    def alert(self, alert: Alert) -> Alert:
        return replace(alert, url=self.address(alert.url) or "", labels=self.labels(alert.labels))

    def _redacted(self, text: str, preview: bytes) -> str:
        try:
            raw = text.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:  # a lone surrogate that stands for no byte
            raw = text.encode("utf-8", "backslashreplace")
        try:
            covers = self._covers(raw, {preview})
            if not covers:
                return text
            if any(cover.match.decode for cover in covers):
                return WITHHELD  # what stands encoded around it belongs to it
            masked = _masked(raw, covered(covers))
            # What is now joined to something else.
            previews = {preview, *(cover.match.masked.encode() for cover in covers)}
            if self._covers(masked, previews) or any(cover.match.secret in masked for cover in covers):
                return WITHHELD
        except Exception:  # noqa: BLE001 - whatever the engine stumbles over, the finding itself must not be lost
            return WITHHELD
        return masked.decode("utf-8", "surrogateescape")

    def _covers(self, raw: bytes, previews: Set[bytes]) -> Sequence[Cover]:
        """What is found outside of `previews`, also what lost to another rule on its span.

        Raises ValueError where not all was searched.
        """
        found = self._worker.search(raw, 0, len(raw), UNHURRIED)
        if found.unsearched:
            raise ValueError("not searched to its end")
        shown = [at.span() for one in previews if one for at in re.finditer(re.escape(one), raw)]
        return [cover for cover in found.covers if not any(s <= cover.start and cover.end <= e for s, e in shown)]


def _masked(raw: bytes, covers: Sequence[Cover]) -> bytes:
    parts, at = [], 0
    for cover in covers:
        parts += [raw[at : cover.start], cover.match.masked.encode()]
        at = cover.end
    return b"".join([*parts, raw[at:]])
