"""Our own secrets in a scan, by the names that their managers give them."""

from __future__ import annotations

import base64
import random
import string
from pathlib import Path

from detectors.match.exact import OWN
from detectors.rules.template import expand
from monitor.config.config import load
from monitor.config.state import key
from monitor.domain.model import Finding
from monitor.scan.own import own
from monitor.scan.run import scan
from monitor.scan.search import ScanOptions
from monitor.scan.walk import walk
from tests.detectors import texts

SOURCE = random.Random(31)
ONE, TWO = ("".join(SOURCE.choices(string.ascii_letters + string.digits, k=40)) for _ in range(2))
TOKEN = expand("ghp_{alnum:30}{crc32}", 31)


async def test_what_managers_give_is_found_and_named_beside_what_rules_find(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(
        '[monitor]\nstate_dir = "state"\n'
        '[[inventory]]\nname = "web"\ntype = "dotenv"\npath = ["web.env"]\nenvironment = "production"\nowner = "ops"\n'
        '[[inventory]]\nname = "gone"\ntype = "dotenv"\npath = ["gone.env"]\n'
    )
    (tmp_path / "web.env").write_text(f"KEY={ONE}\nGITHUB_TOKEN={TOKEN}\n")
    folder = tmp_path / "logs"
    folder.mkdir()
    coded = base64.b64encode(b"a" + ONE.encode()).decode()
    (folder / "a.log").write_text(f"x {ONE} y\n{coded}\n{TOKEN} and {TWO}\n")

    settings = load(path)
    found = await own(texts.engine("vcs/github"), tmp_path / "config.toml", settings.inventory, key(settings))
    [problem] = found.problems
    assert problem.startswith("inventory gone: ")
    options = ScanOptions(key=key(settings), owners=found.owners)
    outcomes = scan(walk([str(folder)], lambda *_: None), found.engine, options, 1)
    findings = [hit.finding for outcome in outcomes for hit in outcome.hits]
    assert [(one.line, one.rule, one.name, one.severity, one.decode) for one in findings] == [
        (1, OWN.id, "KEY (production): secret of our own", "critical", ()),
        (2, OWN.id, "KEY (production): secret of our own", "critical", ("base64",)),
        (3, "github-pat", "GITHUB_TOKEN (production): GitHub personal access token", "critical", ()),
    ]
    assert {_named(one) for one in findings} == {("KEY", "web", "current"), ("GITHUB_TOKEN", "web", "current")}
    assert not (tmp_path / "state" / "state.db").exists()


def _named(one: Finding) -> tuple[str, str, str]:
    return one.labels["secret"], one.labels["inventory"], one.labels["standing"]
