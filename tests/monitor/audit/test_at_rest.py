from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from detectors.rules.template import expand
from monitor.audit.at_rest import plain
from monitor.audit.check import Subject
from monitor.config.config import load
from tests.monitor.audit.conftest import ONE, Make, write

TOKEN = expand("ghp_{alnum:30}{crc32}", 8)
PLAIN = f"DB_PASSWORD={ONE}\nPORT=3000\nURL=https://app:{TOKEN}@git/app\n"
SOPS = "DB_PASSWORD=ENC[AES256_GCM,data:Zm9v,iv:YmFy,tag:YmF6,type:str]\nsops_version=3.9.0\n"
DOTENVX = 'DOTENV_PUBLIC_KEY="02ab34"\nDB_PASSWORD="encrypted:BPy0mvP0hQ4n7v"\n'


def verdicts(subject: Subject) -> list[tuple[str, str]]:
    found = list(plain(subject))
    assert not any(value in str(found) for value in (ONE, TOKEN[4:]))
    assert all(one.repeat for one in found)
    return [(one.verdict, one.text) for one in found]


def test_plain_values_of_production_fail_with_names_and_mode(make: Make, tmp_path: Path) -> None:
    write(tmp_path, {".env.production": PLAIN, ".env.staging": PLAIN, "a/.env.local": PLAIN})
    (tmp_path / ".env.production").chmod(0o644)
    assert verdicts(make(tmp_path)) == [
        ("fail", ".env.production: DB_PASSWORD, URL in plain text, mode 0644"),
    ]


@pytest.mark.parametrize("text", [SOPS, DOTENVX, "DB_PASSWORD=op://prod/db/password\n", "PORT=3000\n"])
def test_encrypted_and_referred_values_pass(text: str, make: Make, tmp_path: Path) -> None:
    write(tmp_path, {"prod/.env": text})
    ((verdict, said),) = verdicts(make(tmp_path))
    assert verdict == "pass"
    assert ("1 encrypted" in said) == (text in (SOPS, DOTENVX))


def test_whose_environment_nobody_tells_is_unknown_until_the_configuration_does(make: Make, tmp_path: Path) -> None:
    write(tmp_path, {"app/.env": PLAIN})
    ((verdict, said),) = verdicts(make(tmp_path))
    assert (verdict, "audit.environment" in said) == ("unknown", True)
    assert [one for one, _ in verdicts(make(tmp_path, environment="Prod"))] == ["fail"]
    assert [one for one, _ in verdicts(make(tmp_path, environment="kunden", production=("kun*",)))] == ["fail"]
    assert verdicts(make(tmp_path, environment="test"))[0][1].startswith(f"{tmp_path}: no .env of production")


def test_the_inventory_says_first_of_which_environment_a_file_is(make: Make, tmp_path: Path) -> None:
    write(tmp_path, {"code/live/.env": PLAIN, "code/x/.env": PLAIN})
    entry = '[[inventory]]\nname = "{0}"\ntype = "dotenv"\npath = ["code/{1}"]\nenvironment = "{2}"\n'
    text = entry.format("a", "live/.env", "staging") + entry.format("b", "x", "live")
    (tmp_path / "config.toml").write_text(text)
    subject = replace(make(tmp_path / "code"), config=load(tmp_path / "config.toml"))
    assert verdicts(subject) == [("fail", "x/.env: DB_PASSWORD, URL in plain text, mode 0644")]


def test_what_units_read_from_anywhere(make: Make, tmp_path: Path) -> None:
    code, etc = tmp_path / "code", tmp_path / "etc"
    write(etc, {"app.env": PLAIN, "conf.d/a.env": PLAIN, "conf.d/b.env": "PORT=1\n"})
    (etc / "app.env").chmod(0o600)
    unit = (
        f"[Service]\nEnvironmentFile={etc}/app.env\nEnvironmentFile=-{etc}/gone.env\nEnvironmentFile={etc}/needed.env\n"
        f"EnvironmentFile=/etc/%i.env\nEnvironmentFile={etc}/conf.d/*.env\nEnvironmentFile=-/run/vault/app.env\n"
    )
    write(code, {"app.service": unit, "b/b.service": f"[Service]\nEnvironmentFile=-{etc}/app.env\n"})
    assert sorted(verdicts(make(code, environment="production"))) == sorted(
        [
            ("fail", f"{etc}/app.env: DB_PASSWORD, URL in plain text, mode 0600, read by app.service:2, b/b.service:2"),
            ("unknown", f"{etc}/needed.env: not on this machine, read by app.service:4"),
            ("unknown", "app.service:5: /etc/%i.env: which files that are is known when it runs"),
            ("fail", f"{etc}/conf.d/a.env: DB_PASSWORD, URL in plain text, mode 0644, read by app.service:6"),
            ("pass", f"{etc}/conf.d/b.env: no secret in plain text, read by app.service:6"),
            ("pass", "/run/vault/app.env: made at run time, in memory, read by app.service:7"),
        ]
    )


