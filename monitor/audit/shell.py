"""What a script of a workflow would print: a reader of just so much shell as is needed to see a secret echoed."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

__all__ = ["DIRECT", "echoes"]

# An expression that yields a secret, `${{ secrets.X }}`, `${{ toJSON(secrets) }}`, `${{ github.token }}`.
_NEAR = r"(?:(?!\}\}).){0,200}"  # bounded: a script may be full of beginnings without an end
DIRECT = re.compile(rf"(?i)\$\{{\{{{_NEAR}\b(?:secrets\s*(?:\.|\[|\))|github\.token\b){_NEAR}\}}\}}")
_PRINTS = re.compile(r"(?i)^(?:echo|printf|print|write-(?:host|output|information)|logger)$")
_SHOWS = re.compile(  # what prints what it is piped, in clear or in a form that GitHub's masking does not know
    r"(?i)^(?:cat|tee|base64|base32|xxd|od|hexdump|rev|sed|awk|tr|head|tail|cut|fold|grep|sort|jq|tac|nl|less|more|openssl|iconv)$"
)
_DUMPS = re.compile(
    r"(?i)^(?:env|printenv|set|export(?:\s+-p)?|declare\s+-p?x?p?|typeset|(?:get-childitem|gci|dir|ls)\s+env:\S*)$"
)
_TRACES = re.compile(
    r"(?i)^(?:set\s+(?:-\w*x\w*(?:\s.*)?|-o\s+xtrace)|(?:ba|z|k|da)?sh\s+-\w*x\w*(?:\s.*)?|set-psdebug\s+-trace.*)$"
)
_LOUDLY = re.compile(r"(?:^|\s)(?:-[a-zA-Z]*v[a-zA-Z]*|--verbose|--trace\S*)(?=\s|$)")
_REDIRECT = re.compile(r"(?<![0-9&])[12]?>{1,2}\s*(\"[^\"]*\"|'[^']*'|\S+)")
_BACK = re.compile(r"^[\"']?(?:&[12]|/dev/(?:stdout|stderr|tty)|\$\{?GITHUB_STEP_SUMMARY\}?|\$env:GITHUB_STEP_SUMMARY)")
_PREFIX = re.compile(
    r"^(?:(?:sudo|then|do|else|exec|command|time|!|\{|\()\s+|[A-Za-z_]\w*=(?:\"[^\"]*\"|'[^']*'|\S*)\s+)+"
)


def echoes(script: str, secret: Collection[str], shell: str = "") -> Iterator[tuple[int, str]]:
    """Line (from 0) and what is wrong there. `secret`: variables that hold a secret; `shell`: how the script is run."""
    reader = _Names(secret)
    whole = bool(DIRECT.search(script) or secret)
    if whole and _TRACES.match(shell.replace("{0}", "").strip()):
        yield 0, "its shell traces each command (-x) with the secrets in it"
    for line, command in _commands(script):
        parts = _split(command, "|")
        first = _PREFIX.sub("", parts[0].strip())
        word, _, rest = first.partition(" ")
        bare = " ".join(_REDIRECT.sub(" ", first).split())
        if whole and _TRACES.match(bare):
            yield line, f"`{' '.join(bare.split()[:2])}` prints each command with the secrets in it"
        elif reader.secret and _DUMPS.match(bare) and _reaches_the_log(first, parts):
            yield line, f"`{bare}` prints every variable"
        elif word.lower() == "printenv" and set(rest.split()) & set(secret) and _reaches_the_log(first, parts):
            yield line, "printenv prints a secret"
        elif _PRINTS.match(word) and reader.held(rest) and _reaches_the_log(first, parts):
            if not re.match(r"[\"']?::add-mask::", rest.strip()):
                yield line, f"{word} prints {reader.held(rest)}"
        elif word.lower() == "cat" and "<<<" in rest and reader.held(rest) and _reaches_the_log(first, parts):
            yield line, f"cat prints {reader.held(rest)}"
        elif word.lower() == "curl" and _LOUDLY.search(rest) and reader.held(rest):
            yield line, f"{word} prints the headers that it sends, with {reader.held(rest)}"


class _Names:
    """Finds the secrets in a piece of script."""

    def __init__(self, secret: Collection[str]) -> None:
        self.secret = secret
        names = "|".join(map(re.escape, sorted(secret, key=len, reverse=True)))
        # ${NAME:+set} and ${#NAME} say whether there is one, and not which.
        self._variable = re.compile(
            rf"\$(?:(?P<a>{names})\b|\{{!?(?P<b>{names})(?!:?\+)\b[^}}]*\}}|env:(?P<c>{names})\b)|%(?P<d>{names})%"
        )

    def held(self, text: str) -> str:
        """What of a secret is in there; empty: nothing. A shell expands no variable between single quotes."""
        if DIRECT.search(text):
            return "a secret of the expression"
        match = self._variable.search(_without_single_quotes(text)) if self.secret else None
        return f"the secret in {next(filter(None, match.groups()))}" if match else ""


def _without_single_quotes(text: str) -> str:
    out, quote = [], ""
    for char in text:
        if char == quote:
            quote = ""
        elif not quote and char in "\"'":
            quote = char
        if quote != "'":
            out.append(char)
    return "".join(out)


def _reaches_the_log(first: str, parts: list[str]) -> bool:
    """Not into a file, nor into a command that keeps it to itself."""
    last = parts[-1].strip() if len(parts) > 1 else first
    targets = _REDIRECT.findall(last)
    if targets and not any(_BACK.match(target) for target in targets):
        return False
    return len(parts) == 1 or bool(_SHOWS.match(_PREFIX.sub("", last).partition(" ")[0]))


def _commands(script: str) -> Iterator[tuple[int, str]]:
    """Line and text of each command; lines that go on are joined, comments left out."""
    lines = script.split("\n")
    number = 0
    while number < len(lines):
        start, parts = number, [lines[number].rstrip("\r")]
        number += 1
        while number < len(lines) and _goes_on(parts[-1]):
            parts[-1] = parts[-1][:-1]
            parts.append(lines[number].rstrip("\r"))
            number += 1
        text = " ".join(parts)
        text = re.sub(r"(?:^|(?<=\s))#.*$", "", text).strip() if "'" not in text and '"' not in text else text.strip()
        if text.startswith("#"):
            continue
        for part in _split(text, ";", "&&", "||"):
            yield start, part.strip()


def _goes_on(line: str) -> bool:
    """A backslash that is not itself quoted, or PowerShell's backtick."""
    return line.endswith("`") or (len(line) - len(line.rstrip("\\"))) % 2 == 1


def _split(text: str, *separators: str) -> list[str]:
    """At separators that stand outside of quotes and of `${{ … }}`."""
    parts, at, start, quote = [], 0, 0, ""
    while at < len(text):
        if text.startswith("${{", at):
            end = text.find("}}", at)
            at = len(text) if end < 0 else end + 2
            continue
        char = text[at]
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        else:
            found = next((one for one in separators if text.startswith(one, at)), None)
            if found == "|" and (text.startswith("||", at) or text[at - 1 : at] == ">"):
                at += 2
                continue
            if found is not None:
                parts.append(text[start:at])
                at += len(found)
                start = at
                continue
        at += 1
    return [*parts, text[start:]]
