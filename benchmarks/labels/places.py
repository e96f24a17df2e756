"""Where values stand in a line of code, configuration or documentation, by their shape alone; nothing reads a name.

A place is one assigned, quoted or passed value of 6 to 200 characters without blanks: a string literal, the right
side of an assignment, the text or an attribute of an element, an option's argument, a URL. Every place belongs to one
stratum, which the characters of its value decide.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

__all__ = ["ROOMS", "STRATA", "language", "places", "room", "stratum"]

LONGEST_LINE = 2_000  # what is longer is generated
ROOMS = ("settings", "examples", "program")  # examples: tests, fixtures, documentation
STRATA = ("userinfo", "url", "variable", "hex", "base64", "symbol", "mixed", "words", "path", "digits")
_LANGUAGES = {
    "python": "py",
    "javascript": "js mjs cjs jsx",
    "typescript": "ts tsx",
    "java": "java kt groovy gradle scala",
    "go": "go",
    "php": "php inc phpt",
    "ruby": "rb erb rake",
    "csharp": "cs",
    "shell": "sh bash bats zsh",
    "perl": "pl pm t",
    "erlang": "erl hrl",
    "elixir": "ex exs",
    "lua": "lua",
    "puppet": "pp",
    "yaml": "yaml yml",
    "toml": "toml",
    "ini": "ini cfg conf cnf config service",
    "env": "env envrc",
    "properties": "properties",
    "json": "json json5",
    "xml": "xml xsd plist csproj",
    "terraform": "tf tfvars hcl",
    "sql": "sql ldif",
    "template": "j2 jinja jinja2 tmpl tpl mustache ejs tt",
    "text": "md rst adoc txt markdown org",
}
_BY_SUFFIX = {suffix: name for name, suffixes in _LANGUAGES.items() for suffix in suffixes.split()}
_BARE = frozenset("shell yaml toml ini env properties terraform template text dockerfile".split())
_LINES = frozenset({"ini", "template", "env"})  # formats in which a name and a value stand apart
_SETTINGS = _BARE - {"text", "shell"} | {"json", "xml", "sql"}
_EXAMPLES = frozenset(
    "test tests testing testdata spec specs fixture fixtures example examples sample samples demo contrib doc docs "
    "documentation playground integration acceptance features".split()
)
# Translations, lists of what was installed, logs of changes, licences, copies of other projects, and what other
# scanners are told with: no population of ours.
_LEFT_OUT = re.compile(
    r"(^|/)(translations?|locales?|locale|i18n|lang|langs|languages|vendor|node_modules|third_party|licen[cs]es?)/"
    r"|(^|/)(changelog|changes|news|copying|licen[cs]e|authors|history|releases?[-_]?notes)[^/]*$|release-?notes/"
    r"|(^|/)build-aux/"
    r"|(^|/)(package-lock\.json|yarn\.lock|go\.(sum|mod)|composer\.lock|[^/]*\.min\.js|CMakeLists\.txt|Makefile\.in)$"
    r"|gitleaks|trufflehog|detect.secrets|secrets\.baseline|whispers|secretlint|ggshield|noseyparker|credsweeper",
    re.IGNORECASE,
)

_URL = re.compile(r"""[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s"'`<>\\,;]{3,190}""")
_QUOTED = re.compile(
    r"""
      (?P<element>(?<=>)[^<>\s]{6,200}(?=</))
    | "(?P<double>(?:[^"\\]|\\.)*)"
    | (?<!\w\w)'(?P<single>(?:[^'\\]|\\.)*)'
    | `(?P<back>[^`]*)`
    """,
    re.VERBOSE,
)
_NAMED = re.compile(r"\s*(?::(?!:)|=>)")
_ASSIGNED = re.compile(
    r"""(?:(?:=>|:=|=|(?<=[\w"'\])]):(?=\s))\s*)(?P<bare>[^\s"'`=<>(\[{][^\s"'`<>]{5,199})(?=\s|$|["'`<])"""
)
_PASSED = re.compile(r"""(?<!\S)--?[A-Za-z][\w-]*[ ](?P<bare>[^\s"'`<>-][^\s"'`<>]{5,199})(?!\S)""")
_WORD_AND_VALUE = re.compile(r"""^\s*[A-Za-z][\w.-]*[ \t]+(?P<bare>[^\s"'`<>={}]{6,200})[ \t]*;?\s*$""")
_TWO_WORDS = re.compile(r"\w+:? (?P<bare>[^\s=]{6,200})\Z")  # as in `scheme value`
_USERINFO = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://[^/\s?#]*[^/\s?#@]@")
_VARIABLE = re.compile(r"\$\{|\$\(|\{\{|%[({]|\$[A-Za-z_]|<[%\w]|\{\w*\}|%[sdrv]\b|#\{")
_HEX = re.compile(r"(?:0x)?[0-9a-fA-F]{16,}")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}")


