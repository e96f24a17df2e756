"""Hints: the rare words that a keyword rule cannot match without.

Keyword rules (`mistral … 32 characters`) are many. As Hyperscan expressions 600 of them took 20 s to compile and halved
the pack's speed. So Hyperscan only looks for hints, the most telling part of each keyword as a literal, and a hint
sends RE2 to look around it. Two thousand of these would still cost as much as the rest of the pack. So keywords that
are written as assignments (`MISTRAL_API_KEY=…`) lie in a database of their own, which is scanned only around what looks
like an assignment of a credential. Of what a hint stands in nothing is tried before a whole keyword of the rule is
there (`detectors.match.windows.named`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise

from detectors.rules.issuers import ISSUERS, held

__all__ = ["held_names", "hints"]

# Parts of keywords that name no vendor, and words that logs are full of: a hint on one of them would fire all the time.
_COMMON = frozenset(
    "abstract abuse access accesstoken account actions adjust admin agent alert analysis apikey apple application "
    "audit author authorization authorize automation basic batch bearer better board bootstrap brand brave bridge "
    "bright bucket buffer build cache capsule certificate channel chart check claim client close cloud coding command "
    "commerce common company compute config confirm connect console constant consumer contact content control cookie "
    "credentials crypto custom customer data database dataset datasource debug default delivery deploy deployer "
    "deployment developer device digest direct discovery display docker domain drift drive email embedding encryption "
    "endpoint engine entry environment error event exact exchange export fetch field files flight focus following "
    "forge format forms frame front function games gateway genius global google grant graph group header health hooks "
    "house identity image import increase index input insert install installation instance integration internal "
    "invoice issue journal kafka label layer legacy lever library license light limit linear linked local location "
    "logic login machine manage management manager market master matrix media member merchant merge message metric "
    "metrics mobile modal model money monitor mysql network nexus night notification notify number oauth object "
    "online option oracle order orders owner parse particle partner party passwd password payload payment people "
    "personal phantom phone phrase place plain planet platform player please plugin point policy polygon portal "
    "postgres power prediction press price primary print private privatekey proceed process product production "
    "profile project prompt props proxy public publish python query queue quick rates reader record recovery redis "
    "refresh region register registration registry relay release remote remove render report reporter repository "
    "request research resource response reward robot route runner sandbox scale scanner schema scope script search "
    "secret secure security segment select sender sensitive serial server service session setting setup shared shift "
    "ships signal signature signing slack smart social source space spaces spark specific speech split spring stack "
    "stage staging standard start state station status steam storage store stream string studio style subscription "
    "support surge survey swift switch system table target teams tenant terminal terminus things ticket timer times "
    "token tokens topic trace track tracker tracking trade traffic train transaction transfer travel tree trigger "
    "truss trust twist unity update upload uptime users validation value vault vector verification verify version "
    "video views vision visit voice wallet watch water weather webhook website weights widget worker workspace world "
    "write writer".split()
)
_LEAST = 5  # characters of a part that may stand for its keyword
_MOST, WHOLE = 8, 24  # so many of it are looked for in every byte, as more add nothing; near assignments


# Parts too short to stand for a keyword, which pairs are chosen without.
_SHORT = frozenset(
    "ai api app auth cli com data dev env http id info io key net org pass pat sdk the url user web".split()
)


def _words(keyword: str, most: int) -> Iterable[str]:
    """Literals in lower case, of which one stands wherever `keyword` does."""
    telling = [p for p in re.split(r"[ _.-]+", keyword.lower()) if len(p) >= _LEAST and p not in _COMMON]
    if telling:
        return [max(telling, key=len)[-most:]]
    parts = re.split(r"[ _-]+", keyword.lower())
    if len(parts) > 2:
        # Two parts tell as much as three, and many keywords of a vendor share them.
        pairs = [pair for pair in pairwise(parts) if any(p not in _COMMON and p not in _SHORT for p in pair)]
        parts = list(max(pairs, key=lambda pair: len("".join(pair)), default=parts))
    separators = ["", "_", "-", *(" " if " " in keyword else "")]
    if len(parts) == 1:
        joint = max((m.end() for m in re.finditer(r"[^a-z0-9]", keyword.lower())), default=0)
        return [_cut(keyword.lower(), joint, most)]
    return [_cut(separator.join(parts), len(parts[0]), most) for separator in separators]


def _cut(word: str, joint: int, most: int) -> str:
    """As much of `word` as Hyperscan's literal matcher looks at: what stands around the joint of two parts tells most.

    Left to itself it takes the end, and `ovh_consumer` would be looked for at every `consumer`.
    """
    start = max(0, min(joint - most // 2, len(word) - most))
    return word[start : start + most]


def hints(rules: Iterable[tuple[int, Iterable[str]]], most: int = _MOST) -> list[tuple[bytes, tuple[int, ...]]]:
    """Caseless Hyperscan expressions with the numbers of the rules that cannot match without them.

    `rules`: numbers and keywords. `most`: characters of an expression.
    A hint that starts with another one adds nothing to find: its rules go to the shorter.
    """
    owners: dict[str, set[int]] = {}
    for number, keywords in rules:
        for keyword in keywords:
            for word in _words(keyword, most):
                owners.setdefault(word, set()).add(number)
    kept: dict[str, set[int]] = {}
    for word in sorted(owners, key=lambda w: (len(w), w)):
        short = next((word[:size] for size in range(3, len(word)) if word[:size] in kept), word)
        kept.setdefault(short, set()).update(owners[word])
    return [(b"(?i)" + re.escape(word).encode(), tuple(sorted(numbers))) for word, numbers in kept.items()]


def held_names(
    rules: Iterable[tuple[int, Iterable[str]]], anyone: Iterable[int] = ()
) -> list[tuple[bytes, tuple[int, ...]]]:
    """Hyperscan expressions for names of issuers that hold a value (`rollbar = "…"`, `new DeepgramClient("…")`), with
    the numbers of the rules that are to be asked there. Nothing there speaks of a credential, so hints near what looks
    like the assignment of one would never see it. Each costs the first database a literal.

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
