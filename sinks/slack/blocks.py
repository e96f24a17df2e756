"""What an incident looks like in Slack: the message, the story in its thread, within the limits of Block Kit."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from monitor.common.notification import IncidentView, Notification, Offer, Reason
from monitor.common.severity import Severity
from monitor.common.text import clip, printable, prose
from monitor.common.wording import (
    claim,
    closing,
    decision,
    facts,
    following,
    origin,
    place,
    seen,
    steps,
    surroundings,
    works,
)
from sinks.text import counter, first_steps, headline, link, links, listing

__all__ = ["BROADCAST", "STORY", "dated", "escape", "message", "section", "story"]

_MOMENT = re.compile(r"\b([0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}(?::[0-9]{2})?) UTC\b")  # as in wording
ICON: dict[Severity, str] = {"critical": "🔴", "high": "🟠", "medium": "🟡", "low": "🔵", "info": "⚪"}
PLACES = 5  # shown of one incident
ROWS = 10  # incidents shown of a group
COUNTER = 20  # rules counted of a group that is not shown whole
# Slack's limits are 150 for a header, 3,000 for a section, 2,000 for a field, about 13,200 for all blocks together.
HEADER, SECTION, FIELD = 150, 2900, 600

# Told in the thread; `update` only changes the root message, which is what group_interval asks for.
STORY: dict[Reason, str] = {
    "escalated": "Severity is now *{severity}*",
    "reopened": "Seen again after it was resolved",
    "reopened_by_hand": "Reopened",
    "recovered": "Over",
    "repeat": "Still exposed",
    "overdue": "Overdue",
    "progress": "",
    "digest": "More that look the same",  # of a thread: the first has no message before it
    "acknowledged": "Acknowledged",
    "resolved": "Resolved",
}
BROADCAST = frozenset(
    {"escalated", "reopened", "repeat", "overdue"}
)  # shown in the channel too: an edit alone alerts nobody


def escape(text: str, limit: int) -> str:
    """Untrusted text for mrkdwn: one line, `&<>` escaped (which also disarms `<!channel>`), at most `limit` units."""
    escaped = printable(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    cut = clip(escaped, limit)
    if cut is not escaped and cut != escaped:
        cut = re.sub(r"&[a-z]{0,3}…$", "…", cut)  # no half of an entity
    return cut


def dated(text: str) -> str:
    """Escaped text with its times as Slack shows them: in the zone of whoever reads."""
    return _MOMENT.sub(_date, text)


def _date(found: re.Match[str]) -> str:
    try:
        seconds = int(datetime.fromisoformat(f"{found[1]}+00:00").timestamp())
    except ValueError:
        return found[0]
    return f"<!date^{seconds}^{{date_short_pretty}} {{time}}|{found[0]}>"


def _quoted(text: str, limit: int) -> str:
    """Untrusted text as code; a back-tick would end it."""
    return f"`{escape(text.replace('`', 'ˋ'), limit)}`"


def message(notification: Notification, buttons: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    """`text` (for notifications and old clients) and `blocks`, within Slack's limits. `buttons`: blocks that go last;
    with them nobody has to type a command."""
    state = notification.action if notification.incidents else "trigger"
    icon = {"resolve": "✅", "acknowledge": "👀"}.get(state, ICON[notification.severity])
    title = f"{icon} {notification.severity.capitalize()}: {headline(notification)}"
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": clip(title, HEADER), "emoji": False}}
    ]
    if len(notification.incidents) == 1:
        blocks += _one(notification.incidents[0], typed=not buttons)
    elif notification.incidents:
        blocks += _many(notification)
    elif lines := prose(notification.text):
        blocks.append(section("\n".join(dated(escape(line, 500)) for line in lines[:5])))
    if linked := _links(notification):
        blocks.append({"type": "context", "elements": [_mrkdwn(linked)]})
    return {"text": escape(title, 500), "blocks": [*blocks, *buttons]}


def _one(incident: IncidentView, *, typed: bool) -> list[dict[str, Any]]:
    fields = (
        ("Secret", _quoted(incident.masked, FIELD)),
        ("Seen", dated(escape(seen(incident), FIELD))),
        ("Confidence", escape(incident.confidence, FIELD)),
        ("Does it work?", dated(escape(works(incident), FIELD))),
        ("Owner", escape(incident.owner or "", FIELD)),
        ("Decision", dated(escape(decision(incident), FIELD))),
        ("Facts", escape(facts(incident), FIELD)),
    )
    under_way = [_action(offer) for offer in incident.offers if offer.state]
    around = surroundings(incident)
    sections = (
        ("Where", "\n".join(_where(incident))),
        ("Line", _quoted(around, FIELD) if around else ""),
        ("What to do first", "" if incident.state == "resolved" else escape(incident.first_step, 1500)),
        ("Runbook", dated(escape(steps(incident), 500))),
        ("Actions", "\n".join(under_way[:PLACES])),
    )
    commands = (
        ("acknowledge" if incident.state == "open" else "resolve", following(incident)),
        ("claim the next step", claim(incident)),
    )
    return [
        {"type": "section", "fields": [_mrkdwn(f"*{label}*\n{said}") for label, said in fields if said]},
        *(section(f"*{label}*\n{said}") for label, said in sections if said),
        *(
            {"type": "context", "elements": [_mrkdwn(f"To {to}: {_quoted(words, 500)}")]}
            for to, words in commands
            if typed and words
        ),
    ]


def _where(incident: IncidentView) -> list[str]:
    where: list[str] = []
    for location in incident.locations[:PLACES]:
        line = f"{_quoted(place(location), 300)} {escape(origin(location), 200)}"
        if url := _url(location.url, "open", 400):
            line += f" {url}"
        if 2 * (sum(len(row) for row in where) + len(line)) > SECTION:  # twice: a character may be two units
            break
        where.append(line)
    hidden = min(len(incident.locations), incident.occurrences) - len(where)
    if hidden > 0:
        where.append(f"and {hidden:,} more")
    return where


def _action(offer: Offer) -> str:
    who = f", approved by {escape(', '.join(offer.given), 200)}" if offer.given else ""
    counted = f", {len(offer.given)} of {offer.needed} have approved it" if offer.state == "planned" else ""
    return f"{_quoted(offer.name, 64)} {offer.state}{counted or who}"


def _many(notification: Notification) -> list[dict[str, Any]]:
    rows = []
    for incident in notification.incidents[:ROWS]:
        where = f" in {_quoted(place(incident.locations[0]), 120)}" if incident.locations else ""
        name = escape(incident.name, 60)
        rows.append(
            f"{ICON[incident.severity]} {name} {_quoted(incident.masked, 40)}{where}, {incident.occurrences:,}×"
        )
    hidden = len(notification.incidents) - len(rows)
    if hidden > 0:
        rows.append(f"and {hidden:,} more: {_quoted(listing(notification), 500)}")
    blocks = [section("\n".join(rows))]
    if hidden > 0:
        counted = [escape(row, 120) for row in counter(notification)[:COUNTER]]
        blocks.append(section("\n".join(["*All of them*", *counted])))
    if steps := first_steps(notification):
        blocks.append(section("\n".join(["*What to do first*", *(escape(step, 500) for step in steps)])))
    return blocks


def _links(notification: Notification) -> str:
    url, runbook = links(notification)
    return "  ·  ".join(filter(None, (_url(url, "Open in the console", 950), _url(runbook, "Runbook", 950))))


def _url(url: str | None, label: str, limit: int) -> str:
    good = link(url)
    return f"<{good.replace('&', '&amp;')}|{label}>" if good and len(good.encode("utf-16-le")) <= 2 * limit else ""


def story(notification: Notification, words: str) -> str:
    """A reply in the thread."""
    if notification.reason == "overdue":
        return dated(escape(f"{headline(notification)}. {notification.text}", 1000))
    if notification.reason == "progress":
        return "\n".join(dated(escape(line, 1000)) for line in prose(notification.text)) or "Something changed"
    text = words.format(severity=notification.severity)
    if len(notification.incidents) != 1:
        return f"{text}: {escape(headline(notification), 300)}"
    incident, reason = notification.incidents[0], notification.reason
    who = incident.actor or incident.owner
    decided = reason in ("acknowledged", "resolved", "reopened_by_hand")
    parts = (
        f": {escape(incident.name, 150)} {_quoted(incident.masked, 100)}" if reason in BROADCAST else "",
        f", {dated(escape(seen(incident), 200))}" if reason in ("reopened", "repeat") else "",
        escape(closing([replace(incident, actor=who)]), 200) if reason == "resolved" else "",
        f" by {escape(who, 100)}" if who and decided and reason != "resolved" else "",
        f": {escape(incident.note, 500)}" if incident.note and decided else "",
        *(f", last in {_quoted(place(last), 300)}" for last in incident.locations[:1] if reason == "reopened"),
    )
    return text + "".join(parts)


def _mrkdwn(text: str) -> dict[str, Any]:
    # verbatim: no guessing of links, channels or mentions in what a log line brought here
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": _mrkdwn(clip(text, SECTION))}
