from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import jsonschema

from monitor.audit.check import MOST, Judged, failed, passed, unknown
from monitor.audit.report import markdown, row, sarif, summary
from monitor.audit.settings import Waiver

SCHEMA = json.loads((Path(__file__).parents[1] / "scan" / "sarif-schema-2.1.0.json").read_text(encoding="utf-8"))
WAIVER = Waiver(item="images", reason="known | `x`", expires=date(2030, 1, 2))


def items() -> list[Judged]:
    good, bad, open_, waived = (
        Judged(name, f"Title of {name} *.pem", f"Mend {name}.") for name in ("a", "b", "c", "d")
    )
    for number in range(MOST + 5):
        good.add(passed(f"fine {number}", "ls"))
    bad.add(failed("<script>alert(1)</script> a|b [x](y)\n# no heading", "grep 'a|`b`' x", "dir a/ü.txt", 3))
    bad.add(failed("in an image", "monitor scan i.tar", "/srv/i.tar!../../etc/x"))
    bad.expired.append(WAIVER)
    open_.add(unknown("not to be seen", "ls", "x\udcff"))
    waived.add(replace(failed("accepted"), waiver=WAIVER))
    return [good, bad, open_, waived]


def test_the_summary_and_the_rows() -> None:
    assert summary(items()) == "1 pass, 2 fail (1 waived), 1 unknown"
    rows = [row(one) for one in items()]
    assert [one["verdict"] for one in rows] == ["pass", "fail", "unknown", "fail"]
    assert [one["waived"] for one in rows] == [False, False, False, True]
    assert rows[0]["left_out"] == 5
    assert rows[1]["evidence"][0] | {"text": ""} == {
        "verdict": "fail", "text": "", "path": "dir a/ü.txt", "line": 3, "repeat": "grep 'a|`b`' x", "waiver": None,
    }  # fmt: skip
    assert rows[1]["expired_waivers"] == [{"reason": "known | `x`", "expires": "2030-01-02"}]
    assert rows[3]["evidence"][0]["waiver"] == {"reason": "known | `x`", "expires": "2030-01-02"}


def test_sarif_satisfies_the_official_schema() -> None:
    out = sarif(items(), "1.2.3")
    jsonschema.Draft7Validator(SCHEMA).validate(out)
    (run,) = json.loads(json.dumps(out))["runs"]
    results = run["results"]
    assert [(one["ruleId"], one["kind"], one["level"]) for one in results] == [
        ("a", "pass", "none"), ("b", "fail", "error"), ("b", "fail", "error"), ("c", "review", "none"),
        ("d", "fail", "error"),
    ]  # fmt: skip
    uris = [one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for one in results[1:4]]
    assert uris == ["dir%20a/%C3%BC.txt", "file:///srv/i.tar!etc/x", "x%5Cudcff"]
    assert results[4]["suppressions"][0]["justification"] == "known | `x` (until 2030-01-02)"
    assert "suppressions" not in results[1]
    assert len(run["invocations"][0]["toolExecutionNotifications"]) == 1
    jsonschema.Draft7Validator(SCHEMA).validate(sarif([], "1"))


def test_the_page_for_auditors_holds_no_markup_of_others() -> None:
    page = markdown(items(), 1_800_000_000.0, "1.2.3", ["/srv/app"])
    assert (
        "# Audit of secrets\n\n2027-01-15 08:00 UTC, exposure-monitor 1.2.3: 1 pass, 2 fail (1 waived), 1 unknown."
        in page
    )
    assert "<script>" not in page.replace("\\<", "")
    assert "\n# no" not in page
    assert "``grep 'a\\|`b`' x``" in page
    assert "**fail** Mend b." in page
    assert "**fail, waived**" in page
    assert "A waiver expired on 2030-01-02: known \\| \\`x\\`" in page
    assert "](#b) | fail |" in page
    assert '## <a id="b"></a>Title of b \\*.pem\n' in page
    assert "5 more pieces of evidence are not listed." in page
    rows = [line for line in page.splitlines() if line.startswith("|")]
    assert all(len(line.replace("\\|", "").split("|")) == 5 for line in rows)
