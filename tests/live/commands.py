"""Commands where nothing but the package is installed: all that they need came with it."""

from __future__ import annotations

from tests.live.machine import Failure, Machine

__all__ = ["as_installed"]

_PREFIX = "/opt/exposure-monitor"
_SITE = f"{_PREFIX}/lib/python3*/site-packages"
_CONFIG = "etc/exposure-monitor/config.toml"
_LINE = "acme_7Fh2Kq9sLw3Xz8Tb"  # of no issuer that there is
# What runs was made from the sources that lie beside it, all of it.
_SOURCES = """
import zipfile
from importlib.util import source_hash
from pathlib import Path
archive, made = zipfile.ZipFile("../sources.zip"), [*Path().rglob("*.pyc")]
assert len(made) == len(archive.namelist()) > 1500
for path in made:
    assert path.read_bytes()[8:16] == source_hash(archive.read(str(path.with_suffix(".py")))), path
"""
_WHOLE = (  # each ends with 0
    "monitor rules list --family ai --format jsonl | grep -q openai",
    "monitor rules test github-pat aws-access-key-id && monitor rules show github-pat",
    "monitor runbook show vcs/github | grep -q GitHub && monitor runbook list --books | grep -q ^partner/",
    "monitor sample github-pat >one && { monitor scan one >seen || [ $? = 1 ]; } && grep -q github-pat seen",
    f"echo {_LINE} >log && monitor test-pattern 'acme_[0-9A-Za-z]{{16}}' log | grep -q '1 found'",
    # Rules of one's own are compiled
    "monitor rules new acme api-key -o own.toml && printf '[rules]\\npaths = [\"/srv/live/own.toml\"]\\n' "
    f"| cat - /{_CONFIG} >own.config && monitor check --no-environment --config own.config",
    "test -s /usr/share/bash-completion/completions/monitor && test -s /usr/share/zsh/vendor-completions/_monitor",
    "gzip -dc /usr/share/man/man1/monitor-incidents.1.gz | grep -q 'MONITOR INCIDENTS ACK'",
    f"ls {_SITE}/cryptography-*.dist-info/licenses/LICENSE {_SITE}/sqlalchemy-*.dist-info/licenses/LICENSE",
    f"{_PREFIX}/bin/python -c 'from psycopg import pq; assert pq.__impl__ == \"binary\"'",
    f"cd {_SITE} && {_PREFIX}/bin/python -c '{_SOURCES}'",
)


def as_installed(machine: Machine) -> str:
    """Raises Failure."""
    run, nobody = machine.run, "runuser -u nobody --"
    shown = run(f"{nobody} env FORCE_COLOR=1 monitor --help")
    if "\x1b[" not in shown or "incidents" not in shown:
        raise Failure(f"no help in colours:\n{shown}")
    for command in _WHOLE:
        run(command)
    run(f"{nobody} monitor rules list --format jsonl | grep -q github-pat")
    return f"{len(_WHOLE) + 2} commands; {_host(machine)}"


def _host(machine: Machine) -> str:
    """`monitor check --environment` and `monitor init --install`, as root and as another user."""
    run, nobody = machine.run, "runuser -u nobody --"
    said = run("monitor check --environment")
    if "ok: 2 sources, 1 sinks" not in said:
        raise Failure(said)
    machine.refused(f"{nobody} monitor check --environment", "sudo monitor check --environment")
    for words in ("monitor init --install", f"{nobody} monitor init --install --yes"):
        machine.refused(words, "nothing is changed", "a package has installed the service")
    config = machine.root / _CONFIG
    whole = config.read_text()
    config.write_text("[monitor\n")
    machine.refused("monitor check --environment", "invalid TOML")
    config.write_text(whole)
    return "check --environment and init --install as root and as nobody"
