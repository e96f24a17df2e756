"""Roots of Debian by debootstrap: made once, copied for each use. For `make packages` and `make systemd`; needs root.

FRESH_DIR says where they lie, FRESH_MIRROR names a mirror, as for `make fresh`.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

__all__ = ["Root", "base", "builder"]

FOLDER = Path(os.environ.get("FRESH_DIR", "/var/tmp/exposure-monitor-fresh"))
SYSTEMD = "ca-certificates,procps,systemd,systemd-sysv,dbus"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# How this machine reaches its registries holds inside as well.
PASSED = ("http_proxy", "https_proxy", "no_proxy", "PIP_CERT", "PIP_INDEX_URL", "PIP_DEFAULT_TIMEOUT", "SSL_CERT_FILE")


def base(debian: str, name: str = "systemd", *packages: str) -> Path:
    """A root of this release with systemd in it, and these packages; made when there is none. Not to be changed."""
    made = FOLDER / f"{debian}.{name}"
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / f"{made.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two may want it at once
        if not (made / "etc/debian_version").exists():
            (installed if packages else bootstrapped)(debian, made, packages)
    return made


def builder(debian: str) -> Path:
    """A root with what packages and the image are made with."""
    return base(debian, "builder", "binutils", "python3", "python3-venv")


def installed(debian: str, made: Path, packages: Sequence[str]) -> None:
    with Root(base(debian), made.name) as root:
        root.run("apt-get", "update", "-q")
        root.run("apt-get", "install", "-q", "-y", "--no-install-recommends", *packages)
        root.run("apt-get", "clean")
        root.path.rename(made)


def bootstrapped(debian: str, made: Path, _packages: Sequence[str]) -> None:
    if shutil.which("debootstrap") is None:
        subprocess.run(["apt-get", "install", "-q", "-y", "--no-install-recommends", "debootstrap"], check=True)
    fresh = made.with_suffix(".new")
    shutil.rmtree(fresh, ignore_errors=True)
    words = ["debootstrap", "--variant=minbase", f"--include={SYSTEMD}", debian, str(fresh), *mirror()]
    done = subprocess.run(words, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit(f"debootstrap of {debian} failed:\n{done.stdout[-2000:]}")
    fresh.rename(made)


def mirror() -> list[str]:
    """The one this machine uses; none: debootstrap's own."""
    if given := os.environ.get("FRESH_MIRROR"):
        return [given]
    words = ["apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages"]
    sites = subprocess.run(words, check=False, capture_output=True, text=True).stdout.split()
    return [site for site in sites if site.endswith("/debian")][:1]


class Root:
    """A copy of a base, in `folder`, gone at the end of the block."""

    def __init__(self, base: Path, name: str, folder: Path = FOLDER) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=folder))
        self.path = self._folder / "root"
        subprocess.run(["cp", "-a", base, self.path], check=True)
        passed = ["/etc/resolv.conf", "/etc/pip.conf", os.environ.get("SSL_CERT_FILE", "")]
        passed += map(str, Path("/etc/apt/apt.conf.d").glob("*proxy*"))
        for file in filter(os.path.isfile, passed):
            inside = self.path / file.lstrip("/")
            inside.parent.mkdir(parents=True, exist_ok=True)
            inside.unlink(missing_ok=True)
            shutil.copyfile(file, inside)
        # A mirror may lag; signatures are checked as ever.
        (self.path / "etc/apt/apt.conf.d/99lag").write_text('Acquire::Check-Valid-Until "false";\n')

    def __enter__(self) -> Root:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None or not os.environ.get("FRESH_KEEP"):
            shutil.rmtree(self._folder)

    def run(self, *words: str, **variables: str) -> None:
        """Run it inside, with its own processes and without systemd. Raises CalledProcessError."""
        passed = {name: os.environ[name] for name in PASSED if name in os.environ}
        fixed = {"PATH": PATH, "HOME": "/root", "LANG": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
        mounts = (
            'mount -t proc proc "$0/proc"; mount -t sysfs -o ro sysfs "$0/sys"; mount --rbind /dev "$0/dev";'
            'mount -t tmpfs tmpfs "$0/run"; mount -t tmpfs tmpfs "$0/tmp"; exec chroot "$0" "$@"'
        )
        alone = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-euc", mounts, str(self.path)]
        done = subprocess.run(
            [*alone, *words],
            env={**fixed, **passed, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            sys.exit(f"{' '.join(words)} failed in {self.path}:\n{done.stdout[-8000:]}")
