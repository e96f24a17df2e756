"""`make pictures`: an alert as it arrives at a terminal, in Slack and by mail, drawn from what a run sent."""

from __future__ import annotations

import asyncio
import html
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from detectors.rules.template import expand
from monitor.cli.common import person
from tests.detectors import texts
from tests.fakes.slack import FakeSlack
from tests.fakes.smtp import FakeSmtp

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "pictures"
HOOK = "/services/pictures"
CONFIG = """
[monitor]
state_dir = "{folder}/state"
fingerprint_key = "file:{folder}/key"
node = "web-3"
[http]
base_url = "http://127.0.0.1:9321"
[[sources]]
name = "demo"
type = "file"
include = ["{folder}/var/log/*.log"]
start_at = "beginning"
[[sinks]]
name = "out"
type = "console"
[[sinks]]
name = "chat"
type = "slack"
webhook_url = "file:{folder}/hook"
[[sinks]]
name = "team"
type = "slack"
token = "file:{folder}/token"
channel = "#alerts"
api_url = "{api}"
signing_secret = "file:{folder}/token"
[sinks.people]
U012AB3CD = "ana"
[[sinks]]
name = "mail"
type = "email"
host = "127.0.0.1"
port = {port}
tls = "none"
sender = "monitor@example.org"
to = ["security@example.org"]
"""
_DOT = re.compile("^[🔴🟠🟡🔵⚪]")  # few fonts have them
_STYLE = (
    "h1 span{color:#d32f2f}"
    "body{margin:0;padding:20px;width:720px;background:#fff;color:#1d1c1d;font:15px/1.45 sans-serif}"
    "h1{font-size:18px;margin:0 0 10px}div{margin:0 0 10px;overflow-wrap:anywhere}"
    ".f{display:grid;grid-template-columns:1fr 1fr}"
    "code{background:#f4f4f4;border:1px solid #ddd;border-radius:3px;color:#c0143c;font-size:12px;padding:1px 3px}"
    ".b span{display:inline-block;border:1px solid #bbb;border-radius:4px;padding:4px 11px;margin:0 8px 0 0}"
    ".b{font-size:13px;font-weight:700}"
    ".b .primary{background:#007a5a;color:#fff}.b .danger{background:#e01e5a;color:#fff}"
    ".c{color:#616061;font-size:13px}a{color:#1264a3;text-decoration:none}pre{white-space:pre-wrap;font-size:13px;margin:0}"
)


@dataclass(frozen=True)
class Alert:
    """The same alert at each of them. `console` has the colours of a terminal."""

    console: str
    slack: dict[str, Any]
    mail: str
    team: dict[str, Any]  # as people get it who may press buttons
    report: str = ""  # the document of its incident, once somebody has resolved it


async def real_alert(folder: Path) -> Alert:
    """Leak a synthetic secret into a log in `folder`, and let the monitor read it to its end."""
    (folder / "var" / "log").mkdir(parents=True)
    (folder / "key").write_bytes(b"the key of the pictures, 32 byte")
    (folder / "key").chmod(0o600)
    line = (
        f"2026-11-02T13:58:05Z INFO payments deploying with token={expand('ghp_{alnum:30}{crc32}', 7)} to production\n"
    )
    (folder / "var" / "log" / "payments.log").write_text(line, encoding="utf-8")
    async with FakeSlack(webhook=HOOK) as slack, FakeSmtp() as smtp:
        (folder / "hook").write_text(slack.url + HOOK, encoding="utf-8")
        (folder / "hook").chmod(0o600)
        (folder / "token").write_text(slack.token, encoding="utf-8")
        (folder / "token").chmod(0o600)
        texts.lend(folder / "state" / "cache")
        config = folder / "config.toml"
        config.write_text(CONFIG.format(folder=folder, port=smtp.port, api=slack.api_url), encoding="utf-8")
        environment = {**os.environ, "FORCE_COLOR": "1", "TERM": "xterm-256color", "COLUMNS": "100"}

        async def monitor(*arguments: str) -> str:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "monitor", *arguments, "--config", str(config)),
                cwd=ROOT,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            out, err = await process.communicate()
            assert process.returncode == 0, err.decode()
            return out.decode()

        out = await monitor("run", "--once")
        (post,), (mail,), (team,) = slack.posts, smtp.mails, slack.messages.values()
        told = _placed(out, folder), _placed(post, folder), _placed(_whole(mail.message), folder)
        ref = re.findall(r"incidents ack ([0-9a-f]+)", plain(Alert(out, {}, "", {})))[0]
        await monitor("incidents", "resolve", ref, "--as", "revoked", "--note", "revoked at GitHub")
        report = await monitor("incidents", "report", ref, "--as", "html")
        report = re.sub(rf"\b{re.escape(person())}\b", "ada", report.replace(str(folder), "/srv/monitor"))
        return Alert(*told, _placed(team, folder), report)


