from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from monitor.audit.code import secrets
from tests.monitor.audit.conftest import FIVE, ONE, Make, repository, write

Token = Callable[[int], str]


def test_a_secret_in_code_fails_with_its_place_and_one_in_an_ignored_env_does_not(
    make: Make, token: Token, tmp_path: Path
) -> None:
    folder = repository(tmp_path / "r", {".gitignore": ".env\n", "a.py": "x = 1\n"})
    write(folder, {".env": f"TOKEN={token(1)}\n"})
    assert [one.verdict for one in secrets(make(folder))] == ["pass"]
    write(folder, {"a.py": f"x = 1\ntoken = '{token(2)}'\n"})
    (one,) = secrets(make(folder))
    assert (one.verdict, one.path, one.line) == ("fail", "a.py", 2)
    assert one.repeat == f"monitor scan {folder}/a.py"
    assert token(2)[8:] not in one.text


@pytest.mark.parametrize(
    ("line", "verdict"),
    [
        (f"Environment=API_TOKEN={ONE}", "fail"),
        ('Environment="A=1" "DB_PASSWORD=correct horse"', "fail"),
        (f"Environment=A=1 \\\n  DB_PASSWORD={ONE}", "fail"),
        (f"SetCredential=db:{ONE}", "fail"),
        ("LoadCredential=db:/etc/credentials/db", "pass"),
        ("EnvironmentFile=/etc/app/env", "pass"),
        (f"SetCredentialEncrypted=db: {FIVE}", "pass"),
        ("Environment=API_TOKEN_FILE=/run/secrets/token", "pass"),
        ("Environment=API_TOKEN=%d/token", "pass"),
        ("Environment=LOG_LEVEL=debug TOKEN_TTL=3600", "pass"),
        (f"#Environment=API_TOKEN={ONE}", "pass"),
    ],
)
def test_units(line: str, verdict: str, make: Make, tmp_path: Path) -> None:
    write(tmp_path, {"app.service": f"[Service]\nExecStart=/bin/app\n{line}\n", "app.service.d/a.conf": "[Service]\n"})
    found = [one for one in secrets(make(tmp_path)) if one.path == "app.service"]
    assert [one.verdict for one in found] == [verdict]
    assert ONE not in str(found)
    assert "correct horse" not in str(found)
    if verdict == "fail":
        assert found[0].line == 3


def test_no_folder_is_unknown(make: Make) -> None:
    assert [one.verdict for one in secrets(make())] == ["unknown"]
