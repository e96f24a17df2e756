"""What `make release` makes of a small tree, verified by the commands of docs/release.md, and upgraded to by apt."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from monitor import __version__
from monitor.audit.workflows import zizmor

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/release.md").read_text(encoding="utf-8")
MAKEFILE = """
test:
	@test -e passes && test $$(stat -c %a ..) = 755
wheel:
	@mkdir -p dist && cp monitor/__init__.py dist/exposure_monitor.whl
sbom:
	@mkdir -p dist && echo $@ >dist/$@
site-archive: sbom
	@echo $@ >dist/$@
image: sbom
	@echo $@ >dist/$@
packages:
	@sed 's/@/$(VERSION)/' control >package/DEBIAN/control && cp package/DEBIAN/control package/version
	@chmod -R u=rwX,go=rX package
	@dpkg-deb --build package $(DEB)~deb12_amd64.deb >/dev/null && cp $(DEB)~deb12_amd64.deb $(DEB)~deb13_amd64.deb
DEB = dist/exposure-monitor_$(VERSION)
VERSION = $(shell sed -n 's/^__version__ = "\\(.*\\)"$$/\\1/p' monitor/__init__.py)
"""
CONTROL = """Package: exposure-monitor
Version: @
Architecture: amd64
Maintainer: nobody <nobody@example.com>
Description: a package in small
"""


spec = importlib.util.spec_from_file_location("release", ROOT / "packaging/release.py")
assert spec
assert spec.loader
spec.loader.exec_module(script := importlib.util.module_from_spec(spec))


def blocks(heading: str) -> list[str]:
    """The indented blocks of a section of the page."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return [re.sub(r"(?m)^ {4}", "", block) for block in re.findall(r"(?m)^(?: {4}.*\n)+", section)]


def sh(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["sh", "-euc", script], cwd=folder, capture_output=True, text=True, check=False)


class Tree:
    """A repository as ours, in small, with `make release`, and a gpg key of its own."""

    def __init__(self, folder: Path, key: str) -> None:
        self.folder, self.key, self.releases = folder, key, folder / "kept"
        files = {"Makefile": MAKEFILE, "control": CONTROL, "passes": "", ".gitignore": "/dist/\n/kept/\n/package/*\n"}
        for name, text in files.items():
            self.write(name, text)
        self.write("package/DEBIAN/.keep", "")
        self.write("packaging/release.py", (ROOT / "packaging/release.py").read_text(encoding="utf-8"))
        self.git("init", "--quiet", "--initial-branch=main")
        for setting in (("user.name", "t"), ("user.email", "t@example.com"), ("user.signingKey", key)):
            self.git("config", *setting)

    def write(self, name: str, text: str) -> None:
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_text(text)

    def git(self, *arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def commit(self, version: str, date: str = "2026-12-01") -> None:
        self.write("monitor/__init__.py", f'__version__ = "{version}"\n')
        self.write("CHANGELOG.md", f"# Changelog\n\n## {version} - {date}\n")
        self.git("add", "--all")
        self.git("add", "--force", "package/DEBIAN/.keep")
        self.git("commit", "--quiet", "--allow-empty", "--message", version)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "packaging/release.py", *arguments]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)

    def release(self, key: str = "") -> str:
        """What it says when it refuses, or nothing."""
        done = self.run("release", key or self.key, str(self.releases))
        assert (done.returncode == 0) == (not done.stderr.count("release: ")), done.stderr
        return "".join(re.findall(r"(?m)^release: .*\n", done.stderr))

    def released(self, version: str) -> Path:
        self.commit(version)
        self.git("tag", "--sign", "--message", version, f"v{version}")
        self.git("checkout", "--quiet", "--detach", f"refs/tags/v{version}")  # as a runner has it
        assert self.release() == ""
        return self.releases / version


@pytest.fixture(scope="module")
def key() -> Iterator[str]:
    """The fingerprint of a key that is thrown away, in a folder whose name is short enough for a socket in it."""
    with tempfile.TemporaryDirectory(prefix="gpg-", dir="/tmp") as home, pytest.MonkeyPatch.context() as patch:
        patch.setenv("GNUPGHOME", home)
        for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
            patch.setenv(name, "/dev/null")
        make = ["gpg", "--batch", "--quiet", "--passphrase", "", "--quick-generate-key"]
        subprocess.run([*make, "Releases <releases@example.com>", "ed25519", "sign", "never"], check=True)
        listed = subprocess.run(["gpg", "--list-keys", "--with-colons"], check=True, capture_output=True, text=True)
        yield re.findall(r"fpr:+(\w+):", listed.stdout)[0]
        subprocess.run(["gpgconf", "--kill", "all"], check=True)


