"""Inside a Debian root: what the image holds, in two folders: `system`, Python with its libraries, and `app`, ours.

    python3 image_root.py SOURCE OUT

packaging/image.py calls it. Nothing is installed: the files of a few packages are unpacked, so that there is no shell,
no package manager and no program with more rights than who starts it.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import tree

PACKAGES = f"""
    base-files ca-certificates gcc-14-base libc6 libgcc-s1 libstdc++6 netbase tzdata
    python{tree.PYTHON}-minimal libpython{tree.PYTHON}-minimal libpython{tree.PYTHON}-stdlib
    libbz2-1.0 libexpat1 libffi8 liblzma5 libsqlite3-0 libssl3t64 libuuid1 libzstd1 zlib1g
"""
# What has no use here, and modules of Python whose libraries are not there. What stays of /usr/share: see `pruned`.
WITHOUT = """
    boot home media mnt opt root srv usr/games usr/include usr/libexec usr/local usr/sbin/* usr/src var/*
    etc/ca-certificates etc/default etc/dpkg etc/issue* etc/profile.d etc/python3* etc/skel etc/update-motd.d
    usr/lib/*/engines-3 usr/lib/*/gconv usr/lib/*/libc_malloc_debug.so* usr/lib/*/libmemusage.so
    usr/lib/*/libpcprofile.so usr/lib/python3*/ensurepip usr/lib/python3*/pydoc_data
    usr/lib/python3*/lib-dynload/_curses* usr/lib/python3*/lib-dynload/_dbm* usr/lib/python3*/lib-dynload/readline*
"""
ACCOUNTS = {
    "passwd": "root:x:0:0:root:/:/nonexistent\nmonitor:x:65532:65532:monitor:/:/nonexistent\n",
    "group": "root:x:0:\nadm:x:4:\nmonitor:x:65532:\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}


def main(source: Path, out: Path) -> None:
    os.umask(0o022)
    shutil.rmtree(out, ignore_errors=True)
    system, app = out / "system", out / "app"
    unpacked(system, out / "debs")
    # By it the layer is dated: as long as no package changes it is the same layer, which hosts have already.
    (out / "changed").write_text(str(max(int(path.stat().st_mtime) for path in files(system))), encoding="ascii")
    pruned(system)
    described(system, out / "debs")
    tree.compiled(system / f"usr/lib/python{tree.PYTHON}", system)
    complete(system)

    tree.install(source)
    tree.slimmed()
    tree.collect(source)
    shutil.copytree(tree.PREFIX, app / tree.PREFIX.relative_to("/"), symlinks=True)
    shutil.copyfile(source / "LICENSE", app / tree.PREFIX.relative_to("/") / "LICENSE")
    version = tree.run(str(tree.PREFIX / "bin/monitor"), "--version").split()[-1]
    (out / "version").write_text(version, encoding="ascii")
    alone(system, app)


def unpacked(system: Path, debs: Path) -> None:
    """Packages as Debian signed them, security updates too."""
    debs.mkdir(parents=True)
    mirror = Path("/etc/apt/sources.list").read_text(encoding="utf-8").split()[1]
    lists = [f"deb {mirror}-security {RELEASE}-security main", f"deb {mirror} {RELEASE}-updates main"]
    Path("/etc/apt/sources.list.d/updates.list").write_text("\n".join(lists) + "\n", encoding="ascii")
    tree.run("apt-get", "update", "-q")
    tree.run("sh", "-euc", f'cd {debs}; apt-get -q -o APT::Sandbox::User=root download "$@"', "sh", *PACKAGES.split())
    for deb in sorted(debs.iterdir()):
        tree.run("dpkg-deb", "-x", str(deb), str(system))


def described(system: Path, debs: Path) -> None:
    """Which packages they are, where scanners of images look."""
    about = system / "var/lib/dpkg/status.d"
    about.mkdir(parents=True)
    for deb in debs.iterdir():
        text = tree.run("dpkg-deb", "-f", str(deb))
        (about / deb.name.partition("_")[0]).write_text(text, encoding="utf-8")


def pruned(system: Path) -> None:
    """Of /usr/share only licences, as they ask for, time zones, and certificates until they are in one file."""
    stay = {"ca-certificates", "common-licenses", "doc", "zoneinfo"}
    idle = [path for path in (system / "usr/share").iterdir() if path.name not in stay]
    idle += [path for path in system.glob("usr/share/doc/*/*") if path.name != "copyright"]
    idle += [path for path in system.glob("usr/bin/*") if path.name != f"python{tree.PYTHON}"]
    idle += [path for pattern in WITHOUT.split() for path in system.glob(pattern)]
    for path in idle:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)


def complete(system: Path) -> None:
    """What scripts of the packages would have made, and who runs the monitor."""
    certificates = sorted((system / "usr/share/ca-certificates").rglob("*.crt"))
    bundle = system / "etc/ssl/certs/ca-certificates.crt"
    bundle.parent.mkdir(parents=True, exist_ok=True)
    bundle.write_bytes(b"".join(path.read_bytes() for path in certificates))
    shutil.rmtree(system / "usr/share/ca-certificates")
    (system / "usr/lib/ssl").mkdir(exist_ok=True)
    (system / "usr/lib/ssl/cert.pem").symlink_to("/etc/ssl/certs/ca-certificates.crt")
    for name, text in ACCOUNTS.items():
        (system / "etc" / name).write_text(text, encoding="ascii")
    for folder in ("etc/exposure-monitor", "run/secrets"):
        (system / folder).mkdir(parents=True)


def alone(system: Path, app: Path) -> None:
    """Exits when it cannot be: a library that is missing, a shell, or a program with rights of its own."""
    root = system.parent / "root"
    for part in (system, app):
        shutil.copytree(part, root, symlinks=True, dirs_exist_ok=True)
    wrong = [
        f"{path.relative_to(root)} gives rights"
        for path in files(root)
        if path.stat().st_mode & (stat.S_ISUID | stat.S_ISGID)
    ]
    wrong += [
        f"{path.relative_to(root)} is a program" for path in (root / "usr/bin").iterdir() if not path.match("python*")
    ]
    wrong += [
        f"{path.relative_to(root)} is a shell" for path in root.rglob("*sh") if path.name in ("sh", "bash", "dash")
    ]
    loader = next(root.glob("usr/lib64/ld-*")).name
    for path in files(root):
        if ".so" in path.suffixes:
            needs = tree.run("chroot", str(root), f"/lib64/{loader}", "--list", f"/{path.relative_to(root)}")
            wrong += [f"{path.relative_to(root)}: {line.strip()}" for line in needs.splitlines() if "not found" in line]
    if wrong:
        sys.exit("\n".join(wrong))
    shutil.rmtree(root)


def files(root: Path) -> Iterator[Path]:
    return (path for path in root.rglob("*") if path.is_file() and not path.is_symlink())


RELEASE = "trixie"

if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
