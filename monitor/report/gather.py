"""Everything that the document of an incident tells, read from the store."""

from __future__ import annotations

from monitor.report.dossier import Dossier
from monitor.store import Store

__all__ = ["gather"]

_MOST = 10_000  # notifications about one incident, and uses of its secret


async def gather(store: Store, ref: str) -> Dossier:
    """`ref` as for `Incidents.get`. Raises LookupError and StoreError."""
    incident = await store.incidents.get(ref)
    run, history = await store.runs.get(incident.id), await store.incidents.history(incident.id)
    told = await store.outbox.list(about=incident.id, limit=_MOST)
    names = await store.access.names(incident)
    uses = await store.access.uses(secrets=names, limit=_MOST) if names else []
    return Dossier(incident, run, history, told, store.now(), uses, await store.incidents.joined([incident]))
