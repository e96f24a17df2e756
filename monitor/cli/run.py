"""`monitor run`: the daemon."""

from __future__ import annotations

import asyncio
import faulthandler
import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.cli.common import ConfigOption, command_app, paint, read_config, started

if TYPE_CHECKING:
    from monitor.config.config import Config
    from monitor.daemon import Daemon

app = command_app()


def _import_structlog() -> None:
    """Without rich, which it would import for tracebacks in colour: we show none, and it takes a tenth of the start."""
    modules: dict[str, Any] = sys.modules
    if "rich" in modules:
        return
    modules["rich"] = None  # an import of it fails
    try:
        import structlog  # noqa: F401
    finally:
        del modules["rich"]


@app.command(
    epilog="Example: monitor run --config /etc/exposure-monitor/config.toml",
    help="Watch the sources and deliver alerts until SIGTERM. SIGHUP, or a change of the configuration or of a rule "
    "file, reloads without losing a block. A second SIGTERM ends at once.",
)
def run(
    once: Annotated[
        bool, typer.Option("--once", help="Read every source to its present end, deliver, and exit.")
    ] = False,
    intro: Annotated[
        bool, typer.Option("--intro", help="Say what is watched and how to see an alert, also when not on a terminal.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    faulthandler.enable()  # a crash, and a hang that systemd ends by SIGABRT, say where: functions and lines, no values
    _import_structlog()
    from monitor.common.process import log_to_stderr
    from monitor.daemon import Daemon

    settings = read_config(config, enter=True)
    log_to_stderr(settings.monitor.log_level, settings.monitor.log_format)

    def welcome(daemon: Daemon) -> None:
        started()
        if intro or (sys.stderr.isatty() and not once):
            for line in _screen(daemon.config, daemon):
                typer.echo(line, err=True)

    async def main() -> int:
        return await Daemon(settings, once=once).run(on_ready=welcome)

    raise typer.Exit(asyncio.run(main()))


def _screen(config: Config, daemon: Daemon) -> list[str]:
    def watched(source: object) -> str:
        return ", ".join(getattr(source, "include", ())) or str(getattr(source, "type", ""))

    lines = [paint("exposure monitor", bold=True) + f": {daemon.snapshot.rules} rules, state in {config.state_dir}"]
    lines += [f"  watching {source.name}: {watched(source)}" for source in config.sources]
    lines += [f"  alerts to {sink.name} ({sink.type})" for sink in config.sinks]
    lines += [f"  health, metrics and incidents: {daemon.address}"] if daemon.address else []
    if demo := _demo(config):
        lines.append(f"  to see an alert: {paint(demo, bold=True)}")
    return lines


def _demo(config: Config) -> str | None:
    """A command that leaks a synthetic secret into a followed file that this user may write; None: there is no such."""
    for source in config.sources:
        for pattern in getattr(source, "include", ()):
            folder, name = os.path.split(pattern)
            if (
                name == "*.log"
                and "*" not in folder
                and not folder.startswith("/var/log")
                and os.access(folder, os.W_OK)
            ):
                program = sys.argv[0] if os.path.basename(sys.argv[0]) == "monitor" else "monitor"
                return f"{_near(program)} sample github-pat >> {_near(os.path.join(folder, 'demo.log'))}"
    return None


def _near(path: str) -> str:
    """As short as it can be typed from the present folder."""
    return min(path, os.path.relpath(path), key=len) if os.sep in path else path
