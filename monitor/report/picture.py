"""The timeline of an incident as an SVG picture: milestones on a line, early ones as far apart as late ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from xml.sax.saxutils import escape

__all__ = ["length", "svg"]

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _MIDDLE = 900, 220, 50, 850, 110
_ROWS = 3  # labels above the line, and as many below, so that they do not cover each other


def svg(milestones: Sequence[tuple[str, float]], title: str, *, calm: bool = False) -> str:
    """`milestones`: name and seconds since the epoch, in the order of time. The scale is logarithmic. `calm`: nothing
    was exposed, and nothing is red."""
    start = milestones[0][1] if milestones else 0.0
    end = max(milestones[-1][1] - start, 1.0) if milestones else 1.0
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'font-family="system-ui, sans-serif" font-size="12"><title>{escape(title)}</title>',
        f'<line x1="{_LEFT}" y1="{_MIDDLE}" x2="{_RIGHT}" y2="{_MIDDLE}" stroke="#888" stroke-width="2"/>',
    ]
    for number, (name, at) in enumerate(milestones):
        x = _LEFT + (_RIGHT - _LEFT) * math.log1p(at - start) / math.log1p(end)
        row = number // 2 % _ROWS + 1
        y = _MIDDLE + (24 * row if number % 2 else -24 * row)
        after = "" if number == 0 else f" +{length(at - start)}"
        anchor = "start" if x < _WIDTH / 3 else "end" if x > 2 * _WIDTH / 3 else "middle"
        parts += [
            f'<line x1="{x:.1f}" y1="{_MIDDLE}" x2="{x:.1f}" y2="{y}" stroke="#bbb"/>',
            f'<circle cx="{x:.1f}" cy="{_MIDDLE}" r="5" fill="{_colour(name, calm=calm)}"/>',
            f'<text x="{x:.1f}" y="{y + (12 if number % 2 else -4)}" text-anchor="{anchor}">'
            f"{escape(name)}{escape(after)}</text>",
        ]
    return "".join([*parts, "</svg>"])


def length(seconds: float) -> str:
    """A length of time for people: `0.4 s`, `40 s`, `5 min`, `3 h`, `12 d`."""
    for unit, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * unit or (unit == 60 and seconds >= 60):
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"


def _colour(name: str, *, calm: bool) -> str:
    exposed = ("logged", "read", "opened")
    if name in exposed:
        return "#888" if calm else "#c0392b"
    return "#27ae60" if name in ("revoked", "resolved") else "#e67e22"
