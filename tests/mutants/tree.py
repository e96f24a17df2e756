"""A tree of its own for mutants, with an environment whose imports, also of what tests start, come from it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

from tests.mutants.mutant import Mutant, applied, line_of

__all__ = ["Tree"]

ROOT = Path(__file__).parents[2]
_SCRIPT = "#!{python}\nimport sys\nfrom monitor.__main__ import main\nsys.exit(main())\n"


class Tree:
    """The sources at `commit` in `folder`; made when it is not there yet."""

    def __init__(self, folder: Path, commit: str) -> None:
        self.root, self.told = folder / "tree", folder / "told"
        self._packages = self.root / ".venv" / Path(sysconfig.get_path("purelib")).relative_to(sys.prefix)
        if not self.root.exists():
            git("clone", "--quiet", "--shared", "--no-checkout", str(ROOT), str(self.root))
            git("checkout", "--quiet", "--detach", commit, folder=self.root)
            self._make_environment()
        self.commit = git("rev-parse", "HEAD", folder=self.root).strip()
        self.told.mkdir(exist_ok=True)
        shutil.copy(Path(__file__).with_name("probe.py"), self._packages / "mutants_probe.py")

    def _make_environment(self) -> None:
        ours, theirs = self.root / ".venv", Path(sys.prefix)
        packages = self._packages
        packages.mkdir(parents=True)
        (ours / "bin").mkdir()
        shutil.copy(theirs / "pyvenv.cfg", ours)
        for program in (theirs / "bin").iterdir():
            if not program.name.startswith("monitor"):
                (ours / "bin" / program.name).symlink_to(program.resolve() if "python" in program.name else program)
        script = ours / "bin" / "monitor"
        script.write_text(_SCRIPT.format(python=ours / "bin" / "python"), encoding="utf-8")
        script.chmod(0o755)
        paths = f"{self.root}\n{sysconfig.get_path('purelib')}\n"
        (packages / "tree.pth").write_text(paths, encoding="utf-8")
        (packages / "mutants").symlink_to(self.told)
        rules = ROOT / ".pytest_cache" / "rules"
        if rules.exists():
            shutil.copytree(rules, self.root / ".pytest_cache" / "rules")

    def text(self, path: str) -> str:
        """As committed; empty, when it is not there."""
        try:
            return git("show", f"HEAD:{path}", folder=self.root)
        except subprocess.CalledProcessError:
            return ""

    def has(self, mutant: Mutant) -> bool:
        return line_of(self.text(mutant.path), mutant) is not None

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.write_text(text, encoding="utf-8")
        for compiled in (file.parent / "__pycache__").glob(f"{file.stem}.*.pyc"):
            compiled.unlink()  # it is told by its time in seconds and its size

    def mutate(self, mutant: Mutant) -> None:
        made = applied(self.text(mutant.path), mutant)
        assert made is not None, f"its code is gone: {mutant.name}"
        self.write(mutant.path, made)

    def restore(self) -> None:
        for path in git("diff", "--name-only", folder=self.root).splitlines():
            self.write(path, self.text(path))

    def pytest(self, *arguments: str, wall: float) -> int | None:
        """Its exit code; None: it did not come to an end."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "PYTHON"))}
        python = self.root / ".venv" / "bin" / "python"
        with (
            (self.told / "output").open("w") as output,
            subprocess.Popen(
                [str(python), "-m", "pytest", "-p", "mutants_probe", "-p", "no:cacheprovider", "-n", "0", *arguments],
                cwd=self.root,
                env=environment | {"MUTANTS": str(self.told)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            ) as process,
        ):
            try:
                return process.wait(wall)
            except subprocess.TimeoutExpired:
                return None
            finally:
                for number in (signal.SIGINT, signal.SIGKILL):  # servers of fixtures end with the first
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(process.pid, number)
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(20)


def git(*arguments: str, folder: Path = ROOT) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout
