"""Real commands: how the secret reaches them, and that it is nowhere else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from monitor.actions.command import execute
from monitor.actions.config import ActionConfig
from tests.fakes.intake import until

VALUE = "canary-0123456789-abcdef"


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "revoke"
    path.write_text("#!/bin/sh\nexit 0\n")
    path.chmod(0o755)
    return path


def action(*command: object, **keys: object) -> ActionConfig:
    return ActionConfig.model_validate(
        {"name": "a", "type": "command", "command": [str(item) for item in command], "timeout": "20s"} | keys
    )


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    return path


async def run(one: ActionConfig, **parts: str) -> tuple[str, str]:
    ended = await execute(one, {"value": VALUE, **parts}, lambda text: text)
    return ended.state, ended.reason


async def test_the_secret_comes_on_standard_input_and_stands_nowhere_else(program: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    script(program, f"cat > {out}; env >> {out}.env; tr '\\0' '\\n' < /proc/$$/cmdline >> {out}.env; echo done")
    ended = await run(action(program, "--id", "{rule}"), rule="github-pat")
    assert ended == ("accepted", "the command has ended well: done")
    assert out.read_text() == VALUE
    told = Path(f"{out}.env").read_text()
    assert VALUE not in told
    assert "--id\ngithub-pat\n" in told
    names = {line.partition("=")[0] for line in told.splitlines() if "=" in line}
    assert names <= {"PATH", "LANG", "PWD", "SHLVL", "_"}


async def test_or_by_a_descriptor_or_not_at_all(program: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    script(program, f"cat $MONITOR_VALUE_FILE > {out}; cat > {out}.stdin")
    assert (await run(action(program, value="fd")))[0] == "accepted"
    assert out.read_text() == VALUE
    assert Path(f"{out}.stdin").read_text() == ""
    script(program, f"cat > {out}.none")
    assert (await run(action(program, value="none")))[0] == "accepted"
    assert Path(f"{out}.none").read_text() == ""


async def test_a_secret_that_no_pipe_holds_is_not_handed_over_in_part(program: Path, tmp_path: Path) -> None:
    script(program, f"cat > {tmp_path}/out")
    ended = await execute(action(program), {"value": "x" * 100_000}, str)
    assert (ended.state, "longer than a pipe holds" in ended.reason) == ("failed", True)
    assert not (tmp_path / "out").exists()


async def test_what_it_prints_is_told_without_the_secret(program: Path) -> None:
    script(program, "echo 'no such key'; exit 3")
    assert await run(action(program)) == ("failed", "exit code 3: no such key")
    script(program, "cat; exit 3")
    assert await run(action(program)) == ("failed", "exit code 3")
    script(program, "head -c 3000000 /dev/zero | tr '\\0' x; echo; echo last")
    state, reason = await run(action(program))
    assert (state, len(reason) < 400, reason.endswith("last")) == ("accepted", True, True)


async def test_what_the_cut_leaves_of_a_secret_is_not_told(program: Path) -> None:
    other = "pat-" + "9" * 30
    said = "and so the new key could not be stored; " * 7
    for shown in range(1, len(VALUE)):
        script(program, f"printf '%s%s' '{VALUE}' '{(said * 2)[: 300 - shown]}'")
        assert (await run(action(program, value="none")))[1] == "the command has ended well"
    for shown in range(1, len(other)):
        script(program, f"printf '%s%s' '{other}' '{(said * 2)[: 300 - shown]}'")
        ended = await execute(action(program, value="none"), {}, lambda text: text.replace(other, "(masked)"))
        assert "9" not in ended.reason


async def test_what_has_ended_has_ended_whoever_still_holds_its_output(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.common.program._GRACE", 0.05)
    pid = tmp_path / "pid"
    fled = f"setsid sh -c 'echo $$ > {pid}.new; mv {pid}.new {pid}; exec sleep 600' & until [ -e {pid} ]; do :; done"
    script(program, f"{fled}; echo done")
    assert await run(action(program)) == ("accepted", "the command has ended well: done")
    assert not os.path.exists(f"/proc/{pid.read_text().strip()}"), "it ends with the command, in whatever session"


async def test_an_end_that_nobody_saw_cannot_be_known(program: Path, tmp_path: Path) -> None:
    started = tmp_path / "pid"
    script(program, f"sleep 100 & echo $! > {started}; wait")
    state, reason = await run(action(program, timeout="300ms"))
    assert (state, "cannot be known" in reason) == ("unknown", True)
    child = int(started.read_text())

    def gone() -> bool:
        return not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text().split()[2]

    await until(gone, lambda: "what it had started goes on")
    script(program, "kill -9 $$")
    assert (await run(action(program)))[0] == "unknown"


async def test_no_argument_holds_a_secret_or_an_option(program: Path) -> None:
    for hole in ("{value}", "{credential}", "{nothing}"):
        assert (await run(action(program, hole), credential="x"))[0] == "failed"
    assert (await run(action(program, "{rule}"), rule="--force"))[0] == "failed"
    assert (await run(action(program, "{rule}"), rule="a b; c"))[0] == "failed"


async def test_a_program_that_others_can_exchange_is_not_run(program: Path) -> None:
    program.chmod(0o777)
    assert await run(action(program)) == (
        "failed",
        f"{program}: {program} can be written to by others: chmod go-w {program}",
    )


async def test_what_cannot_be_started_has_failed(program: Path) -> None:
    program.write_bytes(b"\x00 no program")
    state, reason = await run(action(program))
    assert (state, "cannot be started" in reason) == ("failed", True)
