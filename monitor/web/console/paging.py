"""Lists a page at a time: what is shown and how much more there is. Where a page begins is a place, never a number."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from aiohttp import web

__all__ = ["PAGE", "ListPart", "asked_for", "part"]

PAGE = 50  # rows of a page
_LONGEST = 200  # characters of a parameter

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class ListPart(Generic[_T]):
    """`rows` of `total`. `next`: the place behind them; empty: nothing is."""

    rows: Sequence[_T]
    total: int
    next: str = ""

    @property
    def more(self) -> int:
        """Those on other pages."""
        return self.total - len(self.rows)


def part(items: Iterable[_T], place: Callable[[_T], str], after: str = "", most: int = PAGE) -> ListPart[_T]:
    """Of what is in memory, in the order of their places, which no two share."""
    ordered = sorted(items, key=place)
    behind = [item for item in ordered if place(item) > after]
    rows = behind[:most]
    return ListPart(rows, len(ordered), place(rows[-1]) if len(behind) > most else "")


def asked_for(request: web.Request, *names: str) -> dict[str, str]:
    """Parameters of an address, empty where it says nothing. Raises HTTPBadRequest for one that is none of these."""
    for name, value in request.query.items():
        if name not in names:
            known = f"there {'is' if len(names) == 1 else 'are'} {', '.join(names)}" if names else "there are none"
            raise web.HTTPBadRequest(text=f"nothing is asked for by {name[:40]!r}: {known}\n")
        if len(value) > _LONGEST:
            raise web.HTTPBadRequest(text=f"{name}: at most {_LONGEST} characters\n")
    return {name: request.query.get(name, "").strip() for name in names}
