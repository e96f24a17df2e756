"""Files of environment variables: examples without a real value, and no value in two environments."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator

from detectors.fingerprint import fingerprint
from monitor.audit.check import Evidence, Subject, attempted, each_folder, failed, passed, unknown, unread
from monitor.audit.formats import UnreadError, Variable, variables
from monitor.audit.real import assigned, is_public, is_real, is_secret_name
from monitor.audit.tree import Tree
from monitor.common.environments import environment_of, known_as

__all__ = ["environments", "examples", "held"]

_LEAST = 8  # characters of a value that are no coincidence in two places


def held(tree: Tree, name: str) -> Iterator[tuple[Variable, str]]:
    """Each variable of a .env that holds a real secret, with the secret's fingerprint. Raises UnreadError."""
    for one in variables(tree.text(name)):
        if is_secret_name(one.name) and is_real(one.value, least=_LEAST):
            yield one, fingerprint(tree.key, one.value.encode("utf-8", "surrogateescape"))


@each_folder
def examples(_: Subject, tree: Tree) -> Iterator[Evidence]:
    """No secret that the rules find, none that a .env here holds, and no value under the name of a secret."""
    real: dict[str, str] = {}
    for name in tree.environment:
        try:
            real |= {digest: name for _, digest in held(tree, name)}
        except UnreadError as error:
            yield unknown(f"{name}: {error}", f"ls -l {tree.base / name}", name)
    for name in tree.examples:
        yield from attempted(_example(tree, name, real), name, f"ls -l {tree.base / name}", name)
    if not tree.examples:
        where = shlex.join(["find", str(tree.root), "-name", ".env*"])
        yield unknown(f"{tree.root}: there is no .env.example to look at", where)
    yield from unread(tree)


def _example(tree: Tree, name: str, real: dict[str, str]) -> Iterator[Evidence]:
    """Raises UnreadError."""
    repeat = f"monitor scan {shlex.quote(str(tree.base / name))}"
    given = list(variables(tree.text(name)))
    wrong: set[int | None] = set()
    for leak in tree.scanned.findings.get(name, ()):
        wrong.add(leak.line)
        yield failed(f"{name}:{leak.line}: {leak.name} [{leak.rule}] {leak.masked}", repeat, name, leak.line)
    for one in given:
        if one.line in wrong or len(one.value) < _LEAST or is_public(one.name):
            continue
        same = real.get(fingerprint(tree.key, one.value.encode("utf-8", "surrogateescape")))
        if same is not None:
            wrong.add(one.line)
            yield failed(f"{name}:{one.line}: {one.name} has the value of {same}", repeat, name, one.line)
        elif list(assigned([(one.name, one.value)], wordy=False)):
            wrong.add(one.line)
            yield failed(f"{name}:{one.line}: {one.name} has what looks like a value", repeat, name, one.line)
    if not given:
        yield unknown(f"{name}: no variable in it that could be read", repeat, name)
    elif not wrong:
        yield passed(f"{name}: {len(given)} variables, no real value", repeat, name)


async def environments(subject: Subject) -> AsyncIterator[Evidence]:
    """No fingerprint in the .env files, or in the inventory, of two environments."""
    places: dict[str, dict[str, tuple[str, str, int | None]]] = defaultdict(dict)  # fingerprint → environment → where
    repeat = "monitor audit --only environments-differ"
    for tree in subject.trees:
        for name in tree.environment:
            environment = environment_of(name)
            if environment is None:
                yield unknown(f"{name}: its name tells no environment", f"ls -l {tree.base / name}", name)
                continue
            try:
                for one, digest in held(tree, name):
                    places[digest].setdefault(environment, (f"{one.name} in {name}:{one.line}", name, one.line))
            except UnreadError as error:
                yield unknown(f"{name}: {error}", f"ls -l {tree.base / name}", name)
        for piece in unread(tree):
            yield piece
    for secret in await subject.store.inventory.secrets() if subject.store is not None else ():
        environment = known_as(secret.environment)
        current = secret.current
        for print_ in current.prints if current is not None and environment else ():
            places[print_.fingerprint].setdefault(environment, (f"{secret.entry}/{secret.name}", "", None))
    seen = sorted({environment for where in places.values() for environment in where})
    shared = [where for where in places.values() if len(where) > 1]
    for where in shared:
        shown = "; ".join(f"{what} ({kind})" for kind, (what, _, _) in sorted(where.items()))
        _, name, line = next(iter(where.values()))
        yield failed(f"one value in {len(where)} environments: {shown}", repeat, name, line)
    if len(seen) < 2:
        yield unknown(f"secrets of {seen[0] if seen else 'no environment'} only: nothing to compare them with", repeat)
    elif not shared:
        yield passed(f"{len(places)} secrets of {', '.join(seen)}: no value in two of them", repeat)
