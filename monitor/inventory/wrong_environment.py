"""Our own secrets where they should not be: pure. Each case is a finding of its own, with a fingerprint of its own.

Without the value: from its fingerprint, what is known of it, and the environment of who logged it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from detectors.fingerprint import fingerprint
from monitor.domain.model import Finding, OwnedSecret
from monitor.scanning.occurrence import finding_id

__all__ = ["ELSEWHERE", "SHARED", "elsewhere", "placed", "shared"]

ELSEWHERE, SHARED = "own-secret-elsewhere", "own-secret-shared"


def elsewhere(found: Iterable[Finding], environment: str, key: bytes) -> list[Finding]:
    """Of findings in a source of `environment`, a further one for each secret that is of another only."""
    out = []
    for finding in found:
        homes = finding.labels.get("environment", "").split(", ")
        if not environment or "secret" not in finding.labels or environment in homes or homes == [""]:
            continue
        name = f"{finding.labels['secret']}: a secret of {', '.join(homes)} in {environment}"
        print_ = fingerprint(key, f"{ELSEWHERE} {finding.fingerprint} {environment}".encode())
        labels = {**finding.labels, "seen_in": environment, "own_fingerprint": finding.fingerprint}
        id_ = finding_id(finding.generation, finding.offset, ELSEWHERE, print_)
        out.append(replace(finding, id=id_, rule=ELSEWHERE, name=name, fingerprint=print_, labels=labels))
    return out


def placed(found: list[Finding], environment: str) -> list[Finding]:
    """The findings with the environment of the source, for routes, where nothing says which the secret itself is of."""
    if not environment:
        return found
    return [replace(one, labels={"environment": environment, **one.labels}) for one in found]


def shared(owners: Mapping[str, Sequence[OwnedSecret]], key: bytes, now: float) -> list[Finding]:
    """A finding for each value that is in use in several environments at once."""
    out = []
    for known, owned in owners.items():
        used = [one for one in owned if one.standing == "current"]
        environments = sorted({one.environment for one in used if one.environment})
        if len(environments) < 2:
            continue
        names = sorted({f"{one.entry}/{one.name}" for one in used})
        print_ = fingerprint(key, f"{SHARED} {known} {' '.join(environments)}".encode())
        finding = Finding(
            id=finding_id("inventory", 0, SHARED, print_),
            rule=SHARED,
            name=f"{used[0].name}: one value in {', '.join(environments)}",
            severity="high",
            confidence="high",
            fingerprint=print_,
            masked="…",
            source="inventory",
            path=", ".join(names)[:1000],
            generation="inventory",
            offset=0,
            time=now,
            labels={"secret": used[0].name, "environment": ", ".join(environments), "own_fingerprint": known},
            runbook="generic-secret",
        )
        out.append(finding)
    return out
