"""What a secret has to pass on its way: hooks before a push, a search of the history, a check before a deploy."""

from __future__ import annotations

import re
import shlex
import stat
from collections.abc import AsyncIterator, Iterator
from itertools import product

from monitor.audit.check import Evidence, Subject, attempted, each_folder, failed, passed, unknown, unread
from monitor.audit.formats import UnreadError
from monitor.audit.real import is_secret_name
from monitor.audit.shell import programs
from monitor.audit.tree import Tree
from monitor.clients.git import Git, GitError
from monitor.inventory.complete import WRONG, Checked, Holding, NamesError, check, of_secret, wanted
from monitor.scan.githooks import Folder, folder_of, standing
from monitor.store import Store

__all__ = ["complete", "history", "hooks"]

_OPEN = 10_000  # incidents that are read
_LARGEST = 1 << 20  # bytes of a hook
_NAMES = (
    r"(git[- ]secrets|gitleaks|trufflehog|betterleaks|kingfisher|ggshield|detect-secrets|noseyparker|talisman"
    r"|monitor hooks run|exposure-monitor)\b"
)
_SCANNERS = re.compile(rf"\b{_NAMES}")
# As the program, or by one that runs others; who only speaks of one, or asks whether it is there, runs none.
_LAUNCHERS = r"(?:[nb]px|pnpm|yarn|uvx?|pipx|poetry|go|mise|docker|podman|python[\d.]*|(?:ba|z|k|da)?sh)"
_RUN = re.compile(rf"^(?:\S*?\b|{_LAUNCHERS}\s[^\n]*?\b){_NAMES}")
_IN_VAIN = re.compile(rf"\b{_NAMES}[^\n;&|]{{0,500}}\|\|\s*(?:true|:|exit\s+0)(?=\s|;|$)")
_COMMENT = re.compile(r"(?m)^[ \t]*#.*$")  # no newlines: of many, each would be looked at for every one before it
# What hooks of others say of themselves, and where they are told what to run.
_DECLARED = {
    "pre-commit": re.compile(r"^\.pre-commit-config\.ya?ml$"),
    "lefthook": re.compile(r"^\.?lefthook(?:-local)?\.(?:ya?ml|toml|json)$"),
    "overcommit": re.compile(r"^\.overcommit\.yml$"),
    "husky": re.compile(r"^\.husky/[\w-]+$"),
}


@each_folder
def hooks(_: Subject, tree: Tree) -> Iterator[Evidence]:
    """Git's own hooks of a clone: ours, or those of another program that looks for secrets."""
    repeat = shlex.join(["monitor", "hooks", "status", "-C", str(tree.root)])
    yield from attempted(_hooks(tree, repeat), str(tree.root), repeat)


def _hooks(tree: Tree, repeat: str) -> Iterator[Evidence]:
    """Raises GitError and OSError."""
    yield (
        _hooked(tree, tree.git, repeat)
        if _has_commits(tree.git)
        else unknown(f"{tree.root}: nothing to push yet", repeat)
    )


def _has_commits(git: Git) -> bool:
    return bool(git.ask("rev-list", "--all", "--max-count=1").strip())


def _hooked(tree: Tree, git: Git, repeat: str) -> Evidence:
    bare = git.line("rev-parse", "--is-bare-repository") == "true"
    place = folder_of(git)
    ours = [standing(place, name) for name in (("pre-receive",) if bare else ("pre-push", "pre-commit"))]
    if found := [hook.hook for hook in ours if hook.state == "installed"]:
        return passed(f"{tree.root}: {', '.join(found)} of exposure-monitor", repeat)
    if wrong := next((hook for hook in ours if hook.state != "missing"), None):
        return failed(f"{tree.root}: {wrong.hook} is {wrong.state}: {wrong.note}", repeat)
    declared = dict(_declared(tree))
    for hook in ours:
        text = _text(place, hook.hook)
        if scanner := next(filter(None, map(_RUN.match, programs(text))), None):
            said = f"{tree.root}: {hook.hook} runs {scanner[1]}"
            in_vain = _IN_VAIN.search(_COMMENT.sub("", text))
            return failed(f"{said}, and goes on whatever it finds", repeat) if in_vain else passed(said, repeat)
        for manager, (name, runs) in declared.items():
            if manager in text.lower():  # which says so in a comment
                return passed(f"{tree.root}: {hook.hook} of {manager} runs {runs}, by {name}", repeat, name)
    if declared:
        manager, (name, runs) = next(iter(declared.items()))
        return failed(f"{tree.root}: {name} names {runs}, and no hook of {manager} is installed here", repeat, name)
    return failed(f"{tree.root}: no hook looks for secrets", repeat)


def _declared(tree: Tree) -> Iterator[tuple[str, tuple[str, str]]]:
    """By manager of hooks: the file that has it run a scanner, and which."""
    for manager, pattern in _DECLARED.items():
        for name in tree.named(pattern):
            try:
                runs = _SCANNERS.search(_COMMENT.sub("", tree.text(name)))
            except UnreadError:
                continue  # too large to be such a file
            if runs is not None:
                yield manager, (name, runs[1])


