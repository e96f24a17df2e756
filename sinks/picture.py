"""An alert as a picture: lines with colours for a terminal, which are left out elsewhere."""

from __future__ import annotations

from rich.console import Console
from rich.style import Style
from rich.text import Text

from monitor.common.notification import IncidentView, Notification
from monitor.common.severity import Severity
from monitor.common.text import clip, printable, prose
from monitor.common.wording import (
    claim,
    command,
    decision,
    facts,
    following,
    origin,
    place,
    seen,
    steps,
    sure,
    surroundings,
    works,
)
from sinks.text import counter, first_steps, headline, link, listing

__all__ = ["drawn", "render"]

COLOUR: dict[Severity, str] = {
    "critical": "red",
    "high": "bright_red",
    "medium": "yellow",
    "low": "cyan",
    "info": "blue",
}
PLACES = 3  # shown of one incident
ROWS = 10  # incidents shown of a group
COUNTER = 20  # rules counted of a group that is not shown whole


def drawn(notification: Notification) -> str:
    """The picture with the colours that standard output can show."""
    terminal = Console(highlight=False, soft_wrap=True)
    bar = "┃" if terminal.encoding.lower().startswith("utf") else "|"
    with terminal.capture() as capture:
        for line in render(notification, width=terminal.width, bar=bar):
            terminal.print(line)
        terminal.print()
    return capture.get()


def render(notification: Notification, *, width: int = 100, bar: str = "┃") -> list[Text]:
    """The picture as styled lines. Prose is wrapped to `width`; paths and links are left whole, to be copied."""
    state = notification.action if notification.incidents else "trigger"
    colour = "green" if state == "resolve" else COLOUR[notification.severity]
    word = {"resolve": "resolved", "acknowledge": "acknowledged"}.get(state, notification.severity)
    head = Text.assemble(
        (
            f" {word.upper()} ",
            Style(color="white" if colour in ("red", "blue") else "black", bgcolor=colour, bold=True),
        ),
        " ",
        (clip(headline(notification).removesuffix(f": {word}"), 200), "bold"),
    )
    if len(notification.incidents) == 1:
        body = _one(notification.incidents[0], notification, width)
    elif notification.incidents:
        body = _many(notification, width)
    else:
        body = _prose(notification, width)
    # assembled, not added: a Text that others are added to lends them its style
    return [Text.assemble((f"{bar} ", colour), line) for line in (head, *body)]


def _one(incident: IncidentView, notification: Notification, width: int) -> list[Text]:
    lines = [_field("secret", Text(printable(incident.masked), "bold yellow"))]
    if known := ", ".join(filter(None, (sure(incident), facts(incident)))):
        lines[0].append(f"  {clip(known, 300)}", "dim")
    shown = incident.locations[:PLACES]
    for index, location in enumerate(shown):
        where = Text.assemble((place(location), "cyan"), (f"  {origin(location)}", "dim"))
        lines.append(_field("" if index else "where", where))
        if url := link(location.url):
            lines.append(_field("", Text(url, "underline dim")))
    more = min(len(incident.locations), incident.occurrences) - len(shown)
    if more > 0:
        lines.append(_field("", Text(f"and {more:,} more: {command(incident, 'show')}", "dim")))
    rows = (
        ("line", clip(surroundings(incident), 300)),
        ("works", clip(works(incident), 300)),
        ("seen", seen(incident)),
        ("owner", printable(incident.owner or "")),
        ("decided", decision(incident)),
    )
    lines += [_field(label, Text(said)) for label, said in rows if said]
    if incident.state != "resolved":
        lines += _wrapped("first", printable(incident.first_step), width, "bold")
    lines += _wrapped("steps", steps(incident), width, "red" if incident.run and incident.run.overdue else "")
    lines += _linked("runbook", incident.runbook or notification.runbook)
    lines += _linked("console", incident.url or notification.url)
    typed = (("ack" if incident.state == "open" else "resolve", following(incident)), ("claim", claim(incident)))
    return lines + [_field(label, Text(words, "green")) for label, words in typed if words]


def _many(notification: Notification, width: int) -> list[Text]:
    lines = []
    for incident in notification.incidents[:ROWS]:
        where = place(incident.locations[0]) if incident.locations else ""
        lines.append(
            Text.assemble(
                (f"{incident.severity:<9}", COLOUR[incident.severity]),
                (clip(printable(incident.name), 60), "bold"),
                "  ",
                (printable(incident.masked), "yellow"),
                (f"  {where}", "cyan"),
                (f"  {incident.occurrences:,}×  {printable(incident.id)}", "dim"),
            )
        )
    hidden = len(notification.incidents) - ROWS
    if hidden > 0:
        lines.append(Text(f"{'':<9}and {hidden:,} more", "dim"))
        lines += [
            _field("" if index else "by rule", Text(row)) for index, row in enumerate(counter(notification)[:COUNTER])
        ]
    for index, step in enumerate(first_steps(notification)):
        lines += _wrapped("" if index else "first", step, width, "bold")
    lines += _linked("runbook", notification.runbook)
    lines.append(_field("all", Text(link(notification.url) or listing(notification), "green")))
    return lines


def _prose(notification: Notification, width: int) -> list[Text]:
    lines = []
    for paragraph in prose(notification.text):
        lines += _wrapped(None, paragraph, width, "")
    if url := link(notification.url):
        lines.append(Text(url, Style(underline=True, link=url)))
    return lines


def _field(label: str, value: Text) -> Text:
    return Text.assemble((f"{label:<9}", "dim"), value)


def _linked(label: str, address: str | None) -> list[Text]:
    url = link(address)
    return [_field(label, Text(url, Style(underline=True, link=url)))] if url else []


def _wrapped(label: str | None, text: str, width: int, style: str) -> list[Text]:
    """A label and prose with a hanging indent; nothing for empty prose. Words longer than the line stay whole."""
    indent = 9 if label is not None else 0
    room = max(width - indent - 3, 20)
    rows: list[str] = []
    for word in text.split():
        if rows and len(rows[-1]) + 1 + len(word) <= room:
            rows[-1] += f" {word}"
        else:
            rows.append(word)
    if label is None:
        return [Text(row, style) for row in rows]
    return [_field("" if index else label, Text(row, style)) for index, row in enumerate(rows)]
