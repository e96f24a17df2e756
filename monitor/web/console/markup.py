"""HTML in which nothing from outside is markup: a text is escaped unless it is made here."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from monitor.common.text import printable, web_address

__all__ = ["Markup", "document", "escape", "join", "link", "table", "tag"]

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse}td,th{text-align:left;padding:.2rem 1rem .2rem 0;vertical-align:top}"
    "code,pre{background:#8882;padding:.1rem .3rem;white-space:pre-wrap}"
)


class Markup(str):
    """HTML as it goes out. Made by the functions here alone."""

    __slots__ = ()


def escape(text: str) -> Markup:
    return text if isinstance(text, Markup) else Markup(html.escape("\n".join(map(printable, text.split("\n")))))


def tag(name: str, *inside: str) -> Markup:
    return Markup(f"<{name}>{join(inside)}</{name}>")


def join(parts: Iterable[str]) -> Markup:
    return Markup("".join(map(escape, parts)))


def link(address: str, words: str) -> Markup:
    """To a page of ours, or elsewhere by a web address; the words alone where it is neither."""
    ours = address.startswith("/") and address[1:2] not in ("/", "\\")  # a browser takes `//host` for elsewhere
    if not ours and web_address(address) is None:
        return escape(words)
    away = "" if ours else ' rel="noreferrer"'
    return Markup(f'<a href="{html.escape(address)}"{away}>{escape(words)}</a>')


def table(rows: Iterable[Sequence[str]], heads: Sequence[str] = ()) -> Markup:
    """Without `heads` the first cell of each row says what the others are."""
    head = [tag("tr", *(tag("th", name) for name in heads))] if heads else []
    first = "td" if heads else "th"
    body = [tag("tr", *(tag("td" if place else first, cell) for place, cell in enumerate(row))) for row in rows]
    return tag("table", *head, *body)


def document(title: str, *body: str) -> Markup:
    """A whole page."""
    return Markup(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style><body>{join(body)}</body></html>'
    )
