"""Secrets where none belongs: in what is, or becomes, part of a repository, and in the units of services."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from monitor.audit.check import Evidence, Subject, each_folder, failed, passed, unknown, unread
from monitor.audit.formats import SAFE, UNIT, UnreadError, settings, words
from monitor.audit.real import assigned
from monitor.audit.tree import Tree

__all__ = ["secrets"]


@each_folder
def secrets(_: Subject, tree: Tree) -> Iterator[Evidence]:
    """The rules over all code, and `Environment=` of units."""
    yield from _code(tree)
    yield from _units(tree)
    yield from unread(tree, scanned=True)


def _code(tree: Tree) -> Iterator[Evidence]:
    code = set(tree.code)
    # A path that holds a secret is masked here, and no name that we know: it counts as code.
    other = {*tree.environment, *tree.examples} - code
    certain = 0
    for name, findings in tree.scanned.findings.items():
        if name.partition("!")[0] in other:
            continue
        place = tree.base / name.partition("!")[0]
        repeat = f"monitor scan {shlex.quote(str(place))}"
        for finding in findings:
            text = f"{name}:{finding.line}: {finding.name} [{finding.rule}] {finding.masked}"
            if finding.confidence == "low":
                yield unknown(f"{text} (low confidence: look at it)", repeat, name, finding.line)
            else:
                certain += 1
                yield failed(text, repeat, name, finding.line)
    if not code:
        yield unknown(
            f"{tree.root}: no file of code, so there was nothing to look at", f"ls -A {shlex.quote(str(tree.root))}"
        )
    elif not certain:
        silenced = f", {tree.scanned.silenced} findings silenced by comments" if tree.scanned.silenced else ""
        yield passed(
            f"{tree.root}: no secret in {len(code):,} files{silenced}", f"monitor scan {shlex.quote(str(tree.root))}"
        )


def _units(tree: Tree) -> Iterator[Evidence]:
    for name in tree.named(UNIT, tree.code):
        repeat = shlex.join(["grep", "-nE", "Environment|Credential", str(tree.base / name)])
        try:
            text = tree.text(name)
        except UnreadError:
            continue  # `unread` tells: the rules were to search it, too
        wrong = False
        for line, key, value in settings(text):
            if key == "SetCredential":
                wrong = True
                yield failed(f"{name}:{line}: SetCredential= holds it in the clear", repeat, name, line)
            for variable in assigned(words(value)) if key == "Environment" else ():
                wrong = True
                what = f"Environment={variable}= holds a value, which everybody reads with `systemctl show`"
                yield failed(f"{name}:{line}: {what}", repeat, name, line)
        if not wrong:
            ways = sorted({key for _, key, _ in settings(text) if key in SAFE})
            yield passed(f"{name}: {', '.join(ways) or 'no secret in Environment='}", repeat, name)
