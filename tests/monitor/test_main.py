from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from monitor import __main__ as entry
from monitor.common.invocation import invocation
from monitor.common.problems import Problem
from monitor.config.locate import ConfigError
from monitor.web.hooks import HOOKS
from tests.detectors import texts

ROOT = Path(__file__).parents[2]


def test_a_bad_configuration_is_78_with_its_problems_and_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    error = ConfigError(Path("config.toml"), [Problem("http.listen", "must be so"), Problem("", "and so")])
    assert entry._report(error) == 78
    assert capsys.readouterr().err == "config.toml: http.listen: must be so\nconfig.toml: and so\n"


def test_a_program_called_by_a_relative_path_is_known_wherever_it_goes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def command(**_: object) -> None:
        monkeypatch.chdir("/")  # as to the folder of a configuration
        print(invocation(None, sys.argv[0], which=lambda _: None).call)

    monkeypatch.setattr("monitor.cli.app", command)
    monkeypatch.setattr("gc.set_threshold", lambda *_: None)
    monkeypatch.setenv("PYDANTIC_DISABLE_PLUGINS", "__all__")
    monkeypatch.setattr(sys, "argv", ["bin/monitor", "run"])
    monkeypatch.chdir(tmp_path)
    entry.main()
    assert capsys.readouterr().out == f"{tmp_path}/bin/monitor\n"


def test_a_bug_shows_where_and_what_but_not_the_message(capsys: pytest.CaptureFixture[str]) -> None:
    secret = "value-that-was-being-worked-on"
    with pytest.raises(RuntimeError) as caught:
        raise RuntimeError(secret)
    assert entry._report(caught.value) == 70
    shown = capsys.readouterr()
    assert "test_main.py" in shown.err
    assert "RuntimeError (message withheld)" in shown.err
    assert secret not in shown.err.replace('secret = "', "")  # the source line is shown, and is not the value
    assert shown.out == ""


def test_a_message_is_withheld_also_where_nothing_can_be_imported_to_judge_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "monitor.config.locate", None)  # as where no file can be opened
    assert entry._report(RuntimeError("value-that-was-being-worked-on")) == 70
    assert capsys.readouterr().err.startswith("RuntimeError (message withheld)\n")


def test_ctrl_c_while_it_starts_is_quiet(tmp_path: Path) -> None:
    program = """if True:
        import sys
        from monitor.__main__ import main
        class Pressed:
            def find_spec(self, name, *rest):
                if name == "monitor.cli":
                    raise KeyboardInterrupt
        sys.meta_path.insert(0, Pressed())
        main()
    """
    answer = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (answer.returncode, answer.stderr) == (130, "")


def cached(home: Path) -> dict[str, str]:
    """The environment of a command whose user has used it before: the rules need not be read."""
    texts.lend(home / ".local/state/exposure-monitor/cache")
    return {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(home)}


def test_a_closed_pipe_is_quiet(tmp_path: Path) -> None:
    command = f"{sys.executable} -m monitor rules list --format jsonl | head -n 1"
    answer = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        cwd=tmp_path,
        env=cached(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert len(answer.stdout.splitlines()) == 1
    assert answer.stderr == ""
    assert answer.returncode == 141


@pytest.mark.parametrize(("redirected", "code"), [(">/dev/full", 74), (">&-", 0), ("<&-", 0)])
def test_an_output_that_is_full_or_closed_is_no_bug_of_ours(tmp_path: Path, redirected: str, code: int) -> None:
    answer = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m monitor rules list {redirected}"],
        cwd=tmp_path,
        env=cached(tmp_path),
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert answer.returncode == code
    assert answer.stderr == ("No space left on device: the output is not complete\n" if code else "")


@pytest.mark.parametrize(("arguments", "code"), [(["rules", "list"], 0), (["rules", "show", "no-such-rule"], 2)])
def test_the_quick_end_loses_no_output_and_keeps_the_exit_code(arguments: list[str], code: int, tmp_path: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "monitor", *arguments],
        cwd=tmp_path,
        env={**cached(tmp_path), "PYTHONUNBUFFERED": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == code
    assert "github-pat" in answer.stdout if code == 0 else "no rule is called" in answer.stderr


def test_what_starting_does_not_need_is_not_imported(tmp_path: Path) -> None:
    help_ = (
        "import sys, typer, monitor.cli as cli; group = typer.main.get_command(cli.app); "
        "assert len(group.shell_complete(typer.Context(group), '')) == len(cli.COMMANDS)"
    )
    start = "import monitor.cli.run as run; run._import_structlog(); import monitor.daemon; print(*sys.modules)"
    serve = "from monitor.web.hooks import *; routes(Vendors(), *[list] * 3, problem=list); print(*sys.modules)"
    announced = "dict(Vendors()); print(*sys.modules)"
    scan = (
        "import monitor.cli.scan, monitor.scan.run, monitor.scan.history, monitor.scan.accepted; "
        "cli.scan.engine_of(None); cli.scan.run_key(None); print(*sys.modules)"  # as a hook without a configuration
    )
    text = f"{help_}; print(*sys.modules); {scan}; {start}; {serve}; {announced}"
    env = os.environ | {"STATE_DIRECTORY": str(tmp_path)}
    answer = subprocess.run([sys.executable, "-c", text], cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    helped, scanning, begun, serving, announced_to = (set(line.split()) for line in answer.stdout.splitlines())
    assert not {"monitor.cli.common", "monitor.config.config", "monitor.site", "pydantic"} & helped
    late = {
        "monitor.runbook",
        "monitor.domain.incidents",
        "monitor.scanning.record",
        "monitor.store",
        "gzip",
        "monitor.config.config",
        "monitor.site",
        "pathspec",
        "pydantic",
        "zoneinfo",
    }
    assert not late & scanning
    assert not {"aiohttp", "cryptography", "rich", "sqlalchemy.dialects.postgresql"} & begun
    assert not {entry.partition(":")[0] for entry in HOOKS.values()} & serving
    assert not {"cryptography", "jwt"} & announced_to  # of memory, too: many megabytes for as long as it runs
