"""`make image`: the image, as an archive that podman, skopeo and ctr load, made in a Debian root. Needs root, buildah.

    python3 packaging/image.py [--out dist] [--commit HEAD] [--twice]

Made from a commit, not from what lies in the folder, for the processor it is made on. `--twice` makes it again in
another root and compares.
"""

from __future__ import annotations

import argparse
import filecmp
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from roots import Root, builder

HERE = Path(__file__).resolve().parent.parent
RELEASE = "trixie"
USER = "65532:65532"  # as in other images without a shell, so that rights on volumes fit
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
INSIDE = "/build/source/packaging/image_root.py"
STATE = "/var/lib/exposure-monitor"
ENVIRONMENT = {
    "PATH": "/opt/exposure-monitor/bin:/usr/bin",
    "LANG": "C.UTF-8",
    "STATE_DIRECTORY": STATE,
    "CREDENTIALS_DIRECTORY": "/run/secrets",  # where podman and compose put secrets
    "SQLITE_TMPDIR": STATE,  # or it finds nowhere to put what it sorts, and fails: nothing else may be written
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--out", type=Path, default=HERE / "dist")
    parser.add_argument("--commit", default="HEAD")
    parser.add_argument("--twice", action="store_true")
    given = parser.parse_args()
    if os.geteuid() or shutil.which("buildah") is None:
        sys.exit("make image needs root and buildah: apt-get install buildah netavark")
    os.umask(0o022)  # what is made here gets into the image
    given.out.mkdir(parents=True, exist_ok=True)
    archive, digest = build(given.commit, given.out)
    if given.twice:
        with tempfile.TemporaryDirectory(dir=given.out) as aside:
            again, other = build(given.commit, Path(aside))
            if not filecmp.cmp(archive, again, shallow=False):
                sys.exit(f"{archive}: {digest}, and made again {other}; compare their layers")
    print(archive, digest, *(["the same twice"] if given.twice else []), sep="\n")


def build(commit: str, out: Path) -> tuple[Path, str]:
    """The archive of a commit, and the digest by which registries will know it."""
    with Root(builder(RELEASE), "image") as root:
        source = root.path / "build/source"
        source.mkdir(parents=True)
        subprocess.run(["tar", "-x", "-C", source], input=git("archive", commit), check=True)
        revision, epoch = git("log", "-1", "--format=%H %ct", commit).decode().split()
        root.run("python3", "-B", INSIDE, "/build/source", "/build/image", SOURCE_DATE_EPOCH=epoch)
        version = (root.path / "build/image/version").read_text(encoding="ascii")
        archive = out / f"exposure-monitor-{version}-{ARCHITECTURE}.oci.tar"
        about = {
            "title": "exposure-monitor",
            "description": "Finds leaked secrets in logs and drives the response",
            "licenses": "Apache-2.0",
            "version": version,
            "revision": revision,
            "created": datetime.fromtimestamp(int(epoch), UTC).isoformat(),
        }
        return archive, packed(root.path / "build/image", about, epoch, archive)


def packed(parts: Path, about: dict[str, str], epoch: str, archive: Path) -> str:
    """Two layers, that of the system first, as it changes less often; returns the digest of the manifest."""
    with tempfile.TemporaryDirectory(dir=parts) as folder:
        storage = Path(folder)

        def buildah(*words: str) -> str:
            # vfs works wherever files do; as nothing is run while it is made, nothing is mounted
            places = ("--storage-driver", "vfs", "--root", storage / "root", "--runroot", storage / "run")
            done = subprocess.run(["buildah", *places, *words], check=False, capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"buildah {words[0]} failed:\n{done.stderr}")
            return done.stdout.strip()

        def commit(container: str, stamp: str, *place: str) -> str:
            reproducible = (
                "--timestamp",
                stamp,
                "--identity-label=false",
                "--format",
                "oci",
                "--disable-compression=false",
                "--quiet",
            )
            return buildah("commit", *reproducible, "--rm", container, *place)

        system = buildah("from", "scratch")
        buildah("add", system, str(parts / "system"), "/")
        changed = (parts / "changed").read_text(encoding="ascii")
        monitor = buildah("from", "--pull-never", commit(system, changed))
        buildah("add", monitor, str(parts / "app"), "/")
        (parts / "state").mkdir()
        buildah("add", "--chown", USER, "--chmod", "0700", monitor, str(parts / "state"), STATE)
        names = {f"org.opencontainers.image.{name}": value for name, value in about.items()}
        told = [
            word
            for name, value in names.items()
            for how in ("--label", "--annotation")
            for word in (how, f"{name}={value}")
        ]
        told += [word for name, value in ENVIRONMENT.items() for word in ("--env", f"{name}={value}")]
        entry = ("--entrypoint", json.dumps(["/opt/exposure-monitor/bin/monitor"]), "--cmd", "run")
        buildah("config", *told, *entry, "--user", USER, "--stop-signal", "SIGTERM", "--workingdir", "/", monitor)
        layout = storage / "layout"
        commit(monitor, epoch, f"oci:{layout}:exposure-monitor:{about['version']}")
        archived(layout, archive, int(epoch))
        return str(json.loads((layout / "index.json").read_text(encoding="utf-8"))["manifests"][0]["digest"])


def archived(layout: Path, archive: Path, epoch: int) -> None:
    """The same file for the same content, whoever makes it and whenever."""

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        entry.mtime, entry.mode = epoch, 0o755 if entry.isdir() else 0o644
        return entry

    with tarfile.open(archive, "w", format=tarfile.USTAR_FORMAT) as out:
        for path in sorted(layout.rglob("*")):
            out.add(path, path.relative_to(layout), recursive=False, filter=plain)


def git(*words: str) -> bytes:
    return subprocess.run(["git", *words], cwd=HERE, check=True, capture_output=True).stdout


if __name__ == "__main__":
    main()
