from __future__ import annotations

import resource
import subprocess
from pathlib import Path

import pytest

from monitor.clients.git import Git, GitError
from monitor.scan.githooks import Folder, HookError, folder_of, install, standing, uninstall
from tests.fakes.repository import Repository, environment

STOP = "if [ -e {0}/stop ]; then exit 7; fi; exit 0\n"


@pytest.fixture
def program(tmp_path: Path) -> str:
    """In the place of ours: writes down its arguments and what it reads, and ends as the file `stop` has it."""
    path = tmp_path / "ours"
    path.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/said\ncat >>{tmp_path}/said\n' + STOP.format(tmp_path))
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "r")


def hook(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def run(path: Path, *arguments: str, said: str = "", **more: str) -> tuple[int, str]:
    done = subprocess.run(
        [str(path), *arguments], input=said, capture_output=True, text=True, check=False, env=environment(**more)
    )
    return done.returncode, done.stdout + done.stderr


def folder(repository: Repository) -> Folder:
    return folder_of(Git(repository.folder))


def test_where_nothing_was(repository: Repository, program: str, tmp_path: Path) -> None:
    place = folder(repository)
    assert standing(place, "pre-push").state == "missing"
    path = install(place, "pre-push", program, ["--confidence=high"])
    assert path == repository.folder / ".git/hooks/pre-push"
    assert run(path, "origin", "a b", said="one\ntwo\n") == (0, "")
    assert (tmp_path / "said").read_text() == "hooks run --confidence=high pre-push -- origin a b\none\ntwo\n"
    now = standing(place, "pre-push")
    assert (now.state, now.chained, now.note) == ("installed", False, "")
    assert uninstall(place, "pre-push") == path
    assert not path.exists()
    assert uninstall(place, "pre-push") is None


@pytest.mark.parametrize("shebang", ["#!/bin/sh", "#!/usr/bin/env bash", "#! /bin/sh -e", "#!/bin/bash"])
def test_a_script_of_a_shell_keeps_name_arguments_input_and_exit_code(
    repository: Repository, program: str, tmp_path: Path, shebang: str
) -> None:
    text = f'{shebang}\nset -u\necho "$0 $*"; cat; exit 3\n'
    path = hook(repository.folder / ".git/hooks/pre-push", text)
    place = folder(repository)
    install(place, "pre-push", program, [])
    install(place, "pre-push", program, [])  # again
    said = "x $HOME `id` \\n\n y\n"
    assert run(path, "a", "b", said=said) == (3, f"{path} a b\n{said}")
    assert (tmp_path / "said").read_text().endswith(said)
    assert run(path, said="") == (3, f"{path} \n")  # nothing stays nothing
    (tmp_path / "stop").touch()
    assert run(path, said=said) == (7, "")
    assert standing(place, "pre-push").chained
    uninstall(place, "pre-push")
    assert path.read_text() == text


def test_any_other_program_is_started_behind_ours(repository: Repository, program: str, tmp_path: Path) -> None:
    text = "#!/usr/bin/env python3\nimport sys\nprint(sys.argv[1:], sys.stdin.read())\nsys.exit(5)\n"
    path = hook(repository.folder / ".git/hooks/pre-receive", text)
    place = folder(repository)
    install(place, "pre-receive", program, [])
    install(place, "pre-receive", program, [])
    assert run(path, "a", said="old new ref\n") == (5, "['a'] old new ref\n\n")
    assert standing(place, "pre-receive").chained
    (tmp_path / "stop").touch()
    assert run(path, said="x\n") == (7, "")
    uninstall(place, "pre-receive")
    assert path.read_text() == text
    assert [one.name for one in path.parent.iterdir() if "pre-receive" in one.name and "sample" not in one.name] == [
        "pre-receive"
    ]


def test_a_link_is_not_written_through_and_what_is_turned_off_stays_so(
    repository: Repository, program: str, tmp_path: Path
) -> None:
    script = hook(repository.folder / "scripts/check", "#!/bin/sh\necho linked\n")
    hooks = repository.folder / ".git/hooks"
    hooks.mkdir(exist_ok=True)
    (hooks / "pre-commit").symlink_to(script)
    hook(hooks / "pre-push", "#!/bin/sh\necho never\n").chmod(0o644)
    place = folder(repository)
    for name, says in (("pre-commit", "linked\n"), ("pre-push", "")):
        assert run(install(place, name, program, [])) == (0, says)
    assert script.read_text() == "#!/bin/sh\necho linked\n"
    for name in ("pre-commit", "pre-push"):
        uninstall(place, name)
    assert (hooks / "pre-commit").is_symlink()
    assert (hooks / "pre-push").stat().st_mode & 0o111 == 0


def test_what_was_moved_away_before_is_not_written_over(repository: Repository, program: str) -> None:
    path = hook(repository.folder / ".git/hooks/pre-push", "#!/usr/bin/perl\n")
    hook(path.with_name("pre-push.before-exposure-monitor"), "#!/usr/bin/perl\n")
    with pytest.raises(HookError, match="is there already"):
        install(folder(repository), "pre-push", program, [])
    assert path.read_text() == "#!/usr/bin/perl\n"


def test_where_ours_is_gone_it_says_so_and_stops(repository: Repository, tmp_path: Path) -> None:
    path = install(folder(repository), "pre-push", str(tmp_path / "gone"), [])
    code, says = run(path, said="x\n", PATH="/usr/bin:/bin")
    assert code == 1
    assert "exposure-monitor is not installed, so this pre-push was not checked for secrets" in says
    assert standing(folder(repository), "pre-push").state == "broken"
    path.chmod(0o644)
    assert "chmod +x" in standing(folder(repository), "pre-push").note


def test_ours_that_is_killed_lets_nothing_through(repository: Repository, tmp_path: Path) -> None:
    hook(tmp_path / "ours", "#!/bin/sh\nkill -9 $$\n")
    own = hook(repository.folder / ".git/hooks/pre-receive", "#!/bin/sh\necho own\n")
    install(folder(repository), "pre-receive", str(tmp_path / "ours"), [])
    code, says = run(own, said="x\n")
    assert (code, "own" in says) == (137, False)


def test_a_folder_that_the_repository_names(repository: Repository, program: str, tmp_path: Path) -> None:
    own = install(folder(repository), "pre-commit", program, [])
    repository.git("config", "core.hooksPath", ".githooks")
    place = folder(repository)
    assert (place.path, place.tracked) == (repository.folder / ".githooks", True)
    shadowed = standing(place, "pre-commit")
    assert (shadowed.state, shadowed.path) == ("shadowed", str(own))
    assert ".githooks" in shadowed.note
    path = install(place, "pre-commit", program, [])
    assert program not in path.read_text()  # it is for all who have the repository
    code, says = run(path, PATH="/usr/bin:/bin")
    assert (code, "was not checked" in says) == (0, True)
    hook(tmp_path / "bin/monitor", Path(program).read_text())
    assert run(path, PATH=f"{tmp_path}/bin:/usr/bin:/bin") == (0, "")
    assert "pre-commit" in (tmp_path / "said").read_text()


def test_husky_has_its_hooks_above(repository: Repository, program: str) -> None:
    hook(repository.folder / ".husky/_/pre-commit", '#!/usr/bin/env sh\n. "$(dirname "$0")/h"\n')
    theirs = hook(repository.folder / ".husky/pre-commit", "npm test\n")
    repository.git("config", "core.hooksPath", ".husky/_")
    place = folder(repository)
    assert place.husky
    path = install(place, "pre-push", program, [])
    assert path == repository.folder / ".husky/pre-push"
    assert install(place, "pre-commit", program, []) == theirs
    assert theirs.read_text().endswith("npm test\n")
    assert "_" in {one.name for one in theirs.parent.iterdir()}
    uninstall(place, "pre-commit")
    assert theirs.read_text() == "npm test\n"


@pytest.mark.parametrize(
    ("text", "manager"),
    [
        ('#!/bin/sh\nif [ "$LEFTHOOK" = "0" ]; then exit 0; fi\n', "lefthook"),
        ("#!/usr/bin/env bash\n# File generated by pre-commit: https://pre-commit.com\n", "pre-commit"),
    ],
)
def test_a_manager_that_writes_hooks_anew_is_named(
    repository: Repository, program: str, text: str, manager: str
) -> None:
    hook(repository.folder / ".git/hooks/pre-commit", text)
    place = folder(repository)
    install(place, "pre-commit", program, [])
    assert manager in standing(place, "pre-commit").note
    hook(repository.folder / ".git/hooks/pre-commit", text)  # which it has done
    now = standing(place, "pre-commit")
    assert (now.state, manager in now.note) == ("missing", True)


def test_a_folder_of_all_repositories_is_known_for_one(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    (tmp_path / ".gitconfig").write_text("[core]\nhooksPath = ~/hooks\n")
    place = folder(repository)
    assert (place.path, place.shared) == (tmp_path / "hooks", "core.hooksPath of the global configuration")


def test_a_full_disk_takes_no_hook_away(repository: Repository, program: str) -> None:
    theirs = hook(repository.folder / ".git/hooks/pre-commit", "#!/usr/bin/env python3\n")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, before[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            install(folder(repository), "pre-commit", program, [])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in theirs.parent.glob("pre-commit*") if path.suffix != ".sample"] == ["pre-commit"]
    assert theirs.read_text() == "#!/usr/bin/env python3\n"


def test_hooks_that_are_turned_off_are_known_for_that(repository: Repository) -> None:
    repository.git("config", "core.hooksPath", "")
    with pytest.raises(GitError, match=r"so git runs no hook here.*git config --local --unset-all core.hooksPath"):
        folder(repository)


def test_worktrees_and_submodules(repository: Repository, program: str, tmp_path: Path) -> None:
    repository.commit({"a": "x"})
    repository.git("worktree", "add", "-q", str(tmp_path / "tree"))
    assert folder(Repository(tmp_path / "tree")).path == repository.folder / ".git/hooks"
    outer = Repository(tmp_path / "outer")
    outer.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(repository.folder), "inner")
    place = folder(Repository(tmp_path / "outer/inner"))
    assert place.path == tmp_path / "outer/.git/modules/inner/hooks"
    assert install(place, "pre-commit", program, []).exists()
    bare = Repository(tmp_path / "bare", "--bare")
    assert folder(bare).path == tmp_path / "bare/hooks"


def test_many_beginnings_of_our_lines_without_an_end_take_no_time(repository: Repository) -> None:
    place = folder_of(Git(repository.folder))
    begin = "# >>> exposure-monitor: `monitor hooks uninstall` takes this away\n"
    path = hook(place.file("pre-push"), "#!/bin/sh\n" + (begin + "x\n") * 14_000)  # took minutes
    assert standing(place, "pre-push").state == "missing"
    path.write_text(f"#!/bin/sh\n{begin}{begin}exposure_monitor=\n# <<< exposure-monitor\n")
    assert standing(place, "pre-push").state == "installed"