def language(path: str) -> str:
    """What a member is written in; empty for one that is no part of the population."""
    name = PurePosixPath(path).name.lower()
    if _LEFT_OUT.search(path):
        return ""
    if name.startswith(("dockerfile", "containerfile", "vagrantfile", "jenkinsfile")):
        return "dockerfile"
    if name.startswith((".env", "env.")):
        return "env"
    for suffix in reversed(name.split(".")[1:]):
        if suffix not in ("example", "sample", "dist", "default", "template", "in"):
            return _BY_SUFFIX.get(suffix, "")
    return ""


def room(path: str) -> str:
    """Which of the rooms a member of the population lies in."""
    parts = PurePosixPath(path.lower())
    if language(path) in _SETTINGS:
        return "settings"
    named = _EXAMPLES & set(parts.parts[:-1]) or re.search(r"(^|[_.-])(test|spec)s?[_.-]|^test_|tests?\.", parts.name)
    return "examples" if named or language(path) == "text" else "program"


def places(line: str, tongue: str) -> list[tuple[int, int]]:
    """Start and end of every value of a line, in order; values do not overlap."""
    if len(line) > LONGEST_LINE:
        return []
    found: list[tuple[int, int]] = []
    for start, whole in _candidates(line, tongue):
        end = whole
        while end > start and line[end - 1] in ",;)]}.:" and not _opened(line[start:end]):
            end -= 1
        if 6 <= end - start <= 200 and all(end <= left or start >= right for left, right in found):
            found.append((start, end))
    return sorted(found)


def _opened(value: str) -> bool:
    """Whether the closing bracket at the end of a value was opened in it."""
    opener = {")": "(", "]": "[", "}": "{"}.get(value[-1])
    return opener is not None and opener in value


def _candidates(line: str, tongue: str) -> Iterator[tuple[int, int]]:
    for match in _QUOTED.finditer(line):
        start, end = match.span(match.lastgroup or 0)
        if _NAMED.match(line, match.end()):
            continue  # it is the name of what follows
        if not any(map(str.isspace, line[start:end])):
            yield start, end
        elif pair := _TWO_WORDS.match(line, start, end):
            yield pair.span("bare")
        else:
            yield from (one.span("bare") for one in _ASSIGNED.finditer(line, start, end))
    yield from (match.span() for match in _URL.finditer(line))
    if tongue in _BARE:
        for shape in (_ASSIGNED, _PASSED, *((_WORD_AND_VALUE,) if tongue in _LINES else ())):
            yield from (match.span("bare") for match in shape.finditer(line))


def stratum(value: str) -> str:
    """The stratum of a value, by its characters; the first that fits."""
    letter, digit = any(map(str.isalpha, value)), any(map(str.isdigit, value))
    upper, lower = any(map(str.isupper, value)), any(map(str.islower, value))
    if "://" in value:
        return "userinfo" if _USERINFO.match(value) else "url"
    if _VARIABLE.search(value):
        return "variable"
    if _HEX.fullmatch(value) and digit:
        return "hex"
    if not letter:
        return "digits"
    if _BASE64.fullmatch(value) and digit and upper and lower:
        return "base64"
    if re.search(r"[^\w.:/\\@,-]", value) or (digit and "@" in value):
        return "symbol"
    if "/" in value or "\\" in value or ":" in value or "@" in value or "," in value:
        return "path"
    return "mixed" if digit else "words"
