"""Issuers that people write as the name of a key: `rollbar = "…"`, `mixpanelProject: "…"`, `new DeepgramClient("…")`.

Nothing there speaks of a credential, so keyword rules, which are asked around what looks like an assignment of one,
would never see it. Each name costs a literal in the first database, so only those of `detectors.rules.issuers` are
looked for there.
"""

from __future__ import annotations

from collections.abc import Iterable

from detectors.rules.issuers import ISSUERS, held

__all__ = ["named"]


def named(
    rules: Iterable[tuple[int, Iterable[str]]], anyone: Iterable[int] = ()
) -> list[tuple[bytes, tuple[int, ...]]]:
    """Hyperscan expressions for names that hold a value, with the numbers of the rules that are to be asked there.

    `rules`: numbers and keywords. `anyone`: rules for whatever an issuer's name holds.
    """
    owners: dict[str, set[int]] = {}
    for number, keywords in rules:
        for word in {keyword.lower() for keyword in keywords} & ISSUERS:
            owners.setdefault(word, set()).add(number)
    for number in anyone:
        for word in ISSUERS:
            owners.setdefault(word, set()).add(number)
    return [(held(word).encode(), tuple(sorted(owners[word]))) for word in sorted(owners)]