def _whole(mail: Any) -> str:
    heads = "".join(f"{name}: {mail[name]}\n" for name in ("From", "To", "Subject"))
    return f"{heads}\n{mail.get_content()}"


def _placed(shown: Any, folder: Path) -> Any:
    """As after `make run` in /srv/monitor, seen at one time always."""
    if isinstance(shown, str):
        typed = r"(?:&amp;|[^`\s])*python\S* -m monitor( (?:incidents|runbook) [\w ]+)"
        called = rf"{typed} --config {re.escape(str(folder))}/config\.toml"
        shown = re.sub(called, r"cd /srv/monitor && .venv/bin/monitor\1", shown)
        shown = re.sub(r"seen \d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "seen 2026-11-02 13:58:06", shown)
        shown = re.sub(r"due \d{4}-\d\d-\d\d \d\d:\d\d UTC", "due 2026-11-02 14:13 UTC", shown)
        return shown.replace(str(folder), "/srv/monitor")
    if isinstance(shown, dict):
        return {key: _placed(value, folder) for key, value in shown.items()}
    return [_placed(value, folder) for value in shown] if isinstance(shown, list) else shown


def plain(alert: Alert) -> str:
    """What the terminal shows, without its colours: the sample in the README."""
    return Text.from_ansi(alert.console).plain.strip()


def svg(alert: Alert) -> str:
    terminal = Console(record=True, width=110, file=io.StringIO())
    terminal.print(Text.from_ansi(alert.console.strip()))
    drawn = terminal.export_svg(title="monitor run", theme=MONOKAI, unique_id="alert")
    return re.sub(r"(?s)@font-face \{.*?\n    \}\n", "", drawn)  # a picture asks no server for a font


def slack_page(message: dict[str, Any]) -> str:
    return _page("".join(_block(block) for block in message["blocks"]))


def mail_page(mail: str) -> str:
    return _page(f"<pre>{html.escape(mail)}</pre>")


def _block(block: dict[str, Any]) -> str:
    if block["type"] == "header":
        return f"<h1>{_DOT.sub('<span>●</span>', html.escape(block['text']['text']))}</h1>"
    if block["type"] == "actions":
        return f'<div class="b">{"".join(_button(one) for one in block["elements"])}</div>'
    if block["type"] == "context":
        parts = " ".join(_marked(part["text"]) for part in block["elements"])
        return f'<div class="c">{parts}</div>'
    if "fields" in block:
        cells = "".join(f"<div>{_marked(field['text'])}</div>" for field in block["fields"])
        return f'<div class="f">{cells}</div>'
    return f"<div>{_marked(block['text']['text'])}</div>"


def _button(element: dict[str, Any]) -> str:
    if element["type"] == "static_select":
        return f"<span>{html.escape(element['placeholder']['text'])} ▾</span>"
    return f'<span class="{element.get("style", "")}">{html.escape(element["text"]["text"])}</span>'


def _marked(text: str) -> str:
    """Slack's markup as HTML; its text is escaped already."""
    text = re.sub(r"<(http[^|>]+)\|([^>]+)>", r'<a href="\1">\2</a>', text)
    text = re.sub(r"<!date\^[^|>]*\|([^>]*)>", r"\1", text)  # as for a reader whose zone is UTC
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", text)
    return re.sub(r"(?m)^\*([^*\n]+)\*$", r"<b>\1</b>", text).replace("\n", "<br>")


def _page(body: str) -> str:
    return f'<!doctype html><meta charset="utf-8"><style>{_STYLE}</style>{body}'


def _photograph(page: str, target: Path, height: int) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        print(f"{target.name} stays as it is: it needs chromium", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "page.html"
        source.write_text(page, encoding="utf-8")
        options = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            f"--user-data-dir={folder}/profile",
        ]
        command = [browser, *options, f"--window-size=760,{height}", f"--screenshot={target}", source.as_uri()]
        subprocess.run(command, check=True, capture_output=True, timeout=120)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        alert = asyncio.run(real_alert(Path(folder)))
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "console.svg").write_text(svg(alert), encoding="utf-8")
    _photograph(slack_page(alert.slack), FOLDER / "slack.png", 560)
    _photograph(slack_page(alert.team), FOLDER / "slack-buttons.png", 550)
    _photograph(mail_page(alert.mail), FOLDER / "mail.png", 430)
    _photograph(alert.report, FOLDER / "report.png", 900)
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    new = re.sub(r"(?s)(```text\n).*?(\n```)", lambda found: found[1] + plain(alert) + found[2], text, count=1)
    readme.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
