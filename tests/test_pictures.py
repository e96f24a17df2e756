from __future__ import annotations

from pathlib import Path

import pytest

from tests.pictures import ROOT, Alert, mail_page, plain, real_alert, slack_page, svg

PARTS = ("payments on web-3", "payments.log:1", "logged 2026-11-02 13:58:05 UTC")


@pytest.mark.slow
async def test_the_readme_and_the_pictures_show_what_a_real_run_sends(tmp_path: Path) -> None:
    """After a change of what alerts say: make pictures."""
    alert = await real_alert(tmp_path)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"```text\n{plain(alert)}\n```" in readme
    assert svg(alert) == (ROOT / "docs" / "pictures" / "console.svg").read_text(encoding="utf-8")

    acknowledge = "cd /srv/monitor && .venv/bin/monitor incidents ack "
    whole = f"{alert.mail}\n{plain(alert)}"
    for part in (*PARTS, "high confidence", acknowledge):
        assert whole.count(part) == 2, part
    assert whole.count("2026-11-02T13:58:05Z INFO payments deploying with token=ghp_") == 2
    assert ">Acknowledge<" in slack_page(alert.team)
    for part in ("web-3", "/srv/monitor/var/log/payments.log", "revoked at GitHub", "ada", "<svg", "72"):
        assert part in alert.report, part
    shown = slack_page(alert.slack)
    for part in (*PARTS, "high", ".venv/bin/monitor incidents ack"):
        assert part in shown, part


def test_a_page_shows_markup_of_others_as_text() -> None:
    assert "<script>" not in mail_page("<script>alert(1)</script>")
    assert plain(Alert("\x1b[31mred\x1b[0m\n\n", {}, "", {})) == "red"
