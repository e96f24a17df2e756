from __future__ import annotations

import base64
from urllib.parse import quote

import pytest

from detectors.match.cost import Pace
from detectors.match.outcome import ScanResult, Unsearched
from detectors.rules.template import expand
from monitor.domain.model import Alert, Finding
from monitor.scanning.redact import WITHHELD, Redactor
from tests.detectors import texts

TOKEN = expand("ghp_{alnum:30}{crc32}", 7)


@pytest.fixture(scope="module")
def redact() -> Redactor:
    return Redactor(texts.engine().worker())


def shown(text: str) -> bool:
    """Whether more of the token can be read than its preview shows."""
    return TOKEN[8:20] in text


@pytest.mark.parametrize(
    "text",
    [
        f"/var/log/deploy-{TOKEN}.log",
        f"acme/web:{TOKEN}/config.yml",
        f"https://example.org/?token={TOKEN}&next=1",
        f"{TOKEN} and {TOKEN}",
        f"/srv/\udcff/{TOKEN}",
        f"a \ud800 surrogate {TOKEN}",
    ],
)
def test_a_secret_is_masked_and_the_rest_stays(redact: Redactor, text: str) -> None:
    clean = redact(text)
    assert not shown(clean)
    assert "ghp_" in clean or clean == WITHHELD
    assert redact(text) == clean  # from memory
    assert redact(clean) == clean


def test_the_path_around_it_can_still_be_read(redact: Redactor) -> None:
    assert redact(f"/var/log/deploy-{TOKEN}.log").startswith("/var/log/deploy-ghp_")
    assert redact(f"/srv/\udcff/{TOKEN}").startswith("/srv/\udcff/ghp_")


def test_what_looks_like_a_secret_inside_of_a_preview_is_not_masked_again(redact: Redactor) -> None:
    for seed in range(20):
        preview = f"{expand('{alnum:4}', seed)}…[20]"
        for line in (
            f'password="{preview}" ok',
            f'{{"user":"app","password":"{preview}","host":"db"}}',
            f"pass='{preview}'",
        ):
            assert redact(line, preview) == line


def test_a_preview_in_the_place_of_a_password_is_none(redact: Redactor) -> None:
    first, second = (expand("{alnum:24}", seed) for seed in (8, 9))
    dsn = "postgres://shop:%s@db-1.example:5432/orders"
    assert redact(dsn % first) == dsn % f"{first[:4]}…[24]"
    shown = dsn % f"{second[:4]}…[24]"
    assert redact(shown, f"{second[:4]}…[24]") == shown
    both = redact(f"{shown} {dsn % first}", f"{second[:4]}…[24]")
    assert both == f"{shown} {dsn % f'{first[:4]}…[24]'}"
    assert redact(dsn % first, f"{second[:4]}…[24]") == dsn % f"{first[:4]}…[24]"


@pytest.mark.parametrize(
    "text",
    [
        "/logs/" + base64.b64encode(f"token {TOKEN} end".encode()).decode(),
        "https://example.org/?q=" + quote(f'token="{TOKEN}"', safe=""),
    ],
)
def test_an_encoded_one_takes_the_whole_text_along(redact: Redactor, text: str) -> None:
    clean = redact(text)
    assert clean == WITHHELD or (not shown(clean) and text[-30:] not in clean)


@pytest.mark.parametrize(
    "text",
    ["", "/var/log/app.log", "/var/lib/docker/containers/" + "4f" * 32 + "/" + "4f" * 32 + "-json.log", "ä" * 3000],
)
def test_all_else_is_untouched(redact: Redactor, text: str) -> None:
    assert redact(text) == text


def test_memory_is_bounded(redact: Redactor) -> None:
    for number in range(5000):
        redact(f"/var/log/app-{number}.log")
    assert len(redact._known) <= 2048


def test_what_cannot_be_looked_at_is_withheld() -> None:
    class Broken:
        def search(self, data: bytes, fresh: int, limit: int, pace: Pace) -> ScanResult:
            raise ValueError(data)

    class Hurried:
        def search(self, data: bytes, fresh: int, limit: int, pace: Pace) -> ScanResult:
            return ScanResult([], unsearched=[Unsearched(4, 8, "undecoded")])

    assert Redactor(Broken())("/var/log/app.log") == WITHHELD
    assert Redactor(Hurried())("/var/log/app.log") == WITHHELD


def test_what_lost_to_another_rule_on_its_span_is_masked_too() -> None:
    better = texts.rule("(?P<secret>acme-[a-z]{8})", id="better", priority=300)
    longer = texts.rule("(?P<secret>acme-[a-z]{8}-[a-z]{12})", id="longer", priority=50)
    worker = texts.worker(better, longer)
    text = b"/srv/acme-hvnrwkzt-bqmdxlgpfwsc/x"
    assert [match.rule.id for match in worker.scan(text)] == ["better"]  # or this test says nothing
    assert "bqmd" not in Redactor(worker)(text.decode())


def test_a_finding_and_an_alert_are_cleaned_in_every_field(redact: Redactor) -> None:
    url = f"https://example.org/{TOKEN}"
    finding = Finding(
        id="1", rule="r", name=f"named {TOKEN}", severity="high", confidence="high", fingerprint="f", masked="m",
        source="s", path=f"/{TOKEN}", generation="g", offset=0, time=1.0, labels={"topic": f"t/{TOKEN}"}, url=url,
    )  # fmt: skip
    clean = redact.finding(finding)
    assert not shown(repr(clean))
    assert clean.url is None  # it would lead nowhere
    alert = Alert(
        id="a", system="GitHub", source="s", url=url, fingerprint="f", provisional=False, severity="high", state="open",
        created=1.0, updated=1.0, labels={"github": f"acme/{TOKEN}#1"},
    )  # fmt: skip
    assert not shown(repr(redact.alert(alert)))
    assert redact.address("https://example.org/") == "https://example.org/"
