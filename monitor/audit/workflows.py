"""Workflows and actions of GitHub: no secret is echoed, and none is handed to what may print it."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Collection, Iterable, Iterator
from importlib import metadata
from typing import Any

import yaml

from monitor.audit.check import Evidence, Subject, attempted, each_folder, failed, passed, unknown, unread
from monitor.audit.formats import documents, items, lookup
from monitor.audit.shell import DIRECT, PrintedSecret, Reach, read
from monitor.audit.tree import Tree

__all__ = ["FILES", "quiet", "zizmor"]

FILES = re.compile(r"(?i)(?:^|/)\.github/workflows/[^/]+\.ya?ml$|(?:^|/)action\.ya?ml$")
_ALL = re.compile(r"(?i)\$\{\{\s*toJSON\(\s*secrets\s*\)\s*\}\}")
_GITHUBS_OWN = ("actions/", "github/codeql-action/")  # which are looked at by everybody
_SECONDS = 120.0
# What zizmor finds that puts a secret where it can be read.
_LEAKS = {
    "unredacted-secrets": "a part of a structured secret, which GitHub does not mask",
    "overprovisioned-secrets": "every secret at once",
    "hardcoded-container-credentials": "a credential in the clear",
}


@each_folder
def quiet(_: Subject, tree: Tree) -> Iterator[Evidence]:
    """Our own reading of each script; zizmor's beside it, where it is installed."""
    names = tree.named(FILES, tree.code)
    for name in names:
        repeat = shlex.join(["grep", "-nE", "secrets|echo|printenv|set -x", str(tree.base / name)])
        yield from attempted(_workflow(tree, name, repeat), name, repeat, name)
    if names:
        yield from _zizmor(tree, names)
    else:
        repeat = shlex.join(["ls", str(tree.base / ".github" / "workflows")])
        yield unknown(f"{tree.root}: there are no workflows, so there was nothing to look at", repeat)
    yield from unread(tree)


def _workflow(tree: Tree, name: str, repeat: str) -> Iterator[Evidence]:
    """Raises UnreadError."""
    found = documents(tree.text(name))
    said = [piece for document in found for piece in _steps(document)]
    if not any([*items(lookup(document, "jobs")), *items(lookup(document, "runs"))] for document in found):
        yield unknown(f"{name}: neither jobs nor steps that could be read", repeat, name)
    elif not said:
        yield passed(f"{name}: echoes no secret", repeat, name)
    for line, what, sure in said:
        tell = failed if sure else unknown
        yield tell(f"{name}:{line}: {what}", repeat, name, line)


def _steps(document: yaml.Node) -> Iterator[PrintedSecret]:
    """What is wrong, or nobody looked at, over all jobs, or the steps of an action; lines from 1."""
    top = _secret_variables(lookup(document, "env"))
    shell = _text(lookup(document, "defaults", "run", "shell"))
    jobs = [job for _, job in items(lookup(document, "jobs"))]
    for owner in [*jobs, lookup(document, "runs")]:
        steps = lookup(owner, "steps")
        held = top | _secret_variables(lookup(owner, "env"))
        job_shell = _text(lookup(owner, "defaults", "run", "shell")) or shell
        reach = Reach()
        yield from _elsewhere(owner, held)
        for step in steps.value if isinstance(steps, yaml.SequenceNode) else []:
            script = lookup(step, "run")
            own = held | _secret_variables(lookup(step, "env"))
            if isinstance(script, yaml.ScalarNode):
                first = script.start_mark.line + (2 if script.style in ("|", ">") else 1)
                for one in read(script.value, own, _text(lookup(step, "shell")) or job_shell, reach):
                    yield one._replace(line=first + one.line)
            yield from _elsewhere(step, own | reach.variables)
            yield from _handed_over([*items(lookup(step, "env")), *items(lookup(step, "with"))])
        yield from _handed_over(items(lookup(owner, "env")))
    yield from _handed_over(items(lookup(document, "env")))


