"""What programs write to colour text on a terminal, raw or as loggers, JSON and syslog daemons write it out."""

from __future__ import annotations

import re

__all__ = ["OPENS", "SEQUENCE"]

# ESC as it is, as strings write it, as rsyslog does, and as `cat -v` does.
_ESC = rb"(?:\x1b|\\{1,8}(?:u001[bB]|x1[bB]|033|e)|#033|\^\[)"
_BELL = rb"(?:\x07|\\{1,8}(?:u0007|x07|007|a)|#007|\^G)"
# What each of them begins with, in the syntax of Hyperscan.
OPENS = (rb"\x1b[\[\]]", rb"(?:\\(?:u001[bB]|x1[bB]|033|e)|#033|\^\[)(?:\[[0-9;:?]{0,16}[A-Za-z]|\]8;)")
# A colour or movement (CSI); a link or a title (OSC), up to its end.
SEQUENCE = re.compile(
    _ESC + rb"(?:\[[0-9;:?<=>]{0,32}[ -/]{0,4}[@-~]"
    rb"|\]\d{1,4};[^\x07\x1b\n]{0,512}?(?:" + _BELL + rb"|" + _ESC + rb"\\{1,8}))"
)