def test_a_pattern_that_no_file_fits_and_a_link_are_not_passed_over(make: Make, tmp_path: Path) -> None:
    unit = f"[Service]\nEnvironmentFile={tmp_path}/etc/*.env\nEnvironmentFile=-{tmp_path}/a/*.none\n"
    unit += f"EnvironmentFile=-{tmp_path}/gone/*.env\nEnvironmentFile=-{tmp_path}/real/*.env\n"
    write(tmp_path, {"a/app.service": unit, "a/prod/.env": "PORT=1\n", "a/x/.env": "PORT=1\n", "real": PLAIN})
    (tmp_path / "a/.env.production").symlink_to("../real")
    (tmp_path / "a/.env.staging").symlink_to("../real")
    (tmp_path / "a/.env").symlink_to("prod/.env")  # looked at by that name
    assert sorted(verdicts(make(tmp_path / "a"))) == [
        ("pass", "prod/.env: no secret in plain text"),
        ("pass", "x/.env: no secret in plain text"),
        ("unknown", ".env.production: a link, which is not followed: audit where it leads to"),
        ("unknown", f"app.service:2: {tmp_path}/etc/*.env: No such file or directory"),
        ("unknown", f"app.service:5: {tmp_path}/real/*.env: Not a directory"),
    ]


def test_what_compose_files_read(make: Make, tmp_path: Path) -> None:
    services = (
        "services:\n  a:\n    env_file: ../shared/a.env\n  b:\n    env_file:\n      - b.list\n"
        "      - path: gone.env\n        required: false\n      - ${STAGE}.env\n  c: {}\n"
    )
    write(tmp_path, {"deploy/compose.yaml": services, "shared/a.env": PLAIN, "deploy/b.list": f"API_TOKEN={ONE}\n"})
    assert sorted(verdicts(make(tmp_path, environment="production"))) == [
        ("fail", "deploy/b.list: API_TOKEN in plain text, mode 0644, read by deploy/compose.yaml:6"),
        ("fail", "shared/a.env: DB_PASSWORD, URL in plain text, mode 0644, read by deploy/compose.yaml:3"),
        (
            "unknown",
            "deploy/compose.yaml:9: "
            + str(tmp_path)
            + "/deploy/${STAGE}.env: which files that are is known when it runs",
        ),
    ]


@pytest.mark.parametrize(
    ("line", "way"),
    [
        ("LoadCredentialEncrypted=db:/etc/credstore.encrypted/db", "LoadCredentialEncrypted="),
        ("ExecStart=/usr/bin/doppler run -- /srv/app", "doppler run"),
        ("ExecStart=/usr/bin/op run --env-file=/srv/app/.env.production \\\n  -- /srv/app", "op run"),
        ("ExecStart=/bin/sh -c 'sops exec-env secrets.env /srv/app'", "sops exec-env"),
    ],
)
def test_ways_that_leave_nothing_at_rest(line: str, way: str, make: Make, tmp_path: Path) -> None:
    write(tmp_path, {"app.service": f"[Service]\n{line}\n"})
    assert verdicts(make(tmp_path)) == [("pass", f"app.service: takes its secrets by {way}")]


def test_hostile_files_are_unknown(make: Make, tmp_path: Path) -> None:
    units = {"a.service": "link.env", "b.service": "", "c.service": "pipe", "d.service": "*/*.env", "e.service": "a\0b"}
    files = {name: f"[Service]\nEnvironmentFile={tmp_path}/{path}\n" for name, path in units.items()}
    write(tmp_path, {**files, "real": PLAIN, "prod/big.env": b"A=b\n" * 300_000, "prod/compose.yml": "services: ["})
    (tmp_path / "link.env").symlink_to("real")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "f.service").write_bytes(b"x" * (2 << 20))
    found = verdicts(make(tmp_path, environment="production"))
    assert {verdict for verdict, _ in found} == {"unknown"}
    said = "\n".join(text for _, text in found)
    for why in (
        "prod/compose.yml: which files it hands over: broken YAML", "f.service: which files it hands over: larger",
        "*/*.env: which files that are", "big.env: larger", "link.env: Too many levels", "pipe: no ordinary file",
        f"{tmp_path}: no ordinary file, read by b.service:2", "embedded null",
    ):  # fmt: skip
        assert why in said