@pytest.fixture
def tree(tmp_path: Path, key: str) -> Tree:
    return Tree(tmp_path / "tree", key)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, key: str) -> Tree:
    """With 1.0.0 and 1.1.0 released; `before` is how the repository for apt was between them."""
    tree = Tree(tmp_path_factory.mktemp("two") / "tree", key)
    tree.released("1.0.0")
    shutil.copytree(tree.releases / "apt", tree.folder / "dist" / "before")
    tree.released("1.1.0")
    return tree


def test_only_a_clean_tagged_described_and_new_version_is_released(tree: Tree) -> None:
    tree.commit("1.0.0")
    assert "this commit has no tag v1.0.0" in tree.release()
    tree.git("tag", "--annotate", "--message", "unsigned", "v1.0.0")
    assert "v1.0.0 is not signed by" in tree.release()
    tree.git("tag", "--force", "--sign", "--message", "signed", "v1.0.0")
    tree.write("passes", "something else")
    assert tree.release() == "release: the tree is not clean: commit, or stash\n"
    tree.git("checkout", "--quiet", "passes")
    assert "names 0 secret keys" in tree.release("nobody@example.com")
    assert "names 0 secret keys" in tree.run("release", "", "kept").stderr
    assert tree.release("releases@example.com") == ""
    assert "1.0.0 is released already" in tree.release()
    tree.commit("1.1.0", date="unreleased")
    tree.git("tag", "--sign", "--message", "1.1.0", "v1.1.0")
    assert tree.release() == "release: CHANGELOG.md has no section “1.1.0 - ” with a date\n"


def test_nothing_is_released_when_a_test_fails_or_a_package_changes_under_its_name(tree: Tree) -> None:
    tree.released("1.0.0")
    tree.git("rm", "--quiet", "passes")
    tree.commit("1.1.0")
    tree.git("tag", "--sign", "--message", "1.1.0", "v1.1.0")
    before = sorted(tree.releases.rglob("*"))
    assert tree.release() == "release: make test failed\n"
    tree.write("passes", "")
    tree.write("Makefile", MAKEFILE + "\nVERSION = 1.0.0\n")
    tree.commit("1.2.0")
    tree.git("tag", "--sign", "--message", "1.2.0", "v1.2.0")
    tree.write("dist/one", "")
    pool = tree.releases / "apt/pool/trixie/exposure-monitor_1.0.0~deb13_amd64.deb"
    pool.write_bytes(b"which hosts have")
    assert "is another package of this name" in tree.release()
    assert pool.read_bytes() == b"which hosts have"
    assert not (tree.releases / "1.2.0").exists()
    assert {*before} <= {*tree.releases.rglob("*")}


def test_each_file_verifies_as_documented_and_none_that_was_tampered_with(two: Tree, tmp_path: Path) -> None:
    verify = blocks("Verify")[0]
    release = shutil.copytree(two.releases / "1.1.0", tmp_path / "release")
    files = sorted(path.name for path in release.iterdir())
    assert files == [
        "SHA256SUMS",
        "SHA256SUMS.asc",
        "exposure-monitor.gpg",
        "exposure-monitor_1.1.0~deb12_amd64.deb",
        "exposure-monitor_1.1.0~deb13_amd64.deb",
        "exposure_monitor.whl",
        "image",
        "sbom",
        "site-archive",
    ]
    done = sh(verify, release)
    assert (done.returncode, done.stdout.count(": OK")) == (0, len(files) - 2), done.stderr
    assert f"{two.key[-16:]}" in sh(blocks("Verify")[1], release).stdout.replace(" ", "")
    for name in files:
        right = (release / name).read_bytes()
        middle = len(right) // 2
        (release / name).write_bytes(right[:middle] + bytes([right[middle] ^ 1]) + right[middle + 1 :])
        assert sh(verify, release).returncode, name
        (release / name).write_bytes(right)
    (release / files[-1]).unlink()  # who has not taken all of it
    assert sh(verify, release).returncode == 0


