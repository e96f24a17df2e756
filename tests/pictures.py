"""`make pictures`: what people see of an incident (alerts, pages, `monitor top`), drawn from what a run sent.

Pictures are SVG, so that they need no browser to be made and differ only where their text does.
"""

from __future__ import annotations

import asyncio
import html
import io
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from detectors.rules.template import expand
from monitor.cli.common import person
from monitor.cli.top_page import page
from monitor.web.console.pages import HERE
from tests.detectors import texts
from tests.fakes.intake import until
from tests.fakes.ports import free_port
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
listen = "127.0.0.1:{listen}"
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
    ".page{padding:20px;width:720px;background:#fff;color:#1d1c1d;font:15px/1.45 sans-serif}"
    ".page h1{font-size:18px;margin:0 0 10px}.page>div{margin:0 0 10px;overflow-wrap:anywhere}"
    ".f{display:grid;grid-template-columns:1fr 1fr}"
    ".page code{background:#f4f4f4;border:1px solid #ddd;border-radius:3px;padding:1px 3px}"
    ".page code{color:#c0143c;font-size:12px}"
    ".b span{display:inline-block;border:1px solid #bbb;border-radius:4px;padding:4px 11px;margin:0 8px 8px 0}"
    ".b{font-size:13px;font-weight:700}"
    ".b .primary{background:#007a5a;color:#fff}.b .danger{background:#e01e5a;color:#fff}"
    ".c{color:#616061;font-size:13px}a{color:#1264a3;text-decoration:none}"
    ".page pre{white-space:pre-wrap;overflow-wrap:anywhere;font-size:13px;margin:0}"
)


@dataclass(frozen=True)
class Alert:
    """The same alert at each of them. `console` has the colours of a terminal."""

    console: str
    slack: dict[str, Any]
    mail: str
    team: dict[str, Any]  # as people get it who may press buttons
    incident: str = ""  # its page, while it is open
    report: str = ""  # the document of its incident, once somebody has resolved it
    status: dict[str, Any] = field(default_factory=dict)  # what `monitor top` shows


async def real_alert(folder: Path) -> Alert:
    """Leak a synthetic secret into a log in `folder`, and let the monitor alert until somebody resolves it."""
    (folder / "var" / "log").mkdir(parents=True)
    (folder / "state").mkdir(mode=0o700)
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
        config, listen = folder / "config.toml", free_port()
        text = CONFIG.format(folder=folder, port=smtp.port, api=slack.api_url, listen=listen)
        config.write_text(text, encoding="utf-8")

        out, ref, incident, status = await _watched(
            config, listen, lambda: slack.posts and smtp.mails and slack.messages
        )
        (post,), (mail,), (team,) = slack.posts, smtp.mails, slack.messages.values()
        resolve = ("incidents", "resolve", ref, "--as", "revoked", "--note", "revoked at GitHub")
        await _output(await _monitor(config, *resolve))
        report = await _output(await _monitor(config, "incidents", "report", ref, "--as", "html"))
        report = report.replace(str(folder), "/srv/monitor")  # before a folder's name has a person's changed in it
        report = re.sub(rf"\b{re.escape(person())}\b", "ada", report)
        shown = (_timed(out), post, _timed(_whole(mail.message)), team, incident, report, status)
        return Alert(*(_placed(one, folder) for one in shown))


async def _watched(config: Path, listen: int, alerted: Callable[[], object]) -> tuple[str, str, str, dict[str, Any]]:
    """What a daemon prints until all have been alerted, the incident's id, its page, and the status."""
    daemon = await _monitor(config, "run")
    try:
        await until(alerted)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{listen}") as http:

            async def text(path: str) -> str:
                async with http.get(path) as answer:
                    return await answer.text()

            (ref,) = set(re.findall(r"/incidents/([0-9a-f]+)", await text("/incidents")))
            incident = await text(f"/incidents/{ref}")
            while not (status := json.loads(await text("/status")))["incidents"]:
                await asyncio.sleep(0.1)  # the figures are some seconds behind
    finally:
        daemon.terminate()
    return await _output(daemon), ref, incident, status


