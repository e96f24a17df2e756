"""Hints: the rare words that a keyword rule cannot match without.

Keyword rules (`mistral … 32 characters`) are many. As Hyperscan expressions 600 of them took 20 s to compile and halved
the pack's speed. So Hyperscan only looks for hints, the most telling part of each keyword as a pure literal, and a hint
sends the text around it to the confirm regex of the rules it stands for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from detectors.rule import Rule

__all__ = ["hints"]

# Parts of keywords that name no vendor, and words that logs are full of: a hint on one of them would fire all the time.
_COMMON = frozenset(
    "access account admin agent alert apikey apple application audit author authorization authorize batch bearer "
    "board brand brave bridge bucket build cache certificate channel chart check claim client close cloud coding "
    "command commerce common company compute confirm connect console consumer contact content control crypto "
    "custom customer data database datasource debug delivery deploy deployer deployment developer device digest "
    "direct display docker domain drift drive email embedding encryption endpoint engine entry environment error "
    "event export fetch field files flight focus format forms frame front function games gateway genius global "
    "grant graph group header health hooks house image import increase index insert install instance integration "
    "internal invoice issue journal kafka label layer legacy lever library license light limit linear linked "
    "local login machine management manager market master matrix media member merchant message metric metrics "
    "mobile modal model money monitor mysql network nexus night notify notification number oauth object online "
    "option order orders owner oracle parse particle partner party passwd password payment people personal "
    "phantom phone place plain planet platform player plugin point policy polygon portal postgres power "
    "prediction press price primary print private process product production profile project prompt proxy public "
    "publish python query queue quick reader record redis refresh region register relay release remote render "
    "report repository request research resource response reward route runner sandbox scale scanner schema scope "
    "script search secret secure security segment select sender serial server service session setting shared "
    "shift ships signal signature signing slack smart social source space spaces spark speech spring stack "
    "staging stage standard start state station status steam storage store stream string studio style "
    "subscription support surge survey switch swift system table target teams tenant terminal terminus things "
    "ticket timer token tokens topic trace track tracker tracking trade traffic train transaction transfer travel "
    "tree trigger truss trust twist unity update upload users value vault vector verification verify version "
    "video views vision visit voice wallet watch water weather webhook website weights widget worker workspace "
    "world write writer".split()
)
_LEAST = 5  # characters of a part that may stand for its keyword


def _words(keyword: str) -> Iterable[str]:
    """Literals in lower case, of which one stands wherever `keyword` does."""
    parts = re.split(r"[ _.-]+", keyword.lower())
    telling = [p for p in parts if len(p) >= _LEAST and p not in _COMMON]
    if telling:
        return [max(telling, key=len)]
    separators = ["", "_", "-", *(c for c in " ." if c in keyword)]
    return [separator.join(parts) for separator in separators] if len(parts) > 1 else parts


def hints(rules: Sequence[tuple[int, Rule]]) -> list[tuple[bytes, tuple[int, ...]]]:
    """Caseless Hyperscan expressions with the numbers of the rules that cannot match without them.

    A hint that starts with another one adds nothing to find: its rules go to the shorter.
    """
    owners: dict[str, set[int]] = {}
    for number, rule in rules:
        for keyword in rule.keywords:
            for word in _words(keyword):
                owners.setdefault(word, set()).add(number)
    kept: dict[str, set[int]] = {}
    for word in sorted(owners, key=lambda w: (len(w), w)):
        short = next((word[:size] for size in range(3, len(word)) if word[:size] in kept), word)
        kept.setdefault(short, set()).update(owners[word])
    return [(b"(?i)" + re.escape(word).encode(), tuple(sorted(numbers))) for word, numbers in kept.items()]
