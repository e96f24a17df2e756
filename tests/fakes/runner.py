"""Runners of GitHub Actions and GitLab CI, as far as our files need one: they read the YAML, set what their makers
document, and run each script in a real shell."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

__all__ = ["Run", "github", "gitlab"]

_EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")


@dataclass(frozen=True, slots=True)
class Run:
    """Of all steps. `files`: what the last one left for others, by name."""

    code: int
    out: str
    err: str
    files: Mapping[str, Path]


def _value(context: Mapping[str, Any], expression: str) -> str:
    """The first of `a.b.c || d.e` that is something."""
    for path in expression.split("||"):
        found: Any = context
        for name in path.strip().split("."):
            found = found.get(name) if isinstance(found, Mapping) else None
        if found:
            return str(found)
    return ""


def _shell(arguments: list[str], checkout: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, cwd=checkout, env=dict(env), capture_output=True, text=True, check=False)


def github(
    action: Path, checkout: Path, temp: Path, event: Mapping[str, Any], env: Mapping[str, str], **inputs: str
) -> Run:
    """The steps of a composite action. `event`: the context `github`, with `event` in it."""
    document = yaml.safe_load(action.read_text())
    given = {name: inputs.get(name, one.get("default", "")) for name, one in document["inputs"].items()}
    steps: dict[str, Any] = {}
    context: dict[str, Any] = {"github": event, "inputs": given, "steps": steps}
    temp.mkdir(exist_ok=True)
    out, err, code = "", "", 0
    for number, step in enumerate(document["runs"]["steps"]):
        assert step["shell"] == "bash", "a step that is no script of bash needs more of this runner"
        assert not _EXPRESSION.search(step["run"]), "a text from outside would be a part of the script"
        script, said = temp / f"{number}.sh", temp / f"{number}.output"
        script.write_text(step["run"])
        said.touch()
        own = {
            name: _EXPRESSION.sub(lambda match: _value(context, match[1]), value)
            for name, value in step.get("env", {}).items()
        }
        always = {
            "GITHUB_ACTIONS": "true", "CI": "true", "GITHUB_ACTION_PATH": str(action.parent),
            "GITHUB_WORKSPACE": str(checkout), "RUNNER_TEMP": str(temp), "GITHUB_OUTPUT": str(said),
        }  # fmt: skip
        shell = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", str(script)]
        done = _shell(shell, checkout, {**env, **always, **own})
        out, err, code = out + done.stdout, err + done.stderr, done.returncode
        steps[step.get("id", str(number))] = {
            "outputs": dict(line.split("=", 1) for line in said.read_text().splitlines())
        }
        if code:
            break
    outputs = {
        name: Path(_EXPRESSION.sub(lambda match: _value(context, match[1]), one["value"]))
        for name, one in document["outputs"].items()
    }
    return Run(code, out, err, outputs)


def gitlab(template: Path, checkout: Path, variables: Mapping[str, str], env: Mapping[str, str]) -> Run:
    """The only job of a template: before_script and script in one shell."""
    (job,) = yaml.safe_load(template.read_text()).values()
    lines = [*job["before_script"], *job["script"]]
    own = {name: str(value) for name, value in job["variables"].items()}
    done = _shell(
        ["bash", "-e", "-o", "pipefail", "-c", "\n".join(lines)],
        checkout,
        {**env, "CI": "true", "GITLAB_CI": "true", **own, **variables},
    )
    reports = {name: checkout / path for name, path in job["artifacts"]["reports"].items()}
    return Run(done.returncode, done.stdout, done.stderr, reports)
