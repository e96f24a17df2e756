from __future__ import annotations

from pathlib import Path

import pytest

from monitor.audit.dockerfile import dockerfiles
from tests.monitor.audit.conftest import ONE, Make, write


@pytest.mark.parametrize(
    ("line", "verdict"),
    [
        (f"ENV DB_PASSWORD={ONE}", "fail"),
        (f"ENV DB_PASSWORD {ONE}", "fail"),
        (f"ENV A=1 \\\n    DB_PASSWORD={ONE}", "fail"),
        (f"ARG NPM_TOKEN={ONE}", "fail"),
        ("ARG NPM_TOKEN", "pass"),
        ("ENV NPM_TOKEN=$NPM_TOKEN", "pass"),
        ("COPY .env /app/", "fail"),
        ('COPY ["certs/tls.key", "/etc/"]', "fail"),
        ("COPY .env.example /app/.env", "pass"),
        ("COPY --from=build /app/.env /app/", "pass"),
        ("COPY src/ /app/", "pass"),
        (f"RUN echo ENV DB_PASSWORD={ONE}", "pass"),
        (f"ENV 'unclosed DB_PASSWORD={ONE}", "fail"),
    ],
)
def test_steps(line: str, verdict: str, make: Make, tmp_path: Path) -> None:
    write(tmp_path, {"Dockerfile": f"FROM x\n{line}\nCMD y\n"})
    found = list(dockerfiles(make(tmp_path)))
    assert [one.verdict for one in found] == [verdict]
    assert ONE not in str(found)
    if verdict == "fail":
        assert found[0].line == 2


def test_a_folder_that_is_copied_whole_takes_its_env_along(make: Make, tmp_path: Path) -> None:
    write(tmp_path, {"web/Dockerfile": "FROM x\nRUN a \\\n  b\nCOPY . /app\n", "web/.env": "A=b"})
    (one,) = dockerfiles(make(tmp_path))
    assert (one.verdict, one.line) == ("fail", 4)
    write(tmp_path, {"web/.dockerignore": "node_modules\n.env*\n"})
    assert [one.verdict for one in dockerfiles(make(tmp_path))] == ["pass"]


def test_one_that_cannot_be_read_is_unknown(make: Make, tmp_path: Path) -> None:
    write(tmp_path, {"Dockerfile": b"#" * ((1 << 20) + 1)})
    assert [one.verdict for one in dockerfiles(make(tmp_path))] == ["unknown"]
