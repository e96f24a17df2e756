"""The message of a notification in the form of chats that take plain webhooks: Discord and Microsoft Teams."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from monitor.common.notification import IncidentView, Notification
from monitor.common.severity import Severity
from monitor.common.text import clip, printable, prose
from monitor.common.wording import (
    claim,
    decision,
    facts,
    following,
    instant,
    origin,
    place,
    seen,
    steps,
    surroundings,
    works,
)
from sinks.text import counter, headline, link, links

__all__ = ["FORMATS", "QUERY"]

COLOUR: dict[Severity, int] = {
    "critical": 0xC62828,
    "high": 0xEF6C00,
    "medium": 0xF9A825,
    "low": 0x0277BD,
    "info": 0x546E7A,
}
_OVER = 0x2E7D32  # what is resolved is red no more, whatever it was
ACCENT: dict[Severity, str] = {
    "critical": "attention",
    "high": "attention",
    "medium": "warning",
    "low": "accent",
    "info": "default",
}
ROWS = 6  # incidents shown of a group; with the cuts below a message stays under Discord's 6,000 characters


def _facts(incident: IncidentView) -> list[tuple[str, str]]:
    """Label and value of what an alert must say about one incident."""
    where = [f"{place(location)} ({origin(location)})" for location in incident.locations[:3]]
    rows = [
        ("Secret", printable(incident.masked)),
        ("Facts", facts(incident)),
        ("Where", "\n".join(clip(row, 250) for row in where)),
        ("Line", surroundings(incident)),
        ("Seen", seen(incident)),
        ("Confidence", printable(incident.confidence)),
        ("Does it work?", works(incident)),
        ("Decision", decision(incident)),
        ("Owner", printable(incident.owner or "")),
        ("First", printable(incident.first_step) if incident.state != "resolved" else ""),
        ("Runbook", steps(incident)),
        ("Claim", claim(incident)),
        ("Incident", f"{printable(incident.id)} ({incident.state})"),
        ("Acknowledge" if incident.state == "open" else "Resolve", following(incident)),
    ]
    return [(label, value) for label, value in rows if value]


def _over(notification: Notification) -> bool:
    return bool(notification.incidents) and notification.action == "resolve"


def _row(incident: IncidentView) -> tuple[str, str]:
    where = clip(place(incident.locations[0]), 150) if incident.locations else ""
    text = f"{printable(incident.masked)}  {where}  {incident.occurrences:,}×"
    return clip(f"{incident.severity}: {printable(incident.name)}", 120), text


def _rows(notification: Notification) -> list[tuple[str, str]]:
    if len(notification.incidents) == 1:
        return _facts(notification.incidents[0])
    rows = [_row(incident) for incident in notification.incidents[:ROWS]]
    if len(notification.incidents) > ROWS:
        total = clip("\n".join(counter(notification)[:10]), 380)
        rows.append((f"{len(notification.incidents) - ROWS:,} more in the console; all of them", total))
    return rows


def _prose(notification: Notification) -> list[str]:
    return [] if notification.incidents else prose(notification.text)[:4]


def _links(notification: Notification) -> list[tuple[str, str]]:
    url, runbook = map(link, links(notification))
    pairs = (("Open", url), ("Runbook", runbook))
    return [(label, url) for label, url in pairs if url and len(url) <= 500]


def _discord(notification: Notification) -> dict[str, Any]:
    def plain(text: str, limit: int) -> str:
        # a zero-width space after each sign that starts markup or a mention keeps it text
        return clip("".join(c + "\u200b" if c in "@*_~`|[]<>#" else c for c in text), limit)

    embed: dict[str, Any] = {
        "title": plain(headline(notification), 250),
        "color": _OVER if _over(notification) else COLOUR[notification.severity],
        "fields": [
            {"name": plain(label, 250), "value": plain(value, 700 if label == "Where" else 400)}
            for label, value in _rows(notification)
        ],
    }
    description = [plain(line, 400) for line in _prose(notification)]
    description += [f"[{label}]({url})" for label, url in _links(notification)]
    if description:
        embed["description"] = "\n".join(description)
    if notification.incidents:
        embed["timestamp"] = instant(max(incident.last_seen for incident in notification.incidents))
    return {"embeds": [embed], "allowed_mentions": {"parse": []}}


def _teams(notification: Notification) -> dict[str, Any]:
    def plain(text: str, limit: int) -> str:
        return clip("".join(f"\\{c}" if c in "\\*_[]()~`<>#" else c for c in text), limit)

    body: list[dict[str, Any]] = [
        {
            "type": "TextBlock",
            "text": plain(headline(notification), 300),
            "weight": "bolder",
            "size": "medium",
            "wrap": True,
            "color": "good" if _over(notification) else ACCENT[notification.severity],
        }
    ]
    body += [{"type": "TextBlock", "text": plain(line, 1000), "wrap": True} for line in _prose(notification)]
    if rows := _rows(notification):
        pairs = [{"title": clip(label, 120), "value": plain(value, 800)} for label, value in rows]
        body.append({"type": "FactSet", "facts": pairs})
    card = {
        "type": "AdaptiveCard",
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "version": "1.4",
        "body": body,
        "actions": [{"type": "Action.OpenUrl", "title": label, "url": url} for label, url in _links(notification)],
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [attachment]}


FORMATS: dict[str, Callable[[Notification], dict[str, Any]]] = {"discord": _discord, "teams": _teams}
QUERY = {"discord": {"wait": "true"}}  # Discord then answers after it has stored the message, with its errors
