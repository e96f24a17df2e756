from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from detectors.rules.template import expand
from tests.fakes.forks import Forks
from tests.fakes.repository import Repository, environment
from tests.fakes.shell import in_process

Answer = subprocess.CompletedProcess[str]
Command = Callable[..., Answer]
NONE = "0" * 40
ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.usefixtures("config")


def token(n: int) -> str:
    return expand("ghp_{alnum:30}{crc32}", n)


class World:
    """Somebody's clone with hooks in force, and the server that it is of. What git starts is the real command."""

    def __init__(self, folder: Path, forks: Forks, monitor: Command) -> None:
        self.monitor = monitor
        self.server = Repository(folder / "server", "--bare")
        self.server.git("config", "receive.denyDeleteCurrent", "ignore")
        self.mine = Repository(folder / "mine")
        self.mine.git("remote", "add", "origin", str(self.server.folder))
        more = {"HOME": str(folder), "MONITOR_CONFIG": str(folder / "config.toml"), "PYTHONWARNINGS": "error"}
        self._variables = environment(**more)
        del self._variables["LC_ALL"]  # as of other tests, so that they share a server
        forks.shim(folder / "monitor", self._variables)
        self._program = str(folder / "monitor")

    def install(self, repository: Repository, *hooks: str) -> Answer:
        answer = self.monitor("hooks", "install", "-C", str(repository.folder), *hooks)
        for path in (repository.folder / "hooks", repository.folder / ".git/hooks"):
            for hook in path.glob("pre-*[a-z]") if path.exists() else ():
                lines = hook.read_text().splitlines(keepends=True)
                ours = [
                    f"exposure_monitor={self._program}\n" if x.startswith("exposure_monitor=/") else x for x in lines
                ]
                hook.write_text("".join(ours))
        return answer

    def git(self, *arguments: str) -> Answer:
        command = ["git", "-C", str(self.mine.folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=self._variables)


@pytest.fixture
def monitor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """In this process; what git starts is another one."""
    monkeypatch.setenv("HOME", str(tmp_path))
    return in_process(tmp_path, monkeypatch)


@pytest.fixture
def world(tmp_path: Path, forks: Forks, monitor: Command) -> World:
    return World(tmp_path, forks, monitor)


def test_a_commit_with_a_secret_is_stopped_with_what_to_do(world: World) -> None:
    own = world.mine.folder / ".git/hooks/pre-commit"
    own.parent.mkdir(exist_ok=True)
    own.write_text("#!/bin/sh\necho own >&2\nexit $(cat code 2>/dev/null || echo 0)\n")
    own.chmod(0o755)
    answer = world.install(world.mine)
    assert answer.stdout == f"pre-commit: {own}\npre-push: {own.parent}/pre-push\n"
    world.mine.write({"a": "fine\n"})
    answer = world.git("commit", "-m", "one")
    assert (answer.returncode, answer.stderr) == (0, "own\n")
    world.mine.write({"a": f"fine\n{token(1)}\n"})
    answer = world.git("commit", "-m", "two")
    assert answer.returncode == 1
    assert answer.stderr.splitlines()[-3:] == [
        "exposure-monitor stopped this commit: it holds a secret.",
        "Take it out, `git add` again; have the program read it from its environment or a secret manager.",
        "No secret? monitor scan --staged --accept a:2 --for 90d --reason WHY; then git add .exposure-suppressions "
        "(once: git commit --no-verify).",
    ]
    assert "a:2:1: critical: GitHub personal access token [github-pat] ghp_" in answer.stdout + answer.stderr
    assert token(1)[8:] not in answer.stdout + answer.stderr
    world.monitor("scan", "--staged", "-C", "mine", "--accept", "a:2", "--for", "90d", "--reason", "why")
    answer = world.git("commit", "-m", "two")
    assert (answer.returncode, answer.stderr) == (0, "own\n")
    (world.mine.folder / "code").write_text("9")
    world.mine.write({"b": "x\n"})
    answer = world.git("commit", "-m", "three")
    assert (answer.returncode, answer.stderr) == (1, "own\n")  # theirs stops it as before


def test_of_a_partial_commit_that_part_is_looked_at(world: World) -> None:
    world.mine.commit({"a": "x\n", "b": "y\n"})
    world.install(world.mine)
    world.mine.write({"a": f"{token(1)}\n", "b": "z\n"})
    assert world.git("commit", "-qm", "b", "b").returncode == 0
    assert world.git("commit", "-qm", "a", "a").returncode == 1
    (world.mine.folder / "b").write_text(f"{token(2)}\n")
    world.mine.git("reset", "-q", "a")
    assert world.git("commit", "-qam", "all").returncode == 1


def test_a_push_is_looked_at_for_what_it_brings(world: World) -> None:
    world.mine.commit({"old": f"{token(1)}\n"})
    world.mine.git("push", "-q", "origin", "main")  # before there was a hook
    world.install(world.mine)
    world.mine.commit({"a": "fine\n"})
    answer = world.git("push", "-q", "origin", "main", "main:refs/heads/other")
    assert (answer.returncode, answer.stderr) == (0, "")
    name = world.mine.commit({"a": f"{token(2)}\n"})
    world.mine.commit({"a": "fine\n"})  # taken out again, and in the history all the same
    answer = world.git("push", "-q", "origin", "main:topic")
    assert answer.returncode == 1
    assert f"commit {name[:12]}" in answer.stdout + answer.stderr
    assert "1 finding in 2 commits" in answer.stderr
    assert "exposure-monitor stopped this push: it holds a secret." in answer.stderr
    assert world.git("push", "-q", "--no-verify", "origin", "main:topic").returncode == 0
    assert world.git("push", "-q", "origin", "main").returncode == 0  # the server has it already
    world.mine.git("remote", "add", "elsewhere", str(world.mine.folder / "../elsewhere"))
    Repository(world.mine.folder.parent / "elsewhere", "--bare")
    answer = world.git("push", "-q", "elsewhere", "main")  # and this one has none of it
    assert "2 findings in 4 commits" in answer.stderr
    assert world.git("push", "-q", "origin", ":topic").returncode == 0


def test_a_server_takes_no_secret(world: World) -> None:
    world.mine.commit({"a": "fine\n"})
    assert world.install(world.server).stdout == f"pre-receive: {world.server.folder}/hooks/pre-receive\n"
    assert world.git("push", "-q", "origin", "main").returncode == 0
    world.mine.commit({"a": f"{token(1)}\n"})
    answer = world.git("push", "origin", "main", "main:new")
    assert answer.returncode == 1
    assert "remote: exposure-monitor stopped this push: it holds a secret." in answer.stderr
    assert token(1)[8:] not in answer.stderr
    assert world.server.git("rev-list", "--all", "--count") == "1"
    world.mine.git("reset", "-q", "--hard", "HEAD~1")
    world.mine.git("tag", "-a", "v1", "-m", f"release with {token(2)}")
    answer = world.git("push", "origin", "v1")
    assert answer.returncode == 1
    assert "(tag message):1" in answer.stderr
    assert world.git("push", "-q", "origin", ":main").returncode == 0


def test_what_git_says_to_a_hook_is_read_strictly(world: World) -> None:
    name = world.mine.commit({"a": f"{token(1)}\n"})
    blob = world.mine.git("rev-parse", "HEAD:a")

    def run(hook: str, said: str) -> Answer:
        where = {"GIT_DIR": str(world.mine.folder / ".git")}
        return world.monitor("hooks", "run", hook, "--", "origin", "url", stdin=said, env=where)

    assert run("pre-push", f"refs/heads/main {name} refs/heads/main {NONE}\n").returncode == 1
    assert run("pre-push", f"refs/heads/main {name} refs/heads/main {name}\n").returncode == 0
    assert run("pre-push", f"refs/heads/main {name} refs/heads/main {'1' * 40}\n").returncode == 1  # not fetched
    assert run("pre-push", f"(delete) {NONE} refs/heads/main {name}\n").returncode == 0
    assert run("pre-push", "\n").returncode == 1  # read by somebody before us: HEAD is looked at
    for hook, said in (
        ("pre-push", "refs/heads/main --all refs/heads/main --exec\n"),
        ("pre-push", "one\n"),
        ("pre-receive", f"{NONE} --all refs/heads/main\n"),
        ("pre-receive", f"{NONE} {blob} refs/heads/main\n"),
        ("pre-receive", f"{NONE} {'1' * 40} refs/heads/main\n"),
    ):
        answer = run(hook, said)
        assert (answer.returncode, answer.stdout) == (2, ""), said


def test_what_is_uncertain_stops_nobody_unless_that_is_asked_for(world: World, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[monitor]\nstate_dir = "state"\n')
    world.mine.write({"a": "password = hello99\n"})
    found = [
        json.loads(line) for line in world.monitor("scan", "--staged", "-C", "mine", "-f", "jsonl").stdout.splitlines()
    ]
    assert {row["confidence"] for row in found} <= {"low"}
    where = {"GIT_DIR": str(world.mine.folder / ".git"), "GIT_WORK_TREE": str(world.mine.folder)}
    assert world.monitor("hooks", "run", "pre-commit", env=where).returncode == 0
    assert world.monitor("hooks", "run", "--confidence", "low", "pre-commit", env=where).returncode == bool(found)


def test_a_hook_needs_no_key_of_this_host_and_makes_none(world: World, tmp_path: Path) -> None:
    """On a host of logs all have its configuration, and one user its key."""
    config = tmp_path / "config.toml"
    config.write_text(config.read_text().replace("[monitor]", '[monitor]\nfingerprint_key = "file:/nonexistent"'))
    world.mine.write({"a": f"{token(1)}\n"})
    where = {"GIT_DIR": str(world.mine.folder / ".git"), "GIT_WORK_TREE": str(world.mine.folder)}
    answer = world.monitor("hooks", "run", "pre-commit", env=where)
    assert (answer.returncode, "nonexistent" in answer.stderr) == (1, False)
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["cache"]


def test_status_says_what_is_in_force(world: World) -> None:
    answer = world.monitor("hooks", "status", "-C", "mine")
    assert answer.returncode == 1
    assert answer.stdout == "".join(
        f"{hook}: missing: {world.mine.folder}/.git/hooks/{hook}\n" for hook in ("pre-commit", "pre-push")
    )
    world.install(world.mine)
    answer = world.monitor("hooks", "status", "-C", "mine", "-f", "jsonl")
    assert answer.returncode == 0
    assert [json.loads(line)["state"] for line in answer.stdout.splitlines()] == ["installed", "installed"]
    world.mine.git("config", "core.hooksPath", "hooks.d")
    answer = world.monitor("hooks", "status", "-C", "mine")
    assert answer.returncode == 1
    assert "shadowed" in answer.stdout
    assert f"git looks in {world.mine.folder}/hooks.d only" in answer.stdout
    answer = world.monitor("hooks", "install", "-C", "mine", "pre-commit")
    assert "this file is a part of the repository: commit it" in answer.stdout
    answer = world.monitor("hooks", "uninstall", "-C", "mine")
    assert answer.stdout == f"pre-commit: taken out of {world.mine.folder}/hooks.d/pre-commit\n"
    assert world.monitor("hooks", "uninstall", "-C", "mine").stderr == "none of ours is there\n"


def test_what_pre_commit_is_given_is_what_there_is(world: World) -> None:
    listed = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert {hook["id"] for hook in listed} == {"exposure-monitor", "exposure-monitor-push"}
    name = world.mine.commit({"a": f"{token(1)}\n"})
    world.mine.write({"b": f"{token(2)}\n"})
    where = {"GIT_DIR": str(world.mine.folder / ".git"), "GIT_WORK_TREE": str(world.mine.folder)}
    for hook in listed:
        program, *arguments = hook["entry"].split()
        assert program == "monitor"
        assert hook["pass_filenames"] is False
        assert world.monitor(*arguments, env=where).returncode == 1
    told = {"PRE_COMMIT_FROM_REF": name, "PRE_COMMIT_TO_REF": name, "PRE_COMMIT_REMOTE_NAME": "origin"}
    assert world.monitor("hooks", "run", "pre-push", env={**where, **told}).returncode == 0


def test_hooks_of_all_repositories_are_touched_only_when_that_is_asked_for(world: World, tmp_path: Path) -> None:
    (tmp_path / ".gitconfig").write_text("[core]\nhooksPath = ~/all\n")
    answer = world.monitor("hooks", "install", "-C", "mine")
    assert answer.returncode == 2
    assert f"git looks for hooks in {tmp_path}/all (core.hooksPath of the global configuration)" in answer.stderr
    assert not (tmp_path / "all").exists()
    assert world.monitor("hooks", "install", "-C", "mine", "--shared").returncode == 0
    assert {path.name for path in (tmp_path / "all").iterdir()} == {"pre-commit", "pre-push"}
    assert world.monitor("hooks", "uninstall", "-C", "mine").returncode == 2
    assert world.monitor("hooks", "uninstall", "-C", "mine", "--shared").returncode == 0
    assert list((tmp_path / "all").iterdir()) == []


def test_no_repository_and_no_right_to_write(world: World, tmp_path: Path) -> None:
    answer = world.monitor("hooks", "install", "-C", "state", env={"GIT_CEILING_DIRECTORIES": str(tmp_path)})
    assert answer.returncode == 2
    assert "not a git repository" in answer.stderr
    hooks = world.mine.folder / ".git/hooks"
    for path in hooks.iterdir() if hooks.exists() else ():
        os.unlink(path)
    if hooks.exists():
        hooks.rmdir()
    hooks.write_text("no folder")
    answer = world.monitor("hooks", "install", "-C", "mine")
    assert answer.returncode == 1
    assert "pre-commit: " in answer.stderr
