"""An AWS access key id and its secret key, found close together, are one exposure: the id is a fact of the secret.

The id is no secret (AWS shows and logs it), and CloudTrail is searched by it, so it is shown whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from detectors.match.engine import Match

__all__ = ["pair"]

_ID = "aws-access-key-id"
_KEYS = ("aws-secret-access-key", "aws-secret-access-key-pair")
_WITHIN = 512  # bytes between the two
_CROWD = 10_000  # pairs to look at; where there are more, each stands for itself


def pair(matches: Sequence[Match]) -> tuple[list[Match], Mapping[int, Mapping[str, str]]]:
    """The matches without the ids that belong to a secret key, and by index in them what is to be told of some.

    Where two ids are equally near, nothing says whose is whose: all stay.
    """
    ids = [match for match in matches if match.rule.id == _ID]
    if not ids:
        return list(matches), {}
    keys = [match for match in matches if match.rule.id in _KEYS]
    owned: dict[int, Match] = {}
    for key in keys if len(ids) * len(keys) <= _CROWD else ():
        near = sorted(((_distance(key, one), number) for number, one in enumerate(ids) if one.decode == key.decode))[:2]
        if near and near[0][0] <= _WITHIN and (len(near) == 1 or near[0][0] < near[1][0]):
            owned[id(key)] = ids[near[0][1]]

    merged = {id(one) for one in owned.values()}
    kept = [match for match in matches if id(match) not in merged]
    facts = {}
    for index, match in enumerate(kept):
        named = match if match.rule.id == _ID else owned.get(id(match))
        if named is not None:
            facts[index] = {"access_key_id": named.secret.decode("ascii", "replace")}
    return kept, facts


def _distance(key: Match, other: Match) -> int:
    return max(key.start - other.end, other.start - key.end, 0)