async def _monitor(config: Path, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "monitor", *arguments, "--config", str(config)),
        cwd=ROOT,
        env={**os.environ, "FORCE_COLOR": "1", "TERM": "xterm-256color", "COLUMNS": "100"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


async def _output(process: asyncio.subprocess.Process) -> str:
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


def _whole(mail: Any) -> str:
    heads = "".join(f"{name}: {mail[name]}\n" for name in ("From", "To", "Subject"))
    return f"{heads}\n{mail.get_content()}".replace("\r\n", "\n")


def _placed(shown: Any, folder: Path) -> Any:
    """As after `make run` in /srv/monitor."""
    if isinstance(shown, str):
        typed = r"(?:&amp;|[^`\s<>])*python\S* -m monitor( (?:incidents|runbook) [\w ]+)"
        called = rf"{typed} --config {re.escape(str(folder))}/config\.toml"
        shown = re.sub(called, r"cd /srv/monitor && .venv/bin/monitor\1", shown)
        return shown.replace(str(folder), "/srv/monitor")
    if isinstance(shown, dict):
        return {key: _placed(value, folder) for key, value in shown.items()}
    return [_placed(value, folder) for value in shown] if isinstance(shown, list) else shown


def _timed(shown: str) -> str:
    """Seen at one time always."""
    shown = re.sub(r"seen \d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "seen 2026-11-02 13:58:06", shown)
    return re.sub(r"due \d{4}-\d\d-\d\d \d\d:\d\d UTC", "due 2026-11-02 14:13 UTC", shown)


def plain(alert: Alert) -> str:
    """What the terminal shows, without its colours: the sample in the README."""
    return Text.from_ansi(alert.console).plain.strip()


def console_svg(alert: Alert) -> str:
    return _terminal("monitor run", alert.console.strip(), "alert")


def top_svg(alert: Alert) -> str:
    return _terminal("monitor top", "\n".join(page(alert.status)), "top")


def _terminal(title: str, shown: str, name: str) -> str:
    terminal = Console(record=True, width=110, file=io.StringIO())
    terminal.print(Text.from_ansi(shown))
    drawn = terminal.export_svg(title=title, theme=MONOKAI, unique_id=name)
    return re.sub(r"(?s)@font-face \{.*?\n    \}\n", "", drawn)  # a picture asks no server for a font


def slack_svg(message: dict[str, Any], height: int) -> str:
    return _drawn(_timed("".join(_block(block) for block in message["blocks"])), _STYLE, height)


def mail_svg(mail: str, height: int) -> str:
    return _drawn(f"<pre>{html.escape(mail)}</pre>", _STYLE, height)


def page_svg(document: str, height: int) -> str:
    """The upper part of a page of ours, in its own style."""
    styles = re.findall(r"(?s)<style>(.*?)</style>", document) or [(HERE / "static" / "console.css").read_text("utf-8")]
    body = document.partition('<main id="main">')[2].partition("</main>")[0]
    body = body or document.partition("<body>")[2].partition("</body>")[0]
    return _drawn(body, f"{_STYLE}{styles[0]}.page h1{{font-size:24px}}", height)


def _drawn(body: str, style: str, height: int) -> str:
    body = re.sub(r"&(?!#?\w+;)", "&amp;", body)  # commands as we have put them there
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 {height}" width="760" height="{height}">'
        f'<foreignObject width="760" height="{height}"><div xmlns="http://www.w3.org/1999/xhtml" class="page">'
        f"<style>{style}</style>\n{body}\n</div></foreignObject></svg>\n"
    )


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
    return re.sub(r"(?m)^\*([^*\n]+)\*$", r"<b>\1</b>", text).replace("\n", "<br/>")


def pictures(alert: Alert) -> dict[str, str]:
    """File in docs/pictures → what it shows."""
    return {
        "console.svg": console_svg(alert),
        "slack.svg": slack_svg(alert.slack, 540),
        "slack-buttons.svg": slack_svg(alert.team, 540),
        "mail.svg": mail_svg(alert.mail, 420),
        "incident.svg": page_svg(alert.incident, 900),
        "report.svg": page_svg(alert.report, 940),
        "top.svg": top_svg(alert),
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        alert = asyncio.run(real_alert(Path(folder)))
    for name, drawn in pictures(alert).items():
        (FOLDER / name).write_text(drawn, encoding="utf-8")
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    new = re.sub(r"(?s)(```text\n).*?(\n```)", lambda found: found[1] + plain(alert) + found[2], text, count=1)
    readme.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
