"""A list as a page of its own: what stands in each cell, of how many rows, and where it goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlencode

from aiohttp import web

from monitor.web.console.pages import page
from monitor.web.console.paging import ListPart

__all__ = ["Cell", "TablePage"]

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Cell:
    """`at`: a time (seconds since the epoch) instead of a text, `until`: one that is counted down to. `href`: within
    the pages. `late`: somebody has to look at it."""

    text: object = ""
    at: float | None = None
    until: float | None = None
    href: str = ""
    late: bool = False


@dataclass(frozen=True, slots=True)
class TablePage:
    """`heads`: of the columns, the first of which names the row. `nothing`: said where there is none; `notes`: said
    before, those that are `wrong` as such. `filters`: name of a parameter → what it is called."""

    path: str
    title: str
    noun: str
    heads: Sequence[str]
    nothing: str
    about: str = ""
    filters: Sequence[tuple[str, str]] = ()

    async def show(
        self,
        request: web.Request,
        part: ListPart[_T],
        cells: Callable[[_T], Sequence[Cell]],
        *,
        said: dict[str, str] | None = None,
        wrong: Sequence[str] = (),
        **what: Any,
    ) -> web.Response:
        """`said`: what each filter holds; `above`: a template before the rows, `form`: one with what an admin does."""
        said = said or {}
        given = urlencode({name: text for name, text in said.items() if text})
        return await page(
            request,
            "table.html",
            table=self,
            part=part,
            rows=[cells(row) for row in part.rows],
            said=said,
            wrong=wrong,
            address=f"{self.path}?{given}&" if given else f"{self.path}?",
            **({"answer": None, "button": None, "above": None, "form": None} | what),
        )
