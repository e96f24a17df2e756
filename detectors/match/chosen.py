"""Passwords made as people make them, of words and a number, and the places where such words are a password."""

from __future__ import annotations

import re

__all__ = ["PLACE", "chosen", "handed", "made", "opens"]

# What people choose for a password: words and a number (`violet-anvil-river-89`, `GreenAnchor-663`), a name, a sign and
# a year (`Berlin_2024`), or a name, a number and a few letters (`Kestrel65-koc`).
_CHOSEN = re.compile(
    rb"[A-Z]?[a-z]{2,11}([-.])(?:[A-Z]?[a-z]{2,11}\1){1,5}(?:[A-Z]?[a-z]{2,11})?\d{1,4}[!?.#*$]?"
    rb"|[A-Z][a-z]{3,11}[-_.@!#]\d{4}[!?.#*$]?|[a-z]{4,11}[-_.@!#]\d{3,4}[!?.#*$]?|[A-Z][a-z]{3,11}\d{2,4}[-_.@!#][a-z]{2,5}"
    rb"|(?:[A-Z][a-z]{2,11}){2,4}[-_.@!#$%&*+]?\d{2,4}[!?.#*$%&+]?"
    rb"|[A-Z][a-z]{3,11}\d{2,4}[!?#*$@%&+]|[a-z]{3,11}(?:[A-Z][a-z]{2,11}){1,3}[-_.@!#]?\d{2,4}[!?#*$@%&+]?"
    rb"|[a-z]{3,11}[-_.][a-z]{3,11}\d{2,4}[!?#*$@%&+]?|[A-Z]?[a-z]{3,11}\d{2,4}[A-Z]{2,3}"
)
# The same, and a word with two to four digits, for places where nothing but a password can stand.
_MADE = re.compile(rb"[A-Za-z][a-z]{3,11}\d{3,4}[!?.#*$]?|[A-Z][a-z]{2,11}[-_.@!#]?\d{2,4}[!?.#*$]?")
PLACE = {True: b'password = "', False: b"password="}  # such a place, by whether the value is in quotes
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
# The name of a password, right before its value: there a name is rare, and half of the short values are letters only.
_OPENS = re.compile(
    rb"(?i:passw(?:or)?d|pass[_-]?phrase|passwort|pwd|psw\b|pswd|_pass|\bpass|[a-z](?-i:Pass|Pw)|\bpw|_pw|psk|kennwort|clave|senha|contrase\S{1,2}a"
    rb"|mot_?de_?passe|\bmdp|heslo|has(?:l|\xc5\x82)o|wachtwoord|parola|salasana|adgangskode|passord|l(?:o|\xc3\xb6)senord)\w{0,8}[^\w]{1,12}"
    rb"(?:to )?(?:\w{2,8}\([\"'`])?$|\s-(?:p|P|pw) ?$|\bLOGIN [\w.@-]{2,60} $|\b(?:PASS|AUTH|auth_pass|rootpw|bindpw) $"
    rb"|-[\w-]{1,24}(?:pass|pw|pwd)[ =]$|[\"']-p$|(?i:trying|static|creds?|auth)[:=]? ?[\"']?[\w.@-]{2,40}[:/]$"
)
# A call that takes a user and a password, an option of a command, a map of passwords, a pair that is called one.
_HANDED = re.compile(
    rb"(?i:auth|login|log_in|sign_?in|connect|credentials?|mysqli|pdo|password|begin|\bbasic)\w{0,12}(?: ?[=:] ?)?"
    rb"\([^()\n]{0,80}[\"'`]\Z"
    rb"|(?i:auth|login|connect)\w{0,12} [\"'][^\"'\n]{1,40}[\"'], ?[\"']\Z"
    rb"|\bLOGIN [\"']?[\w.@-]{2,60}[\"']? [\"']?\Z|[cC]rypt\w{0,8}\([^()\n]{1,60}, ?[\"']\Z"
    rb"|\s-(?:[pPwAX]|pw|pass)[ =]?[\"']?\Z"
    rb"|(?i:passwords|passwds|credentials)[\"'\s]{0,3}(?:=>|[:=])\s?[\[{(][^\n]{0,60}[\"'`]\Z"
    rb"|(?i:passwort|kennwort) (?:lautet|ist):? \Z|(?i:idrac|ipmi|ilo|bmc|credentials?):? [\w.@-]{2,40}[:/]\Z"
    rb"|(?i:radius|tacacs)[\w. -]{0,60} key (?:0 )?\Z|(?i:password|pwd) ?\|?\n[-+| :]{3,60}\n[^\n]{0,60}\| {0,4}\Z"
    rb"|(?i:password|passwd|pwd|passphrase)\w{0,8}[\"']? {0,24}= \"[^\"\n]{0,200}\" -> \"\Z"
    rb"|(?i:pass\w{0,8}|pwd)\(\)[^\n]{0,20}\breturn [\"']\Z"
    rb"|Parameter(?:Key|Name)\W{1,6}\w{0,24}(?i:passw\w{0,8}|passphrase)\W{1,40}ParameterValue\W{1,6}\Z"
    rb"|(?i:user|login)\w{0,4} ?/ ?(?i:pass\w{0,8}|pwd?)[\"'`\s:=]{1,4}[\w.@-]{2,40} ?[/:,|] ?\Z"
)
_HUMP = re.compile(rb"[A-Z]{2,}(?![a-z])|[A-Z]?[a-z]+|[A-Z]")


def chosen(value: bytes) -> bool:
    """Whether it is made as people make passwords, and of no words that things are named with."""
    return bool(_CHOSEN.fullmatch(value)) and _OF_THINGS.isdisjoint([word.lower() for word in _HUMP.findall(value)])


def made(value: bytes) -> bool:
    """Whether people make passwords so, though names of things look the same: for where only a password stands."""
    if chosen(value):
        return True
    return bool(_MADE.fullmatch(value)) and _OF_THINGS.isdisjoint([word.lower() for word in _HUMP.findall(value)])


def opens(before: bytes) -> bool:
    """Whether the name of a password, or an option that takes one, ends there."""
    return bool(_OPENS.search(before))


def handed(before: bytes) -> bool:
    """Whether what comes next is a password by its place."""
    return bool(_HANDED.search(before[-96:]))