def _elsewhere(node: yaml.Node | None, held: Collection[str]) -> Iterator[PrintedSecret]:
    """Code that is not in the file: an action or a workflow that is handed secrets, or the program of an action."""
    uses, using = lookup(node, "uses"), lookup(node, "using")
    if isinstance(uses, yaml.ScalarNode) and not uses.value.startswith(_GITHUBS_OWN):
        given = [*items(lookup(node, "with")), *items(lookup(node, "secrets")), ("secrets", lookup(node, "secrets"))]
        values = [value for _, value in given if isinstance(value, yaml.ScalarNode)]
        if held or any(DIRECT.search(one.value) or one.value == "inherit" for one in values):
            text = f"{uses.value} has secrets in its reach, and what it prints was not looked at"
            yield PrintedSecret(uses.start_mark.line + 1, text, False)
    if isinstance(using, yaml.ScalarNode) and using.value != "composite":
        yield PrintedSecret(
            using.start_mark.line + 1, f"the program of the action ({using.value}) was not looked at", False
        )


def _handed_over(values: Iterable[tuple[str, yaml.Node]]) -> Iterator[PrintedSecret]:
    for key, value in values:
        if isinstance(value, yaml.ScalarNode) and _ALL.search(value.value):
            yield PrintedSecret(value.start_mark.line + 1, f"{key} gets every secret at once", True)


def _secret_variables(node: yaml.Node | None) -> frozenset[str]:
    """The names under `env` whose value comes from a secret."""
    found = [(key, value) for key, value in items(node) if isinstance(value, yaml.ScalarNode)]
    return frozenset(key for key, value in found if DIRECT.search(value.value))


def _text(node: yaml.Node | None) -> str:
    return node.value if isinstance(node, yaml.ScalarNode) else ""


def _zizmor(tree: Tree, names: list[str]) -> Iterator[Evidence]:
    """Offline, without the repository's own settings for it, which could switch everything off."""
    program = zizmor()
    files = [str(tree.base / name) for name in names]
    command = ["zizmor", "--offline", "--no-config", "--no-exit-codes", "--format", "json-v1", "--", *files]
    repeat = shlex.join(command)
    if program is None:
        yield unknown(
            "zizmor is not installed, so its checks were not made: pip install 'exposure-monitor[audit]'", repeat
        )
        return
    try:
        answer = subprocess.run(
            [program, *command[1:]],
            capture_output=True,
            check=True,
            timeout=_SECONDS,
            stdin=subprocess.DEVNULL,
            env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"},
        )
        found = [one for one in json.loads(answer.stdout) if one["ident"] in _LEAKS]
        places = [(one["ident"], *_place(one)) for one in found]
    except subprocess.CalledProcessError as error:
        yield unknown(f"zizmor ended with {error.returncode}", repeat)
        return
    except (OSError, subprocess.TimeoutExpired, ValueError, KeyError, TypeError, IndexError) as error:
        yield unknown(f"zizmor gave no answer that could be read ({type(error).__name__})", repeat)
        return
    for ident, path, line in places:
        name = tree.relative(path)
        yield failed(f"{name}:{line}: {_LEAKS[ident]} (zizmor: {ident})", repeat, name, line)
    if not places:
        yield passed(f"zizmor finds none of {', '.join(_LEAKS)} in {len(names)} files", repeat)


def zizmor() -> str | None:
    """The program: that of our own environment first."""
    try:
        files = metadata.distribution("zizmor").files or []
    except metadata.PackageNotFoundError:
        files = []
    own = next((str(file.locate()) for file in files if file.name == "zizmor"), None)
    return own if own is not None and os.access(own, os.X_OK) else shutil.which("zizmor")


def _place(finding: Any) -> tuple[str, int]:
    """Path and line of what zizmor found. Raises KeyError, TypeError and IndexError."""
    primary = [one for one in finding["locations"] if one["symbolic"]["kind"] == "Primary"]
    location = (primary or finding["locations"])[0]
    key = location["symbolic"]["key"]["Local"]
    path = key.get("verbatim_path") or key["given_path"]  # as older versions say
    return str(path), int(location["concrete"]["location"]["start_point"]["row"]) + 1