def _text(place: Folder, name: str) -> str:
    """Of a hook that git runs; empty for none."""
    path = place.file(name)
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode) or not (place.husky or mode & 0o111):
            return ""
        with path.open("rb") as file:
            return file.read(_LARGEST).decode("utf-8", "replace")
    except OSError:
        return ""


async def history(subject: Subject) -> AsyncIterator[Evidence]:
    """What `monitor scan --git --since-last` has looked at, and the incidents that it recorded."""
    if not subject.trees:
        yield unknown("no folder was named", "monitor audit PATH")
    for tree in subject.trees:
        repeat = shlex.join(["monitor", "scan", "--git", "--since-last", "-C", str(tree.root)])
        try:
            async for piece in _searched(subject, tree, tree.git, repeat):
                yield piece
        except (GitError, OSError) as error:
            yield unknown(f"{tree.root}: {error}", repeat)


async def _searched(subject: Subject, tree: Tree, git: Git, repeat: str) -> AsyncIterator[Evidence]:
    from monitor import __version__
    from monitor.scan.cursor import Cursor, rules_digest
    from monitor.scan.history import called
    from monitor.scanning.redact import Redactor

    if not _has_commits(git):
        yield unknown(f"{tree.root}: it has no history yet", repeat)
        return
    if subject.store is None:
        yield unknown(f"{tree.root}: whether an incident of it is open: {subject.no_store}", repeat)
    else:
        name = Redactor(subject.engine.worker())(called(git))
        for one in await subject.store.incidents.find(states=("open", "acknowledged"), repository=name, limit=_OPEN):
            yield failed(f"{tree.root}: {one.name} [{one.rule}] {one.masked}: incident {one.id}", repeat)
    why = Cursor.of(git, subject.config.state_dir, rules_digest(subject.engine.rules, __version__)).behind()
    whole = passed(f"{tree.root}: its history was searched to its end", repeat)
    yield unknown(f"{tree.root}: {why}", repeat) if why else whole


async def complete(subject: Subject) -> AsyncIterator[Evidence]:
    """The secrets that examples name, against what the inventory holds of production."""
    repeat = "monitor inventory check --stored --names .env.example --environment production"
    if subject.store is None:
        yield unknown(f"which secrets are set: {subject.no_store}", repeat)
        return
    holdings, unasked = await _held(subject, subject.store)
    for entry, why in unasked.items():  # what it has may be missing, or the same as in another environment
        yield unknown(f"{entry}: {why}", shlex.join(["monitor", "inventory", "doctor", entry]))
    production = sorted({one.environment for one in holdings if subject.is_production(one.environment)})
    if not production:
        yield unknown("the inventory holds no secret of production", "monitor inventory sync")
    names = 0
    for tree in subject.trees:
        for name, environment in product(tree.examples, production):
            for piece in _example(tree, name, environment, holdings, unasked):
                names += 1
                yield piece
        for piece in unread(tree):
            yield piece
    if production and not names:
        yield unknown("no .env.example names a secret", "find . -name '.env*'")


async def _held(subject: Subject, store: Store) -> tuple[list[Holding], dict[str, str]]:
    syncs = await store.inventory.syncs()
    names = {one.name for one in subject.config.inventory} or syncs.keys()  # what is not configured any more is over
    unasked = {name: syncs[name].error for name in names & syncs.keys() if syncs[name].error}
    unasked |= dict.fromkeys(names - syncs.keys(), "it was never read")
    held = [of_secret(one) for one in await store.inventory.secrets() if one.entry in names]
    return [one for one in held if one is not None], unasked


def _example(
    tree: Tree, name: str, environment: str, holdings: list[Holding], unasked: dict[str, str]
) -> Iterator[Evidence]:
    what = ["--names", str(tree.base / name), "--environment", environment]
    repeat = shlex.join(["monitor", "inventory", "check", "--stored", *what])
    try:
        names = [one for one in wanted(tree.text(name).encode("utf-8", "replace")) if is_secret_name(one)]
    except (UnreadError, NamesError) as error:
        yield unknown(f"{name}: {error}", repeat, name)
        return
    found = check(names, environment, holdings, unasked, is_secret_name)
    for one in found:
        if one.state in WRONG:
            yield failed(f"{name}: {_said(one, environment)}", repeat, name)
        elif one.state != "set":
            yield unknown(f"{name}: {_said(one, environment)}", repeat, name)
    fine = sum(one.state == "set" for one in found)
    if fine:
        yield passed(f"{name}: {fine} of {len(found)} secrets are set in {environment}", repeat, name)


def _said(one: Checked, environment: str) -> str:
    return f"{one.name} in {environment} is {one.state}: {one.why}"
