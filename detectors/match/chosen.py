"""Passwords made as people make them, of words and a number."""

from __future__ import annotations

import re

from detectors.match.quick import among

__all__ = ["HUMP", "chosen", "maybe_chosen"]

# What people choose for a password: words and a number (`violet-anvil-river-89`, `GreenAnchor-663`), a name, a sign and
# a year (`Berlin_2024`), or a name, a number and a few letters (`Kestrel65-koc`).
_CHOSEN = re.compile(
    rb"[A-Z]?[a-z]{2,11}([-.])(?:[A-Z]?[a-z]{2,11}\1){1,5}(?:[A-Z]?[a-z]{2,11})?\d{1,4}[!?.#*$]?"
    rb"|[A-Z][a-z]{3,11}[-_.@!#]\d{4}[!?.#*$]?|[a-z]{4,11}[-_.@!#]\d{3,4}[!?.#*$]?|[A-Z][a-z]{3,11}\d{2,4}[-_.@!#][a-z]{2,5}"
    rb"|(?:[A-Z][a-z]{2,11}){2,4}[-_.@!#$%&*+]?\d{2,4}[!?.#*$%&+]?"
    rb"|[A-Z][a-z]{3,11}\d{2,4}[!?#*$@%&+]|[a-z]{3,11}(?:[A-Z][a-z]{2,11}){1,3}[-_.@!#]?\d{2,4}[!?#*$@%&+]?"
    rb"|[a-z]{3,11}[-_.][a-z]{3,11}\d{2,4}[!?#*$@%&+]?|[A-Z]?[a-z]{3,11}\d{2,4}[A-Z]{2,3}"
)
# Words of which names of things are made, which look the same: `orders-db-primary-2`, `Error_1205`.
_OF_THINGS = frozenset(
    b"access account admin api app auth backup base bucket build cache case central change client cloud cluster "
    b"code config container core cred credential credentials creds data database db default demo deploy dev disk "
    b"east email entry env error event example external field file form gateway global group handler header host "
    b"http id image index input instance internal invalid issue item job key keys label length level line list "
    b"local log login mail main manager master max message min mode model module name network new node north "
    b"number object old order output page part pass password path phase pod policy pool port primary prod "
    b"production project proxy public query queue read record ref region release replica report request required "
    b"reset role root route rule schema secret secrets section server service session set source south stack stage "
    b"staging state step store string support svc system table target task team template test testing tests text "
    b"the ticket title token topic type unit update url user username users value var vault version view volume "
    b"web west worker write your zone block camera cell centos chapter chunk column debian desktop device fedora "
    b"figure floor laptop member printer python rack room row sensor shard slot switch ubuntu vlan "
    b"window windows".split()
)
maybe_chosen = among((), (_CHOSEN.pattern.replace(rb"([-.])", b"[-.]").replace(rb"\1", b"[-.]"),))
HUMP = re.compile(rb"[A-Z]{2,}(?![a-z])|[A-Z]?[a-z]+|[A-Z]")


def chosen(value: bytes) -> bool:
    """Whether it is made as people make passwords, and of no words that things are named with."""
    return bool(_CHOSEN.fullmatch(value)) and _OF_THINGS.isdisjoint([word.lower() for word in HUMP.findall(value)])
