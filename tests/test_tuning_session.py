"""docs/rule-tuning.md is what happens: its commands are run in order, and print what it says."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from tests.detectors import texts
from tests.fakes.forks import Forks

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "rule-tuning.md"


def session(text: str) -> list[tuple[str, str]]:
    """(command, what it printed) of every console block, in order; `> ` goes on with a command."""
    out: list[tuple[str, str]] = []
    for block in re.findall(r"(?s)```console\n(.*?)```", text):
        for line in block.splitlines():
            if line.startswith("$ "):
                out.append((line[2:], ""))
            elif line.startswith("> "):
                out[-1] = (f"{out[-1][0]}\n{line[2:]}", out[-1][1])
            else:
                out[-1] = (out[-1][0], f"{out[-1][1]}{line}\n")
    return out


def run(commands: list[str], folder: Path) -> list[str]:
    """What each command prints, in one shell."""
    (folder / "bin").mkdir()
    environment = {
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "HOME": str(folder),
        "PYTHONPATH": str(ROOT),
        "COLUMNS": "120",
    }
    Forks.shared().shim(folder / "bin" / "monitor", environment)
    (folder / "work").mkdir()
    for state in (".local/state/exposure-monitor", "work/state"):  # without a configuration, and with that of the page
        texts.lend(folder / state / "cache")
    mark = "\n--8<--\n"
    script = "".join(
        f"{command}\nprintf '{mark!r}'\n".replace("'\\n--8<--\\n'", "\\n--8<--\\n") for command in commands
    )
    done = subprocess.run(
        ["bash", "-c", f"exec 2>&1\n{script}"],
        cwd=folder / "work",
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=590,
    )
    return done.stdout.split(mark)[:-1]


def test_the_session_goes_as_written(tmp_path: Path) -> None:
    steps = session(PAGE.read_text(encoding="utf-8"))
    assert len(steps) > 10
    printed = run([command for command, _ in steps], tmp_path)
    for (command, expected), given in zip(steps, printed, strict=True):
        assert given.rstrip() == expected.rstrip(), command


if __name__ == "__main__":  # write what the commands print into the page
    import tempfile

    text = PAGE.read_text(encoding="utf-8")
    steps = session(text)
    with tempfile.TemporaryDirectory() as folder:
        printed = iter(run([command for command, _ in steps], Path(folder)))

    def block(m: re.Match[str]) -> str:
        lines = ["```console"]
        for line in m[1].splitlines():
            if line.startswith(("$ ", "> ")):
                if line.startswith("$ ") and len(lines) > 1:
                    lines += next(printed).rstrip().splitlines()
                lines.append(line)
        return "\n".join([*lines, *next(printed).rstrip().splitlines(), "```"])

    PAGE.write_text(re.sub(r"(?s)```console\n(.*?)```", block, text), encoding="utf-8")