def test_what_was_tampered_with_does_not_verify_with_its_hash_corrected(two: Tree, tmp_path: Path) -> None:
    release = shutil.copytree(two.releases / "1.1.0", tmp_path / "release")
    (release / "exposure_monitor.whl").write_text("something else")
    assert sh("sha256sum * >SHA256SUMS.new; mv SHA256SUMS.new SHA256SUMS", release).returncode == 0
    done = sh(blocks("Verify")[0], release)
    assert done.returncode
    assert "BAD signature" in done.stderr


def test_a_tag_verifies_as_documented_and_none_that_was_tampered_with(two: Tree) -> None:
    (two.folder / "dist/clone").mkdir(parents=True)
    clone = two.folder / "dist/clone"
    script = f"git clone --quiet {two.folder} .; git checkout --quiet v1.1.0; cp {two.releases}/1.1.0/*.gpg ."
    assert sh(script, clone).returncode == 0
    assert sh(blocks("Verify")[2], clone).returncode == 0
    forged = "git cat-file tag v1.1.0 | sed s/^1.1.0$/1.1.1/ | git hash-object -t tag -w --stdin"
    assert sh(f"git update-ref refs/tags/v1.1.0 $({forged})", clone).returncode == 0
    assert sh(blocks("Verify")[2], clone).returncode


