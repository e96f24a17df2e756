"""What the monitor's own records say: drills, incidents of logs, rotations, and who reads the trail of accesses."""

from __future__ import annotations

import re
import shlex
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime

from monitor.audit import papers
from monitor.audit.check import Evidence, Subject, failed, passed, unknown
from monitor.audit.formats import UnreadError
from monitor.domain.incidents import Incident
from monitor.sources.base import LogConfig
from monitor.store import Store

__all__ = ["emergency", "logs", "trail"]

_DAY = 86_400.0
_FAR = 10_000  # incidents that are read of the last days
_NO_LOGS = ("github", "feed")  # types of sources that tell of others' findings


async def emergency(subject: Subject) -> AsyncIterator[Evidence]:
    """The procedure is written down, and the last drill went through to its end."""
    for piece in papers.emergency(subject):
        yield piece
    if subject.store is None:
        yield unknown(f"whether a drill passed: {subject.no_store}", "monitor drill")
        return
    yield await _drilled(subject, subject.store)


async def _drilled(subject: Subject, store: Store) -> Evidence:
    last = await store.drills.last()
    most = subject.settings.drill
    if last is None:
        return failed("no drill was ever done", "monitor drill")
    repeat = f"monitor incidents timeline {last.fingerprint[:16]}"
    day = datetime.fromtimestamp(last.at, UTC)
    wrong = (
        (not last.found, f"the last drill, on {day:%Y-%m-%d}, was not even found"),
        (
            not (last.acknowledged and last.resolved),
            f"the last drill, on {day:%Y-%m-%d}, did not go through to its end",
        ),
        (
            subject.now - last.at > most,
            f"the last drill passed on {day:%Y-%m-%d}, more than {most / _DAY:.0f} days ago",
        ),
    )
    why = next((text for holds, text in wrong if holds), "")
    return failed(why, repeat) if why else passed(f"the last drill passed on {day:%Y-%m-%d}", repeat)


async def logs(subject: Subject) -> AsyncIterator[Evidence]:
    """No incident of the last days with a place in a log, but for drills and false alarms."""
    days = subject.settings.logs / _DAY
    since = subject.now - subject.settings.logs
    repeat = f"monitor incidents list --since {days:.0f}d --state all"
    if subject.store is None:
        yield unknown(f"what was in the logs: {subject.no_store}", repeat)
        return
    types = {source.name: source.type for source in subject.config.sources}
    followed = [name for name, kind in types.items() if kind not in _NO_LOGS]
    incidents = await subject.store.incidents.find(since=since, order="recent", limit=_FAR, locations=True)
    drills = await subject.store.drills.among([one.fingerprint for one in incidents])
    wrong = 0
    for one in incidents:
        if one.fingerprint in drills or one.resolution in ("false_positive", "used_in_tests"):
            continue
        places = [place for place in one.locations if types.get(place.source, "file") not in _NO_LOGS]
        if places:
            wrong += 1
            yield failed(_seen(one, places[0].path), f"monitor incidents show {one.id}", places[0].path)
    if len(incidents) == _FAR:
        yield unknown(f"more than {_FAR:,} incidents; older ones were not looked at", repeat)
    reached = await subject.store.positions.all()
    for name in followed:
        if name not in reached:
            yield unknown(f"source {name} has not read anything yet", "monitor sources")
    if not followed:
        yield unknown("no source of logs is configured, so nobody looks", "monitor sources")
    if not wrong:
        yield passed(f"no secret in the logs of {len(followed)} sources within {days:.0f} days", repeat)


def _seen(one: Incident, path: str) -> str:
    day = datetime.fromtimestamp(one.last_seen, UTC)
    return f"{one.name} [{one.rule}] {one.masked} in {path}, last on {day:%Y-%m-%d}: incident {one.id}"


# Where it is said that each read of a secret is recorded.
_TRAILS = {
    "an audit device of Vault or OpenBao": re.compile(
        r'(?m)^[ \t]*audit\s+"|\b(?:vault|bao)\s+audit\s+enable\b|"?vault_audit"?'
    ),
    "CloudTrail": re.compile(r"\baws_cloudtrail\b|AWS::CloudTrail::Trail|\bcloudtrail\s+create-trail\b"),
    "Google's data access logs": re.compile(r"\bDATA_READ\b"),
    "a diagnostic setting with AuditEvent": re.compile(r"\bAuditEvent\b"),
    "an audit policy of Kubernetes": re.compile(r"audit\.k8s\.io/"),
}
_CODE = re.compile(r"(?i)\.(?:tf|tofu|hcl|ya?ml|json|sh)$|(?:^|/)Makefile$")


async def trail(subject: Subject) -> AsyncIterator[Evidence]:
    """The monitor reads records of accesses, or the folders say that they are kept."""
    recorded: list[str] = []
    reached = await subject.store.positions.all() if subject.store is not None else {}
    for source in subject.config.sources:
        if isinstance(source, LogConfig) and source.audit is not None:
            recorded.append(source.name)
            if source.name in reached:
                yield passed(f"source {source.name} reads who read which secret ({source.audit})", "monitor sources")
            else:
                why = "" if subject.store is not None else f": {subject.no_store}"
                what = f"source {source.name} ({source.audit}) has not read anything yet{why}"
                yield unknown(what, "monitor sources")
    for piece in _trails(subject):
        recorded.append(piece.path)
        yield piece
    if not recorded:
        repeat = shlex.join(["grep", "-rnE", "cloudtrail|audit", *(str(tree.base) for tree in subject.trees)])
        what = "says that reads of secrets are recorded, and no source reads such records"
        yield (
            unknown(f"no file was there that {what}", repeat)
            if subject.empty
            else failed(f"nothing here {what}", repeat)
        )


def _trails(subject: Subject) -> Iterator[Evidence]:
    """What in the folders switches such records on."""
    for tree in subject.trees:
        for name in tree.named(_CODE, tree.code):
            try:
                text = tree.text(name)
            except UnreadError:
                continue  # too large to be such a file
            for what, pattern in _TRAILS.items():
                if (match := pattern.search(text)) is not None:
                    line = text.count("\n", 0, match.start()) + 1
                    repeat = shlex.join(["sed", "-n", f"{line}p", str(tree.base / name)])
                    yield passed(f"{name}:{line} declares {what}", repeat, name, line)
