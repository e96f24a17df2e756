"""The rules in force: those we ship, and those of the files that a configuration names."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from fnmatch import filter as matching
from pathlib import Path

from detectors import cache
from detectors.rules import packs as shipped
from detectors.rules import snapshot
from detectors.rules.gone import GONE, Form, heir
from detectors.rules.rule import NAMED, Rule, RuleError, suggest

__all__ = [
    "Form",
    "builtin_families",
    "builtin_packs",
    "elsewhere",
    "load_rules",
    "rule_families",
    "rule_forms",
    "shipped_rules",
    "sources",
]

_ID = re.compile(rb'^id = "([^"]+)"$', re.MULTILINE)
_GENERIC = ("generic", "exposure")  # families whose rules know no issuer


def builtin_families() -> list[str]:
    """Families of the packs we ship."""
    return shipped.families()


# Endpoint URLs and internal addresses are sensitive too, but far too common to be on unasked; hashes of passwords and
# keys with a passphrase open nothing by themselves.
OFF_BY_DEFAULT = ("exposure", "protected")


def builtin_packs(names: Iterable[str] = ("default",)) -> list[str]:
    """Packs of these names: "default", a family ("cloud") or a pack ("cloud/aws"). Raises RuleError."""
    known = shipped.names()
    chosen: set[str] = set()
    problems = []
    for name in names:
        if name == "default":
            chosen.update(pack for pack in known if pack.partition("/")[0] not in OFF_BY_DEFAULT)
        elif packs := [*matching(known, name), *matching(known, f"{name}/*")]:
            chosen.update(packs)
        else:
            heads = ["default", *builtin_families()]
            close = get_close_matches(name, [*heads, *sorted(known)], n=2)
            meant = f"; did you mean {' or '.join(close)}?" if close else f"; there are {', '.join(heads)}"
            problems.append(f"rules.packs: no pack is called {name!r}{meant}")
    if problems:
        raise RuleError(problems)
    return sorted(chosen, key="{}.toml".format)  # as their files


def sources(names: Iterable[str]) -> set[str]:
    """The same as the rules in them name it: "packs/cloud/aws.toml". Raises RuleError."""
    return {f"packs/{name}.toml" for name in builtin_packs(names)}


def rule_families() -> Mapping[str, str]:
    """The family of each rule we ship or shipped, by its id."""
    return _shipped()[0]


def rule_forms() -> Mapping[str, Form]:
    """What each rule we ship or shipped goes by, by its id: by its family, and whether its pattern or its keywords are
    its own."""
    return _shipped()[1]


@functools.cache
def _shipped() -> tuple[Mapping[str, str], Mapping[str, Form]]:
    """From the texts of all packs at once: to read the rules takes seconds, and each command that touches an incident
    would wait for it."""
    families = {rule_id: gone.family for rule_id, gone in GONE.items()}
    forms: dict[str, Form] = {rule_id: gone.form for rule_id, gone in GONE.items()}
    for pack, text in shipped.texts().items():
        family = pack.partition("/")[0]
        for table in text.split(b"[[rule]]")[1:]:
            form: Form = "generic" if family in _GENERIC else "keyword" if b"\nvalue = " in table else "vendor"
            for name in _ID.findall(table):
                families[name.decode()], forms[name.decode()] = family, form
    return families, forms


def elsewhere(rule_id: str) -> str:
    """What to do for a rule of a pack that is not on, to end a message with; empty when there is none of that id."""
    for pack in builtin_packs(OFF_BY_DEFAULT):
        if rule_id.encode(errors="replace") in _ID.findall(shipped.text(pack).encode()):
            family = pack.partition("/")[0]
            return f'; it is of the pack {family}: rules.packs = ["default", "{family}"]'
    return ""


def load_rules(
    packs: Iterable[str] = ("default",),
    paths: Iterable[str | Path] = (),
    disable: Iterable[str] = (),
    cache_dir: Path | None = None,
    *,
    identifiers: Iterable[str] = (),
    credentials: Iterable[str] = (),
) -> list[Rule]:
    """All rules of the built-in `packs` and of the files that the globs `paths` name, less those in `disable`.

    A rule of a file replaces a built-in rule with the same id, or that had it once. `cache_dir` may hold a snapshot of
    the built-in ones. Names of fields: what stands behind one of `identifiers` is no secret to a rule that goes by
    names, and what stands behind one of `credentials` is one. Raises RuleError with every problem of every file.
    """
    problems: list[str] = []
    rules: dict[str, Rule] = {}
    try:
        for rule in _builtin(packs, cache_dir, problems):
            if rule.id in rules:
                problems.append(f"{rule.source}: {rule.id}: there is a rule with this id in {rules[rule.id].source}")
            rules[rule.id] = rule
    except RuleError as error:
        problems += error.problems
    own: dict[str, Rule] = {}
    for path in _expand(paths, problems):
        for rule in _load_into(path, problems):
            if rule.id in own:
                problems.append(f"{rule.source}: {rule.id}: there is a rule with this id in {own[rule.id].source}")
            own[rule.id] = rule
    if credentials := tuple(credentials):
        from detectors.rules.packfile import of_names

        rules[NAMED] = of_names(credentials)
    for rule_id in own.keys() - rules.keys():
        rules.pop(heir(rule_id), None)
    rules |= own
    rules |= {rule.id: _by_heirs(rule, rules) for rule in own.values() if rule.requires}
    for rule_id in disable:
        # One that a pack holds which is not on is out already: a configuration outlives the day its rule was moved.
        if rules.pop(rule_id if rule_id in rules else heir(rule_id), None) is None and rule_id not in rule_families():
            problems.append(f"rules.disable: no rule is called {rule_id!r}{suggest(rule_id, rules)}")
    for rule in rules.values():
        for companion in rule.requires:
            if companion.rule is not None and companion.rule not in rules:
                asked = f"{rule.source}: {rule.id}: requires: no rule is called {companion.rule!r}"
                problems.append(asked + elsewhere(companion.rule))
    if problems:
        raise RuleError(problems)
    if none := tuple(name.lower() for name in identifiers):
        return [rule.leaving(none) if rule.by_name else rule for rule in rules.values()]
    return list(rules.values())


def _by_heirs(rule: Rule, known: Iterable[str]) -> Rule:
    """With the present ids of the companions that went by others."""
    companions = (
        one if one.rule is None or one.rule in known else replace(one, rule=heir(one.rule)) for one in rule.requires
    )
    return replace(rule, requires=tuple(companions))


def shipped_rules(packs: Iterable[str], digest: bytes | None = None) -> list[Rule] | None:
    """Those of these packs as they come read with the package; None where they do not. Raises RuleError.

    `digest`: of the packs as they are now.
    """
    wanted = sources(packs)
    return snapshot.load(cache.shipped(snapshot.name(digest or snapshot.digest(), builtin_families())), wanted)


def _builtin(packs: Iterable[str], cache_dir: Path | None, problems: list[str]) -> list[Rule]:
    packs = tuple(packs)
    digest = snapshot.digest()
    rules = shipped_rules(packs, digest)
    path = cache_dir / snapshot.name(digest, packs) if cache_dir is not None else None
    if rules is None and path is not None:
        rules = snapshot.load(cache.read(path))
    if rules is None:
        rules = [rule for pack in builtin_packs(packs) for rule in _load_into(pack, problems)]
        if path is not None and not problems:
            snapshot.save(path, rules)
    return rules


def _load_into(source: Path | str, problems: list[str]) -> list[Rule]:
    """Of a file, or of a pack that we ship."""
    from detectors.rules import packfile  # slow to import, and a snapshot mostly spares it

    try:
        return packfile.load_file(source) if isinstance(source, Path) else packfile.load_pack(source)
    except RuleError as error:
        problems.extend(error.problems)
        return []


def _expand(patterns: Iterable[str | Path], problems: list[str]) -> Iterable[Path]:
    for pattern in patterns:
        path = Path(pattern)
        root = Path(path.anchor)
        found = sorted(root.glob(str(path.relative_to(root))))
        if not found and not any(c in str(path) for c in "*?["):
            problems.append(f"{path}: no such file")
        yield from found
