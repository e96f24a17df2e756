"""What somebody who leaves could read: by policy, and by what audit records show. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from monitor.access.policy import AccessConfig, audited, covers, permits, whole, within

__all__ = ["identities", "reach", "same"]

_APART = re.compile(r"[\s/:@.,|-]+")


def identities(person: str, principals: Iterable[str]) -> list[str]:
    """Under which names audit records know somebody: `anna` is `ldap-anna`, `anna@example.org`,
    `arn:aws:iam::1:user/anna` and `…/anna@example.org`, not `joanna`."""
    wanted = person.casefold()
    found = []
    for principal in dict.fromkeys(principals):
        whole = principal.casefold()
        last = whole.rpartition("/")[2]
        if wanted in (whole, last, last.partition("@")[0]) or wanted in _APART.split(last):
            found.append(principal)
    return found


def reach(
    person: str,
    entries: Sequence[AccessConfig],
    reads: Iterable[tuple[str, str]],
    known: Iterable[str],
) -> Mapping[str, list[str]]:
    """Secret → why it is thought that they know it. `reads`: secret and principal, as audit records have them;
    `known`: names of secrets of the inventory."""
    reads, known = list(reads), list(known)
    who = identities(person, (principal for _, principal in reads))
    reasons: dict[str, list[str]] = {}
    for secret, principal in reads:
        if principal in who:
            reasons.setdefault(secret, []).append(f"{principal} read it")
            for name in known if whole(secret) else ():
                if within(audited(name).partition("#")[0], secret):
                    reasons.setdefault(name, []).append(f"{principal} read {secret}, which it may have been among")

    named = [person, *who]
    there = {audited(name).partition("#")[0] for name in known}
    others = (secret for secret, _ in reads if audited(secret).partition("#")[0] not in there)
    for name in dict.fromkeys([*known, *others]):
        for entry in entries:
            if not entry.never and _permits(entry, person, named) and covers(entry, audited(name)):
                reasons.setdefault(name, []).append(f'[[access]] "{entry.name}" permits them')
    return {secret: list(dict.fromkeys(why)) for secret, why in sorted(reasons.items())}


def same(audit: str, name: str) -> bool:
    """Whether a name of an audit record means this secret of the inventory, or something that it is a part of."""
    path, _, key = audited(audit).partition("#")
    where, _, member = audited(name).partition("#")
    if path != where and (path.rpartition("/")[2] != where or "/" in where):
        return False
    return not key or not member or key == member


def _permits(entry: AccessConfig, person: str, named: Sequence[str]) -> bool:
    """By a pattern that fits a name they are known by, or that names them: `ldap-anna` names anna."""
    own = identities(person, (pattern for pattern in entry.principals if "*" not in pattern))
    return bool(own) or any(permits(entry, name) for name in named)
