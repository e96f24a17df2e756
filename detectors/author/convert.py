"""Rule files of gitleaks (and betterleaks) and of Kingfisher, as entries of a pack of ours.

Their patterns are RE2 or Rust syntax, ours is what RE2, Hyperscan and Python's parser share. Every entry that comes out
has been compiled and its examples found; what cannot be had is listed with the reason.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from detectors.author.check import check_rules
from detectors.author.exemplify import candidates
from detectors.author.portable import captures, portable
from detectors.match.engine import Engine
from detectors.rules.load import rule_families
from detectors.rules.packfile import RuleTable, to_rule, wording
from detectors.rules.pattern import says_words
from detectors.rules.rule import Rule, RuleError
from detectors.rules.syntax import parse_problem
from monitor.common.severity import SEVERITIES
from monitor.common.text import toml_error

__all__ = ["Conversion", "Entry", "ReadError", "exemplify", "gitleaks", "kingfisher", "rule_id", "to_toml"]

Entry = dict[str, Any]  # a [[rule]] table
Tracked = Callable[[Sequence[Any]], Iterable[Any]]


class ReadError(ValueError):
    """A file that is not what it should be; names it."""


@dataclass(slots=True)
class Conversion:
    """`rules` are ready; `problems` are (rule id or file, what could not be converted and why)."""

    rules: list[Entry] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)

    def note(self, name: str, why: str) -> None:
        self.problems.append((name, why))

    def take(self, name: str, made: Callable[[Callable[[str], None]], Entry]) -> None:
        """A rule as it is `made`; what is handed over for that notes what of it is left out."""
        try:
            self.rules.append(made(partial(self.note, name)))
        except (_RefusedError, RuleError, ValueError, TypeError) as error:
            why = str(error).partition("\n")[0].removeprefix(f": {name}: ")  # its name stands beside it
            self.note(name, f"not converted: {why}")

    def drop(self, entry: Entry, why: str) -> None:
        self.rules.remove(entry)
        self.note(entry["id"], f"not converted: {why}")


class _RefusedError(Exception):
    """A rule that has no counterpart; the message says why."""


def _finish(entry: Entry, written: Sequence[str] = (), counters: Sequence[str] = ()) -> Entry:
    """The entry with examples that hold. Raises _RefusedError."""
    # Hyperscan takes a tenth of a second a pattern, so it compiles each once: in the trial.
    for regex in (entry["pattern"], *entry.get("allow", ())):
        problem = parse_problem(regex)
        if problem is not None:
            raise _RefusedError(f"{'' if regex == entry['pattern'] else 'allowlist: '}{problem}")
    trial = _Trial(entry)
    found = [text for text in written if trial.holds(example=text)]
    found = found or [text for text in candidates(entry["pattern"]) if trial.holds(example=text)][:1]
    if not found:
        raise _RefusedError("no example of it could be made that its own pattern and filters accept; add one by hand")
    short = re.sub(r"\{(\w+):\d+\}", r"{\1:2}", found[0])
    negative = [text for text in (*counters, short, f"{entry['name']}: none") if trial.holds(counter=text)]
    if not negative:
        raise _RefusedError("it matches even plain words")
    return entry | {"examples": found, "negative_examples": negative}


def exemplify(entry: Entry, written: Sequence[str] = (), counters: Sequence[str] = ()) -> Entry | None:
    """`entry` with examples and counter-examples that hold: those given, or made from its pattern. None: none do."""
    try:
        return _finish(entry, written, counters)
    except _RefusedError:
        return None


class _Trial:
    """A rule alone, to try texts on. Raises _RefusedError for one that cannot be."""

    def __init__(self, entry: Entry) -> None:
        # Companions are other rules of the file; they are looked for when all are there.
        data = {key: value for key, value in entry.items() if key not in ("requires", "references")}
        self._rule = _rule({"examples": ["-"], "negative_examples": ["-"]} | data)
        self._engine = Engine.build([self._rule], trial=True)

    def holds(self, *, example: str | None = None, counter: str | None = None) -> bool:
        examples = (example,) if example is not None else ()
        counters = (counter,) if counter is not None else ()
        rule = replace(self._rule, examples=examples, negative_examples=counters)
        return not check_rules(self._engine, [rule], (1, 2, 3))


def _rule(data: Entry) -> Rule:
    try:
        return to_rule(RuleTable.model_validate(data), "custom", "", "")
    except ValidationError as error:
        item = error.errors(include_input=False, include_url=False)[0]
        key = ".".join(str(part) for part in item["loc"])
        raise _RefusedError(f"{key + ': ' if key else ''}{wording(item)}") from None


# Below every shipped rule of a vendor (50 and up), above the generic ones: an imported rule adds, and weakens nothing.
_PRIORITIES = (20, 25, 30, 35)


def _rename(out: Conversion) -> None:
    """A rule of a file takes the place of a shipped one with its id: an imported one must not do so unasked."""
    shipped = rule_families()
    renamed = {entry["id"]: f"{entry['id']}-imported" for entry in out.rules if entry["id"] in shipped}
    for entry in out.rules:
        entry["id"] = renamed.get(entry["id"], entry["id"])
        for companion in entry.get("requires", ()):
            companion["rule"] = renamed.get(companion["rule"], companion["rule"])
    for old, new in renamed.items():
        out.note(old, f"renamed to {new}: there is a shipped rule of that id (--replace takes its place)")


def _settle(out: Conversion, *, replace_shipped: bool) -> None:
    """All rules together: ids once, companions there, and nobody's example taken by a rule of the same rank."""
    if not replace_shipped:
        _rename(out)
    seen: set[str] = set()
    for entry in list(out.rules):
        if entry["id"] in seen:
            out.drop(entry, "there is a rule with this id already")
        seen.add(entry["id"])
    while lost := [e for e in out.rules if {r["rule"] for r in e.get("requires", ())} - {o["id"] for o in out.rules}]:
        for entry in lost:
            out.drop(entry, "it requires a rule that is not here")
    by_id = {entry["id"]: entry for entry in out.rules}
    first = {name: entry["examples"][0] for name, entry in by_id.items()}
    for entry in out.rules:
        entry["priority"] = _PRIORITIES[0]
        beside = "".join(f"{first[companion['rule']]}\n" for companion in entry.get("requires", ()))
        entry["examples"] = [beside + example for example in entry["examples"]]
    for higher in (*_PRIORITIES[1:], None):
        if not out.rules:
            return
        rules = [_rule(entry) for entry in out.rules]
        engine = Engine.build(rules, trial=True)
        failed = [
            entry
            for entry, rule in zip(out.rules, rules, strict=True)
            if check_rules(engine, [replace(rule, negative_examples=())])
        ]
        if not failed:
            return
        for entry in failed:
            if higher is not None:
                entry["priority"] = higher
            else:
                out.drop(entry, "another rule of the file finds the same text")


