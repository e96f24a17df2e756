"""What a script of a workflow would print: a reader of just so much shell as is needed to see a secret echoed.

What it knows to print is said; what it knows to keep a secret to itself passes. Of all else, such as a program or code
of another language that has the secret in its environment, nobody has looked at what it prints: that is said, too.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["DIRECT", "PrintedSecret", "Reach", "programs", "read"]

# An expression that yields a secret, `${{ secrets.X }}`, `${{ toJSON(secrets) }}`, `${{ github.token }}`.
_NEAR = r"(?:(?!\}\}).){0,200}"  # bounded: a script may be full of beginnings without an end
DIRECT = re.compile(rf"(?i)\$\{{\{{{_NEAR}\b(?:secrets\s*(?:\.|\[|\))|github\.token\b){_NEAR}\}}\}}")
_STANDS_FOR_ONE = "${{ secrets.X }}"
_PRINTS = re.compile(r"(?i)^(?:echo|printf|print|write-(?:host|output|information)|logger)$")
_SHOWS = re.compile(  # what prints what it is piped, in clear or in a form that GitHub's masking does not know
    r"(?i)^(?:cat|tee|base64|base32|xxd|od|hexdump|rev|sed|awk|tr|head|tail|cut|fold|grep|sort|jq|tac|nl|less|more|openssl"
    r"|iconv|strings|xargs|uniq|wc|paste|column|diff)$"
)
_DUMPS = re.compile(
    r"(?i)^(?:env|printenv|set|export(?:\s+-p)?|(?:declare|typeset)(?:\s+-\w*[px]\w*(?:\s.*)?)?|(?:get-childitem|gci|dir|ls)\s+env:\S*)$"
)
_TRACES = re.compile(
    r"(?i)^(?:set\s+(?:-\w*x\w*(?:\s.*)?|-o\s+xtrace)|(?:ba|z|k|da)?sh\s+-\w*x\w*(?:\s.*)?|set-psdebug\s+-trace.*)$"
)
_ENVIRON = re.compile(r"/proc/[\w$*{}]+/environ\b")
# The rest of a shell: nothing of it prints a variable. With a secret among its words `for`, `case` … are not followed.
_SILENT = re.compile(
    r"^(?:cd|:|true|false|test|\[\[?|exit|return|shift|wait|sleep|mkdir|rmdir|rm|cp|mv|touch|chmod|chown|ln|ls|pwd|umask|ulimit"
    r"|unset|set|then|else|elif|fi|do|done|esac|\}|\)|break|continue|date|which|uname|whoami|id|export|local|readonly"
    r"|declare|tar|gzip|gunzip|zip|unzip|exit\d*)$"
)
_TESTS = re.compile(
    r"^(?:test|\[\[?|:|true|false|unset|then|else|do)$"
)  # which name nothing that they were handed in an error
_LEAVES = re.compile(r"^(?:rm|rmdir|chmod|chown|test|\[\[?|touch|unset)$")  # a file as it is
_COPIES = re.compile(r"^(?:cp|mv|ln|tar|zip|gzip|gunzip|unzip)$")
_BLOCK = re.compile(r"^(?:for|case|select|function)$")
# Programs whose output is known not to hold what they are handed, with the words that come first.
_QUIET = re.compile(
    r"^(?:docker\s+(?:login|logout|push|pull|tag)|podman\s+(?:login|logout|push|pull|tag)|helm\s+registry\s+login"
    r"|gh\s+(?!auth\s+(?:token|status)\b)(?:auth|release|pr|issue|workflow|run|repo|secret)|cosign\s+(?:sign|login)|ssh-add"
    r"|gpg\s+(?:--\S+\s+)*--import|curl|git\s+(?:add|commit|fetch|push|pull|checkout|tag|config\s+(?:--\w+\s+)?user\.\w+)|aws\s+s3)(?=\s|$)"
)
_REACHES = re.compile(  # the environment from within sed, awk, jq …; files in which programs keep what they were handed
    r"ENVIRON|\bENV\b|\benv\b|\bsystem\(|getline|\.docker/config\.json|\.(?:npmrc|netrc|pypirc|git-credentials)\b"
    r"|\.(?:aws/credentials|kube/config|git/config)|\bid_(?:rsa|ed25519|ecdsa)\b"
)
_LOUDLY = re.compile(r"(?:^|\s)(?:-[a-zA-Z]*v[a-zA-Z]*|--verbose|--debug|--trace\S*)(?=\s|$)")
_CODE = re.compile(
    r"(?i)^(?:node|nodejs|deno|bun|python[\d.]*|ruby|perl|php|pwsh|powershell|osascript|lua|(?:ba|z|k|da)?sh)$"
)
_CODE_PRINTS = re.compile(
    r"(?i)\b(?:print\w*|puts|echo|say|console\.\w+|std(?:out|err)|write(?:line|-\w+)?|dump|log)\b"
)
_REDIRECT = re.compile(r"(?<![0-9&<])[12]?>{1,2}\s*(\"[^\"]*\"|'[^']*'|\S+)")
_BACK = re.compile(
    r"^[\"']?(?:&[12]|/dev/(?:stdout|stderr|tty|fd/[12])|/proc/self/fd/[12]|\$\{?GITHUB_STEP_SUMMARY\}?|\$env:GITHUB_STEP_SUMMARY)"
)
_ON = re.compile(r"\bGITHUB_(?:ENV|OUTPUT|STATE)\b")  # what is written there later steps have
_NAMED = re.compile(r"[\"'\s]([A-Za-z_]\w*)=")
_ASSIGNS = re.compile(r"^(?:(?:export|local|readonly|declare(?:\s+-\w+)?)\s+)?([A-Za-z_]\w*)=(.*)$", re.DOTALL)
_PREFIX = re.compile(
    r"^(?:(?:sudo|if|elif|while|until|then|do|else|exec|command|builtin|time|!|\{|\()\s+|[A-Za-z_]\w*=(?:\"[^\"]*\"|'[^']*'|\S*)\s+)+"
)
_MASKS = re.compile(r"\s*(?:[\"']?::add-mask::|-v\s)")  # which hides it from now on; which prints into a variable
_HERE = re.compile(r"(?<!<)<<(?!<)-?\s*([\"']?)([A-Za-z_]\w*)\1")
_INNER = re.compile(r"[$<]\(([^()`]{1,500})\)|`([^`]{1,500})`")
_SINGLE_QUOTED = re.compile(r"'[^']*('?)|(\"[^\"]*\"?)")
# What is passed over by who looks for the end of a command: GitHub's expressions, and what is quoted.
_EXPRESSION = r"\$\{\{.*?(?:\}\}|\Z)"
_PASSED = rf"{_EXPRESSION}|\"(?:{_EXPRESSION}|[^\"])*\"?|'(?:{_EXPRESSION}|[^'])*'?"
_ENDS = re.compile(rf"{_PASSED}|(?P<end>;|&&|\|\|)", re.DOTALL)
_PIPES = re.compile(rf"{_PASSED}|\|\||(?P<end>(?<!>)\|)", re.DOTALL)
_DEEPEST, _MOST = 4, 20  # commands within a command


class PrintedSecret(NamedTuple):
    """`line` from 0. `sure`: it prints a secret; else nobody has looked at what it prints."""

    line: int
    text: str
    sure: bool


@dataclass
class Reach:
    """What holds a secret by now: variables, and files. Later steps of a job have what earlier ones put there."""

    variables: set[str] = field(default_factory=set)
    files: set[str] = field(default_factory=set)

    def held(self, text: str) -> str:
        """What of a secret is in there; empty: nothing. A shell expands no variable between single quotes."""
        if DIRECT.search(text):
            return "a secret of the expression"
        if not self.variables:
            return ""
        # ${NAME:+set} and ${#NAME} say whether there is one, and not which.
        names = "|".join(map(re.escape, sorted(self.variables, key=len, reverse=True)))
        found = re.search(
            rf"\$(?:({names})\b|\{{!?({names})(?!:?\+)\b[^}}]*\}}|env:({names})\b)|%({names})%"
            rf"|\$\{{\{{[^}}]{{0,200}}\boutputs\.({names})\b",
            _SINGLE_QUOTED.sub(r"\1\2", text),
        )
        return f"the secret in {next(filter(None, found.groups()))}" if found else ""

    def shown(self, text: str) -> str:
        """Which file with a secret is named in there."""
        words = {word.strip("\"'") for word in re.split(r"[\s<>=|;()]+", text)}
        return next((name for name in sorted(self.files) if name in words), "")


def read(script: str, secret: Collection[str], shell: str = "", reach: Reach | None = None) -> Iterator[PrintedSecret]:
    """What it prints of secrets, and what nobody can tell. `secret`: variables that hold one; `shell`: how the script
    is run; `reach`: what earlier steps have put somewhere, and this one will."""
    later = reach if reach is not None else Reach()
    here = Reach({*secret, *later.variables}, later.files)
    if not (here.variables or here.files or DIRECT.search(script)):
        return
    how = shell.replace("{0}", "").strip()
    if _TRACES.match(how):
        yield PrintedSecret(0, "its shell traces each command (-x) with the secrets in it", True)
    word = _word(how.partition(" ")[0])
    if word and not re.fullmatch(r"(?:ba|z|k|da)?sh|pwsh|powershell", word):
        yield _code(0, word, script, here)
        return
    for line, command, body in _commands(script):
        yield from _command(line, command, body, here, later)


def programs(script: str) -> Iterator[str]:
    """What it runs: each command with its arguments, without what stands before it, such as `if` or `exec`."""
    for _, command, _ in _commands(script):
        yield from (_PREFIX.sub("", part.strip()) for part in _split(command, _PIPES))


def _command(
    line: int, command: str, body: str, reach: Reach, later: Reach, *, depth: int = 0
) -> Iterator[PrintedSecret]:
    for number in itertools.count():
        if (inner := _INNER.search(command)) is None:
            break
        if depth == _DEEPEST or number == _MOST:
            yield PrintedSecret(line, "so many commands within a command were not looked at", False)
            return
        said = [
            one
            for _, part, text in _commands(inner[1] or inner[2])
            for one in _command(line, part, text, reach, later, depth=depth + 1)
        ]
        yield from (one for one in said if not one.sure)
        held = any(one.sure for one in said)
        stands = f"{'<<< ' if inner[0].startswith('<') else ''}{_STANDS_FOR_ONE}" if held else "-"
        command = f"{command[: inner.start()]}{stands}{command[inner.end() :]}"
    if (assigned := _ASSIGNS.match(command)) is not None and _whole(assigned[2]):
        if reach.held(assigned[2]) or reach.shown(assigned[2]):
            reach.variables.add(assigned[1])
        return
    parts = _split(command, _PIPES)
    first = _PREFIX.sub("", parts[0].strip())
    loud = _reaches_the_log(first, parts)
    answer = _says(first, body, reach, loud=loud)
    _hand_on(command, body, reach, later)
    if answer is not None:
        yield PrintedSecret(line, *answer)
        if answer[1]:
            return
    if ">(" in command:
        yield PrintedSecret(line, *_unseen("a command that is handed output"))
    for part in parts[1:]:
        text = _PREFIX.sub("", part.strip())
        if (answer := _says(text, "", reach, loud=loud)) is not None:
            yield PrintedSecret(line, *answer)


def _says(first: str, body: str, reach: Reach, *, loud: bool) -> tuple[str, bool] | None:
    """What one command prints of a secret, and whether that is sure; None: nothing. `loud`: its output can be read."""
    bare = " ".join(_REDIRECT.sub(" ", first).split())
    word, _, rest = first.partition(" ")
    word, held = _word(word), reach.held(first)
    if not word or word.startswith("#"):
        return None
    if _TRACES.match(bare):
        return f"`{' '.join(bare.split()[:2])}` prints each command with the secrets in it", True
    if _ENVIRON.search(first):
        shows = _SHOWS.match(word) is not None
        return (f"{word} prints the environment of a process", True) if shows and loud else _unseen(word)
    if _DUMPS.match(bare):
        return (f"`{bare}` prints every variable", True) if loud and reach.variables else None
    if word.lower() == "printenv":
        return ("printenv prints a secret", True) if loud and set(rest.split()) & reach.variables else None
    if _PRINTS.match(word):
        if held and loud and not _MASKS.match(rest):
            return f"{word} prints {held}", True
        return _unseen(f"{word} of a variable by its name,") if "${!" in rest and not held else None
    if _SHOWS.match(word):
        there = reach.shown(rest)
        given = (
            (held if "<<<" in rest else "") or _expanded(first, body, reach) or (there and f"{there}, with a secret")
        )
        if given and loud:
            return f"{word} prints {given}", True
        return _unseen(word) if word == "xargs" or held or _REACHES.search(rest) else None
    if _QUIET.match(bare):
        if _LOUDLY.search(rest):
            return (f"{word} prints the headers that it sends, with {held}", True) if held else _unseen(word)
        return _unseen(f"{word}, with {held} in its arguments,") if word == "git" and held else None
    if _SILENT.match(word) or _BLOCK.match(word):
        named = (held and not _TESTS.match(word)) or (reach.shown(first) and not _LEAVES.match(word))
        return _unseen(f"{word}, with {held or 'a file with a secret'},") if named else None
    if _CODE.match(word):
        said = _code(0, word, f"{rest}\n{body}", reach)
        return said.text, said.sure
    return _unseen(word if re.fullmatch(r"[\w./-]{1,60}", word) else "a command")


def _unseen(what: str) -> tuple[str, bool]:
    return f"{what} has secrets in its reach, and what it prints was not looked at", False


def _code(line: int, word: str, code: str, reach: Reach) -> PrintedSecret:
    """Code of another language, which is not read: but who names a secret and prints is not hard to see."""
    names = next((name for name in sorted(reach.variables) if re.search(rf"\b{re.escape(name)}\b", code)), None)
    named = reach.held(code) or (names and f"the secret in {names}")
    if named and _CODE_PRINTS.search(code):
        return PrintedSecret(line, f"code of {word} prints {named}", True)
    return PrintedSecret(line, f"{word} runs code that was not looked at, with secrets in its reach", False)


def _hand_on(command: str, body: str, reach: Reach, later: Reach) -> None:
    """Where the command puts a secret, if it does."""
    dumps = _DUMPS.match(" ".join(_REDIRECT.sub(" ", command).split())) and reach.variables
    if not (dumps or reach.held(command) or reach.held(body) or reach.shown(command)):
        return
    targets = [target.strip("\"'") for target in _REDIRECT.findall(command)]
    targets += [word for part in _split(command, _PIPES) for word in _tee(part.strip())]
    for target in targets:
        if _ON.search(target):
            named = set(_NAMED.findall(f" {command}\n{body}"))
            later.variables |= named
        elif not _BACK.match(target):
            reach.files.add(target)
    words = command.split()
    if _COPIES.match(_word(words[0])):
        reach.files |= {word.strip("\"'") for word in words[1:] if not word.startswith("-")}
    if words[:2] == ["printf", "-v"] and len(words) > 2:
        reach.variables.add(words[2])


def _tee(part: str) -> list[str]:
    words = part.split()
    return (
        [word.strip("\"'") for word in words[1:] if not word.startswith(("-", "<", ">"))]
        if words[:1] == ["tee"]
        else []
    )


def _expanded(first: str, body: str, reach: Reach) -> str:
    """What of a secret is in a here-document: in a quoted one only what GitHub puts there."""
    here = _HERE.search(first)
    if here is not None and here[1]:
        return "a secret of the expression" if DIRECT.search(body) else ""
    return reach.held(body.replace("'", ""))


def _word(word: str) -> str:
    """The name of a program: `/usr/bin/echo`, `\\echo` and `"echo"` are echo."""
    plain = word.strip("\"'\\")
    return plain.rpartition("/")[2] if plain.startswith(("/usr/", "/bin/")) else plain


def _whole(value: str) -> bool:
    """Whether nothing follows that would be a command with the assignment in its environment."""
    return re.fullmatch(r"\s*(?:\"[^\"]*\"|'[^']*'|\$\{\{[^}]*\}\}|[^\s\"'])*\s*", value) is not None


def _reaches_the_log(first: str, parts: list[str]) -> bool:
    """Not into a file, nor into a command that keeps it to itself."""
    last = parts[-1].strip() if len(parts) > 1 else first
    targets = _REDIRECT.findall(last)
    if targets and not any(_BACK.match(target) for target in targets):
        return False
    return len(parts) == 1 or bool(_SHOWS.match(_PREFIX.sub("", last).partition(" ")[0]))


def _commands(script: str) -> Iterator[tuple[int, str, str]]:
    """Line and text of each command, and the here-document that it gets; lines that go on are joined, comments left
    out."""
    lines = script.split("\n")
    number = 0
    while number < len(lines):
        start = number
        text, number = _whole_line(lines, number)
        text = text.strip()
        if text.startswith("#"):
            continue
        body = ""
        if (here := _HERE.search(text)) is not None:
            end = next((n for n in range(number, len(lines)) if lines[n].strip() == here[2]), len(lines))
            body, number = "\n".join(lines[number:end]), end + 1
        for part in _split(text, _ENDS):
            if part.strip():
                yield start, part.strip(), body if _HERE.search(part) else ""


def _whole_line(lines: list[str], number: int) -> tuple[str, int]:
    """A line without its comment, with those in which it goes on; and the number of the next."""
    text, quote, at = "", "", number
    while at < len(lines):
        line, quote = _without_comment(lines[at].rstrip("\r"), quote)
        at += 1
        if quote:
            text += line + "\n"
        elif _goes_on(line):
            text += line[:-1] + " "
        elif line.rstrip().endswith("|"):
            text += line + " "
        else:
            return text + line, at
    if quote and at > number + 1:  # no end of it: each line for itself, as it was no quote at all
        return lines[number].strip(), number + 1
    return text, at


def _without_comment(line: str, quote: str) -> tuple[str, str]:
    """Up to its comment, and the quote that is open at its end. `quote`: that which is at its beginning."""
    at = 0
    while at < len(line):
        char = line[at]
        if quote:
            at += char == "\\" and quote == '"'
            quote = "" if char == quote else quote
        elif char == "\\":
            at += 1
        elif char in "\"'":
            quote = char
        elif char == "#" and (at == 0 or line[at - 1].isspace()):
            return line[:at], ""
        at += 1
    return line, quote


def _goes_on(line: str) -> bool:
    """A backslash that is not itself quoted, or PowerShell's backtick."""
    return (line.endswith("`") and line.count("`") % 2 == 1) or (len(line) - len(line.rstrip("\\"))) % 2 == 1


def _split(text: str, ends: re.Pattern[str]) -> list[str]:
    """At what the pattern calls an end."""
    at = [match.span() for match in ends.finditer(text) if match["end"]]
    return [text[start:end] for (_, start), (end, _) in itertools.pairwise([(0, 0), *at, (len(text), 0)])]
