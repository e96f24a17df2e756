from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from monitor.cli.check_console import pages
from monitor.config.config import parse

Command = Callable[..., subprocess.CompletedProcess[str]]

BASE = '[http]\nbase_url = "https://monitor.example.org"\n'
LISTED = '[console]\nproxies = ["127.0.0.1"]\n'
OPENID = '[console.openid]\nissuer = "https://id.example.org"\nclient_id = "m"\nclient_secret = "env:OPENID_SECRET"\n'
PROXY = """[http]
base_url = "https://monitor.example.org"
listen = "{}"
[console.proxy]
user = "X-User"
from = ["{}"]
secret = "env:PROXY_SECRET"
"""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", {}),
        ('[[sinks]]\nname = "screen"\ntype = "console"\n', {}),
        (
            '[[sinks]]\nname = "hook"\ntype = "webhook"\nurl = "env:HOOK"\n',
            {"http": "links in the alerts of hook lead to 127.0.0.1:9321, on this host; set http.base_url"},
        ),
        (
            '[http]\nlisten = "unix:/run/x"\n[[sinks]]\nname = "hook"\ntype = "webhook"\nurl = "env:HOOK"\n',
            {"http": "the alerts of hook have no links; set http.base_url"},
        ),
        (BASE, {"http.base_url": "set http.token, or let people sign in"}),
        (BASE + LISTED + "sign_in = true\n", {}),
        (BASE + "[console]\nsign_in = true\n", {"console.proxies": "count as those of one address"}),
        (BASE.replace("https", "http") + "[console]\nsign_in = true\n", {"http.base_url": "unencrypted"}),
        ('[http]\nlisten = ""\n[console]\nsign_in = true\n', {"console": "nobody can sign in"}),
        ('[console.people]\nada = {name = "ada"}\n', {"console": "set sign_in, proxy or openid"}),
        ('[http]\nlisten = "unix:/run/x"\n[console.people]\nada = {name = "ada"}\n', {}),
        (BASE + LISTED + OPENID, {}),
        (PROXY.format("127.0.0.1:9321", "127.0.0.1"), {}),
        (PROXY.format("unix:/run/x", "unix"), {}),
        (PROXY.format("127.0.0.1:9321", "10.0.0.5"), {"console.proxy.from": "signs nobody in"}),
        (PROXY.format("127.0.0.1:9321", "unix"), {"console.proxy.from": "nothing comes from unix"}),
        (PROXY.format("unix:/run/x", "127.0.0.1"), {"console.proxy.from": "signs nobody in"}),
        (
            PROXY.format("0.0.0.0:9321", "10.0.0.5"),
            {"console.proxy.from": "sends its secret to 0.0.0.0:9321 unencrypted"},
        ),
        (PROXY.format("0.0.0.0:9321", "127.0.0.1"), {}),
        (PROXY.format("0.0.0.0:443", "127.0.0.1"), {"http.base_url": "on port 443 without TLS"}),
        (PROXY.format("127.0.0.1:443", "127.0.0.1"), {}),
        (BASE + LISTED + OPENID + 'others = "admin"\n', {"console.openid.others": "comes in as admin"}),
        (BASE + LISTED + OPENID + 'others = "viewer"\n[console.groups]\nx = "admin"\n', {}),
    ],
)
def test_what_is_noted_of_the_pages(text: str, said: dict[str, str]) -> None:
    notes = {note.key: note.message for note in pages(parse(text))}
    assert notes.keys() == said.keys(), notes
    assert not [key for key, part in said.items() if part not in notes[key]], notes


def test_secrets_that_cannot_be_read_are_told_by_their_key(monitor: Command, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(
        f'[monitor]\nstate_dir = "state"\n{BASE}token = "env:PAGES"\n{OPENID}'
        '[console.proxy]\nuser = "X-User"\nfrom = ["10.0.0.5"]\nsecret = "env:PROXY_SECRET"\n'
    )
    answer = monitor("check", "--format", "json")
    assert answer.returncode == 1
    wrong = {row["key"]: row["message"] for row in json.loads(answer.stdout) if row["kind"] == "environment"}
    assert wrong == {
        "http.token": "environment variable PAGES is not set",
        "console.openid.client_secret": "environment variable OPENID_SECRET is not set",
        "console.proxy.secret": "environment variable PROXY_SECRET is not set",
    }
