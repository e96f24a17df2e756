from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.pictures import FOLDER, ROOT, Alert, mail_svg, pictures, plain, real_alert

PARTS = ("payments on web-3", "payments.log:1", "logged 2026-11-02 13:58:05 UTC")
TIMED = {"incident.svg", "report.svg", "top.svg"}  # each run takes its own time


@pytest.mark.slow
async def test_the_readme_and_the_pictures_show_what_a_real_run_sends(tmp_path: Path) -> None:
    """After a change of what alerts and pages say: make pictures."""
    alert = await real_alert(tmp_path)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"```text\n{plain(alert)}\n```" in readme
    drawn = pictures(alert)
    committed = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.svg")}
    assert committed.keys() == drawn.keys()
    for name, picture in committed.items():
        assert ElementTree.fromstring(picture).tag.endswith("svg"), name
        assert drawn[name] == picture or name in TIMED, name

    acknowledge = "cd /srv/monitor && .venv/bin/monitor incidents ack "
    whole = f"{alert.mail}\n{plain(alert)}"
    for part in (*PARTS, "high confidence", acknowledge):
        assert whole.count(part) == 2, part
    assert whole.count("2026-11-02T13:58:05Z INFO payments deploying with token=ghp_") == 2
    assert ">Acknowledge<" in drawn["slack-buttons.svg"]
    for part in (*PARTS, "high", ".venv/bin/monitor incidents ack"):
        assert part in drawn["slack.svg"], part
    for page in (drawn, committed):
        for part in ("web-3", "/srv/monitor/var/log/payments.log", "revoked at GitHub", "ada", "<svg", "72"):
            assert part in page["report.svg"], part
        for part in ("First:", "Revoke the exposed secret", "incidents ack", "/srv/monitor/var/log/payments.log"):
            assert part in page["incident.svg"], part
        for part in ("demo", "chat", "github-pat"):
            assert part in page["top.svg"], part


def test_a_page_shows_markup_of_others_as_text() -> None:
    assert "<script>" not in mail_svg("<script>alert(1)</script>", 100)
    assert plain(Alert("\x1b[31mred\x1b[0m\n\n", {}, "", {})) == "red"