class Host:
    """A root with nothing but dpkg's and apt's folders, which takes the repository as the page says."""

    def __init__(self, root: Path, repository: Path) -> None:
        self.root, self.repository = root, root / "served"
        shutil.copytree(repository, self.repository)
        apt = ("apt.conf.d", "keyrings", "sources.list.d", "preferences.d")
        for folder in (*(f"etc/apt/{name}" for name in apt), "var/lib/dpkg", "var/lib/apt", "var/cache/apt", "var/log"):
            (root / folder).mkdir(parents=True)
        (root / "var/lib/dpkg/status").touch()
        source = next(block for block in blocks("Install and upgrade with apt") if block.startswith("Types:"))
        source = re.sub(r"(?m)^URIs: .*$", f"URIs: file:{self.repository}", source)
        (root / "etc/apt/sources.list.d/own.sources").write_text(source.replace("/etc/", f"{root}/etc/"))
        settings = f"""
Dir "{root}"; Dir::State::status "{root}/var/lib/dpkg/status"; Dir::Log "{root}/var/log";
APT::Architecture "amd64"; APT::Architectures {{ "amd64"; }}; APT::Sandbox::User "";
DPkg::Options {{ "--root={root}"; "--force-not-root"; "--force-unsafe-io"; }};
DPkg::Path "/usr/sbin:/usr/bin:/sbin:/bin";
"""
        (root / "apt.conf").write_text(settings)

    def apt(self, *arguments: str) -> str:
        """What went wrong, or nothing."""
        environment = {**os.environ, "APT_CONFIG": str(self.root / "apt.conf"), "LC_ALL": "C.UTF-8"}
        command = ["apt-get", "--quiet", "--yes", *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        return "" if done.returncode == 0 else done.stdout + done.stderr

    def installed(self) -> str:
        text = (self.root / "version").read_text() if (self.root / "version").exists() else ""
        return "".join(re.findall(r"(?m)^Version: (.*)$", text))


@pytest.fixture
def host(two: Tree, tmp_path: Path) -> Host:
    root = tmp_path / "root"
    install = blocks("Install and upgrade with apt")[0].replace("/etc/", f"{root}/etc/")
    host = Host(root, two.folder / "dist/before")
    done = sh(install, two.releases / "1.0.0")
    assert done.returncode == 0, done.stderr
    return host


def serve(host: Host, repository: Path, spoil: Callable[[Path], None] = lambda path: None) -> None:
    shutil.rmtree(host.repository)
    shutil.copytree(repository, host.repository)
    spoil(host.repository)


def test_a_host_installs_from_the_repository_and_upgrades_to_the_next_release(two: Tree, host: Host) -> None:
    assert host.apt("update", "--error-on=any") == ""
    assert host.apt("install", "exposure-monitor") == ""
    assert host.installed() == "1.0.0"
    serve(host, two.releases / "apt")
    assert host.apt("update", "--error-on=any") == ""
    assert host.apt("upgrade") == ""
    assert host.installed() == "1.1.0"


def test_a_host_takes_nothing_that_was_tampered_with(two: Tree, host: Host) -> None:
    def replaced(pattern: str, old: bytes, new: bytes) -> Callable[[Path], None]:
        def spoil(repository: Path) -> None:
            for path in repository.glob(pattern):
                assert old in path.read_bytes()
                path.write_bytes(path.read_bytes().replace(old, new))

        return spoil

    new = two.releases / "apt"
    serve(host, new, replaced("dists/trixie/InRelease", b"Label: exposure", b"Label: another "))
    said = host.apt("update", "--error-on=any")
    assert "BADSIG" in said or "signature verification" in said, said  # as gpgv of Debian 12 says it, or sqv of 13
    lists = "dists/trixie/main/binary-amd64/Packages"
    serve(host, new, replaced(f"{lists}*", b"", b"\n"))
    said = host.apt("update", "--error-on=any")
    assert "Hash Sum mismatch" in said or "unexpected size" in said
    serve(host, new, replaced("pool/trixie/*1.1.0*.deb", b"control.tar", b"contral.tar"))
    assert host.apt("update", "--error-on=any") == ""
    assert "Hash Sum mismatch" in host.apt("install", "exposure-monitor")
    assert host.installed() == ""


def test_two_builds_are_compared_byte_for_byte(tree: Tree) -> None:
    tree.commit("1.0.0")
    done = tree.run("reproducible")
    assert done.returncode == 0, done.stderr
    assert re.findall(r"(?m)^[0-9a-f]{64}  (.*)$", done.stdout) == [
        *(f"exposure-monitor_1.0.0~deb{debian}_amd64.deb" for debian in (12, 13)),
        *("exposure_monitor.whl", "image", "sbom", "site-archive"),
    ]
    made = "".join(
        f"; {text} >dist/{n}.whl" for n, text in enumerate(("echo", "pwd", "umask", "date +%Z", "mktemp -u"))
    )
    tree.write("Makefile", f"wheel:\n\t@mkdir -p dist{made}\n")
    tree.commit("1.0.0")
    done = tree.run("reproducible", "wheel")
    assert done.returncode == 1
    unlike = [line.split()[1] for line in done.stderr.partition("differ:\n")[2].splitlines()]
    assert sorted(unlike) == [f"{n}.whl" for n in (1, 1, 2, 2, 3, 3, 4, 4)]


def test_what_a_build_changes_is_said(tree: Tree) -> None:
    tree.write("Makefile", "wheel:\n\t@mkdir -p dist; touch left\n")
    tree.commit("1.0.0")
    assert "it changed what it is built from:\n?? left" in tree.run("reproducible", "wheel").stderr


def test_nothing_that_runs_says_the_version_but_one_place_and_pages_say_the_same() -> None:
    # Others have their versions, too: lists of packages, texts of others, and pictures of a day
    files = ("--", ".", ":!CHANGELOG.md", ":!*.lock", ":!benchmarks", ":!docs/pictures")
    search = ["git", "grep", "-lP", rf"(?<![\w.])v?{re.escape(__version__)}(?![\w.])", *files]
    said = subprocess.check_output(search, cwd=ROOT, text=True).split()
    assert [name for name in said if not name.startswith(("README.md", "docs/", "deploy/"))] == ["monitor/__init__.py"]
    files = ("--", "README.md", "docs", "deploy")
    search = ["git", "grep", "-hoP", r"exposure[-_]monitor[-_:]v?\K\d+\.\d+\.\d+", *files]
    pages = subprocess.run(search, cwd=ROOT, text=True, check=False, capture_output=True).stdout
    assert {*pages.split()} <= {__version__}


def test_the_changelog_begins_with_this_version_and_says_how_to_upgrade_to_it() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    first = text.split("\n## ")[1]
    dated = re.match(rf"{re.escape(__version__)} - (unreleased|\d{{4}}-\d\d-\d\d)\n", first)
    assert dated
    supported = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    assert ("unreleased" in supported) == (dated[1] == "unreleased")
    headings = re.findall(r"(?m)^### (.*)$", first)
    assert {"Upgrading", "What may change"} <= {*headings}


def test_workflows_call_make_alone_and_zizmor_finds_nothing() -> None:
    folder = ROOT / ".github/workflows"
    targets = set(re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8")))
    assert {*script.BUILT} <= targets
    called = set()
    for path in folder.iterdir():
        jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]
        for step in (step for job in jobs.values() for step in job["steps"]):
            if "run" in step:
                called |= set(re.findall(r"(?m)^make ([a-z-]+)", step["run"]))
            else:
                assert re.fullmatch(r"[a-z-]+/[a-z-]+@[0-9a-f]{40}", step["uses"])
    assert {"test", "reproducible", "release"} == called <= targets
    command = [str(zizmor()), "--offline", "--no-config", "--strict-collection", "--persona", "auditor", str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