# --- gitleaks -----------------------------------------------------------------------------------------------------


def rule_id(text: str) -> str:
    """An id as ours are written."""
    return re.sub(r"[^a-z0-9.-]+", "-", text.lower()).strip("-.") or "rule"


# What a configuration takes over from elsewhere, and what to do about it.
_EXTEND = {
    "useDefault": "our own packs take the place of gitleaks' default rules",
    "path": "import that file as well",
    "url": "import that file as well",
    "disabledRules": "name the rules of ours in `[rules] disable` instead",
}


def gitleaks(path: Path, *, replace_shipped: bool = False, tracked: Tracked = iter) -> Conversion:
    """A gitleaks or betterleaks configuration. Raises ReadError.

    `replace_shipped`: a rule keeps its id though a shipped rule has it, whose place it then takes. `tracked` is asked
    for one rule after the other, which may be shown to who waits.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ReadError(f"{path}: {error.strerror or 'cannot be read'}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ReadError(f"{path}: not TOML: {toml_error(error)}") from None
    if not isinstance(data.get("rules"), list) and "extend" not in data:
        raise ReadError(f"{path}: no [[rules]] in it; is it a gitleaks configuration?")
    out = Conversion()
    extend = data.get("extend", {})
    for key, what in _EXTEND.items():
        if extend.get(key):
            out.note(str(path), f"extend.{key}: {what}")
    allowlists = [*_tables(data.get("allowlists")), *_tables(data.get("allowlist"))]
    for item in allowlists:
        _allowlist(item, [], [], partial(out.note, str(path)))
    for raw in tracked(_tables(data.get("rules"))):
        name = rule_id(str(raw.get("id", f"rule-{len(out.rules) + 1}")))
        wanted = [a for a in allowlists if not a.get("targetRules") or raw.get("id") in a["targetRules"]]
        out.take(name, partial(_gitleaks_rule, raw, name, wanted))
    _settle(out, replace_shipped=replace_shipped)
    return out


def _tables(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, Mapping)]


def _gitleaks_rule(
    raw: Mapping[str, Any], name: str, allowlists: Iterable[Mapping[str, Any]], note: Callable[[str], None]
) -> Entry:
    if not raw.get("regex"):
        raise _RefusedError("it has no regex: it looks at file names only")
    entry: Entry = {
        "id": name,
        "name": _title(raw.get("description"), name),
        "pattern": _named(raw, int(raw.get("secretGroup", 0)), note),
        "severity": raw["severity"] if raw.get("severity") in SEVERITIES else "high",
        "confidence": "medium",
    }
    if raw.get("entropy"):
        entry["entropy"] = float(raw["entropy"])
    if raw.get("path"):
        note("path: rules are not bound to file names here, so it now looks everywhere")
    for key in raw.keys() - {
        "id", "description", "regex", "secretGroup", "entropy", "path", "keywords", "tags", "allowlist", "allowlists",
        "required", "severity", "confidence",
    }:  # fmt: skip
        note(f"{key}: not converted")
    allow: list[str] = []
    stopwords: list[str] = []
    for item in [*_tables(raw.get("allowlists")), *_tables(raw.get("allowlist"))]:
        _allowlist(item, allow, stopwords, note)
    for item in allowlists:  # what cannot be had of these has been said once, for the file
        _allowlist(item, allow, stopwords, lambda _: None)
    if allow:
        entry["allow"] = list(dict.fromkeys(allow))
    if stopwords:
        entry["stopwords"] = list(dict.fromkeys(stopwords))
    requires: list[dict[str, Any]] = []
    for companion in _tables(raw.get("required")):
        requires.append({"rule": rule_id(str(companion.get("id", "")))})
        if "withinLines" in companion:
            requires[-1] |= {"lines": int(companion["withinLines"]), "within": 8192}
        if "withinColumns" in companion:
            requires[-1] |= {"within": max(1, min(8192, int(companion["withinColumns"])))}
    if requires:
        entry["requires"] = requires
    return _finish(entry)


def _allowlist(item: Mapping[str, Any], allow: list[str], stopwords: list[str], note: Callable[[str], None]) -> None:
    """Adds to `allow` and `stopwords` what has a counterpart."""
    kinds = [key for key in ("regexes", "stopwords", "paths", "commits") if item.get(key)]
    if str(item.get("condition", "OR")).upper() == "AND" and len(kinds) > 1:
        note(f"allowlist: {' AND '.join(kinds)} cannot be joined here; left out")
        return
    if left := [key for key in kinds if key in ("paths", "commits")]:
        note(f"allowlist: {' and '.join(left)} left out: a log has neither")
    stopwords += [str(word) for word in item.get("stopwords", ())]
    if item.get("regexes") and item.get("regexTarget", "secret") not in ("", "secret"):
        note(f"allowlist: regexes on the {item['regexTarget']} left out: ours look at the secret alone")
        return
    for regex in item.get("regexes", ()):
        try:
            allow.append(_ungrouped(str(regex)))
        except ValueError as error:
            note(f"allowlist: a regex is left out: {error}")


def _named(raw: Mapping[str, Any], secret: int | str, note: Callable[[str], None]) -> str:
    given = str(raw["regex"]).strip()
    pattern = portable(given, secret)
    names = captures(given)
    if len(names) > 1 and (not secret or (isinstance(secret, str) and secret not in names)):
        note("pattern: it has several groups; the first is taken for the value")
    if not pattern.isascii():
        raise _RefusedError("its pattern is not ASCII; patterns match bytes")
    if says_words(pattern):
        raise _RefusedError("its first group says fixed words: write it (?:…), and a group around the value")
    return pattern


def _ungrouped(regex: str) -> str:
    return portable(regex).replace("(?P<secret>", "(?:", 1)


def _title(text: Any, name: str) -> str:
    first = re.split(r"(?<=[a-z])[,.;:] ", str(text or "").strip())[0]
    title = re.sub(
        r"^(?:Uncovered|Discovered|Detected|Identified|Found) (?:a|an|the) (?:possible |potential )?", "", first
    )
    return (title[:1].upper() + title[1:])[:80] if len(title) >= 3 else f"Secret of {name}"


# --- Kingfisher ---------------------------------------------------------------------------------------------------


def kingfisher(path: Path, *, replace_shipped: bool = False, tracked: Tracked = iter) -> Conversion:
    """Rule files (.yml, .yaml; .toml in betterleaks' format) of a folder, or one of them. Raises ReadError.

    `replace_shipped`: as for `gitleaks`; and `tracked`, one file after the other.
    """
    files = sorted(p for p in path.rglob("*") if p.suffix in (".yml", ".yaml", ".toml")) if path.is_dir() else [path]
    if not files:
        raise ReadError(f"{path}: no .yml, .yaml or .toml file in it")
    out = Conversion()
    for file in tracked(files):
        try:
            if file.suffix == ".toml":
                inner = gitleaks(file, replace_shipped=replace_shipped)
                out.rules += inner.rules
                out.problems += inner.problems
            else:
                _kingfisher_file(file, out)
        except ReadError as error:
            if len(files) == 1:
                raise
            out.note(str(file), str(error).partition(": ")[2])
    _settle(out, replace_shipped=replace_shipped)
    return out


def _kingfisher_file(file: Path, out: Conversion) -> None:
    import yaml

    try:
        data = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ReadError(f"{file}: {error.strerror or 'cannot be read'}") from None
    except (UnicodeDecodeError, yaml.YAMLError, RecursionError):
        raise ReadError(f"{file}: not YAML") from None
    if not isinstance(data, Mapping) or not isinstance(data.get("rules"), list):
        raise ReadError(f"{file}: no `rules:` list in it; is it a Kingfisher rule file?")
    for raw in _tables(data["rules"]):
        name = rule_id(str(raw.get("id", "")) or str(raw.get("name", "")))
        out.take(name, partial(_kingfisher_rule, raw, name))


def _kingfisher_rule(raw: Mapping[str, Any], name: str, note: Callable[[str], None]) -> Entry:
    if not raw.get("pattern"):
        raise _RefusedError("it has no pattern")
    hidden = raw.get("visible") is False
    entry: Entry = {
        "id": name,
        "name": _title(raw.get("name"), name),
        "pattern": _named({"regex": raw["pattern"]}, "TOKEN", note),
        "severity": "info" if hidden else "high",
        "confidence": raw["confidence"] if raw.get("confidence") in ("low", "medium", "high") else "medium",
    }
    if hidden:
        note("visible: a helper that Kingfisher does not show; its findings are informational here")
    if raw.get("min_entropy"):
        entry["entropy"] = float(raw["min_entropy"])
    needs = raw.get("pattern_requirements") or {}
    if needs.get("min_digits"):
        entry["digits"] = int(needs["min_digits"])
    if needs.get("ignore_if_contains"):
        entry["stopwords"] = [str(word) for word in needs["ignore_if_contains"]]
    for key in needs.keys() - {"min_digits", "ignore_if_contains"}:
        note(f"pattern_requirements.{key}: no counterpart, left out")
    if raw.get("depends_on_rule"):
        note("depends_on_rule: left out; it only feeds the validation")
    for key in raw.keys() - {
        "id", "name", "pattern", "visible", "confidence", "min_entropy", "pattern_requirements", "depends_on_rule",
        "examples", "negative_examples", "references", "categories", "description",
    }:  # fmt: skip
        note(f"{key}: not converted")
    references = [str(url) for url in raw.get("references") or () if str(url).startswith("http")]
    examples = [str(text) for text in raw.get("examples") or ()]
    done = _finish(entry, examples, [str(text) for text in raw.get("negative_examples") or ()])
    if len(done["examples"]) < len(examples):
        note(f"examples: {len(examples) - len(done['examples'])} of {len(examples)} are not found here; left out")
    if references:
        done["references"] = references
    return done


_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}

# --- writing ------------------------------------------------------------------------------------------------------


def to_toml(entries: Iterable[Entry], comment: str = "") -> str:
    """A pack file."""
    out = [f"# {line}".rstrip() for line in comment.splitlines()]
    for entry in entries:
        out += ["", "[[rule]]"] if out else ["[[rule]]"]
        out += [f"{key} = {_value(value)}" for key, value in entry.items()]
    return "\n".join(out) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_value(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        items = [_value(item) for item in value]
        line = f"[{', '.join(items)}]"
        return line if len(line) < 100 else "[\n" + "".join(f"    {item},\n" for item in items) + "]"
    return _string(str(value))


def _string(text: str) -> str:
    if "\\" in text or '"' in text:
        plain = text.isprintable()
        if plain and "'" not in text:
            return f"'{text}'"
        if plain and "'''" not in text and not text.endswith("'"):
            return f"'''{text}'''"
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    return character if character.isprintable() else f"\\U{ord(character):08x}"
