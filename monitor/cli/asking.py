"""What a command asks for about one incident: by the verbs of the store, as pages, Slack and the API do, so that what
they refuse is refused here."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING

from monitor.cli.common import person

if TYPE_CHECKING:
    from monitor.common.inbound import Verb
    from monitor.config.config import Config
    from monitor.domain.incidents import Incident
    from monitor.store import Store
    from monitor.store.records import ActionRun

__all__ = ["NotDoneError", "ask", "planned"]


class NotDoneError(Exception):
    """It was not done; the message says why."""


async def ask(store: Store, settings: Config, verb: Verb, incident: str, detail: str = "", *, note: str = "") -> str:
    """Do it now; returns what came of it. `detail`: as requests have it. Raises NotDoneError."""

    from monitor.common.inbound import InboundRequest

    def needed(about: Incident, name: str) -> int | None:
        named = (one for one in settings.actions if one.name == name)
        return next((one.approvals for one in named if one.fits(about.rule, about.labels)), None)

    wanted = InboundRequest(f"command:{secrets.token_hex(12)}", "", verb, person(), incident, detail=detail, note=note)
    answer = await store.requests.do(wanted, needed)
    if not answer.done:
        raise NotDoneError(answer.text)
    return answer.text


async def planned(
    store: Store, settings: Config, incident: str, name: str, parts: Mapping[str, str] | None = None
) -> ActionRun:
    """Plan an action; returns it. Raises NotDoneError."""
    await ask(store, settings, "plan", incident, f"{name} {json.dumps(dict(parts or {}))}")
    # While it waits there is no second one of that name.
    waiting = await store.actions.find(incident=incident, states=("planned", "approved"))
    return next(one for one in waiting if one.action == name)
