"""How a shell calls this program, so that the commands in alerts work as they stand there."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Program", "invocation"]

INSTALLED = Path("/etc/exposure-monitor/config.toml")  # taken by itself, as is config.toml in the folder one is in


@dataclass(frozen=True, slots=True)
class Program:
    """`call` stands before `incidents ack …`, `options` after it, with a space before."""

    call: str = "monitor"
    options: str = ""


def invocation(
    config: Path | None, argv0: str, *, which: Callable[[str], str | None] = shutil.which, python: str = sys.executable
) -> Program:
    """From `sys.argv[0]` and the configuration in force (None: nothing need be said of it), in any folder:

    `monitor` when that is this program on the path, `cd FOLDER && .venv/bin/monitor` when it lies below the folder of
    config.toml, as after `make run`, else with its whole path.
    """
    program = Path(os.path.abspath(argv0))
    if program.name == "__main__.py":
        words = [python, "-m", program.parent.name]
    else:
        found = which("monitor")
        words = ["monitor" if found and os.path.realpath(found) == os.path.realpath(program) else str(program)]

    config = config and Path(os.path.abspath(config))
    if config is None or config == INSTALLED:
        return Program(shlex.join(words))
    if config.name == "config.toml" and Path(words[0]).is_relative_to(config.parent):
        words[0] = os.path.relpath(words[0], config.parent)
        return Program(f"cd {shlex.quote(str(config.parent))} && {shlex.join(words)}")
    return Program(shlex.join(words), f" --config {shlex.quote(str(config))}")
