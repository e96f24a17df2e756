from __future__ import annotations

import pytest
from pydantic import ValidationError

from monitor.common.http import Http, RemoteError
from sinks import load_sink
from sinks.base import SinkConfig
from tests.fakes.notifications import notification


def test_programs_get_all_and_what_people_read_is_shortened() -> None:
    read = {
        kind: load_sink(kind).limits.read for kind in ("slack", "email", "pagerduty", "apprise", "alertmanager", "mqtt")
    }
    assert [kind for kind, people in read.items() if not people] == ["alertmanager", "mqtt"]


@pytest.mark.parametrize("insecure", [False, True])
def test_a_credential_travels_in_the_clear_only_when_that_is_said(insecure: bool) -> None:
    config = SinkConfig(name="chat", type="x", insecure=insecure)
    for url in ("https://hooks.example.org/x", "http://127.0.0.1:1/x", "http://[::1]/x", "http://localhost/x"):
        assert config.encrypted("url", url) == url
    for url in ("http://hooks.example.org/hidden", "HTTP://10.0.0.1/hidden", " http://hooks.example.org/hidden"):
        if insecure:
            assert config.encrypted("url", url) == url
            continue
        with pytest.raises(RemoteError, match=r"^url: the credential would go over the network unencrypted") as caught:
            config.encrypted("url", url)
        assert not caught.value.retry
        assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("slack", {"token": "env:T", "channel": "C", "api_url": "http://slack.example.org/api"}),
        ("pagerduty", {"routing_key": "env:T", "base_url": "http://pager.example.org"}),
        ("alertmanager", {"token": "env:T", "url": "http://alertmanager.example.org"}),
        ("mqtt", {"host": "broker.example.org", "username": "u", "password": "env:T"}),
    ],
)
def test_every_sink_with_a_credential_wants_tls_or_a_word(kind: str, keys: dict[str, object]) -> None:
    config = load_sink(kind).Config
    common = {"name": "a", "type": kind}
    with pytest.raises(ValidationError, match="insecure = true"):
        config.model_validate({**common, **keys})
    assert config.model_validate({**common, **keys, "insecure": True}).insecure
    local = {key: str(value).replace("http://", "http://127.0.0.1/#") for key, value in keys.items()}
    local = {k: ("127.0.0.1" if k == "host" else v.split("#")[0].rstrip("/")) for k, v in local.items()}
    assert not config.model_validate({**common, **local}).insecure


@pytest.mark.parametrize(("kind", "key"), [("slack", "webhook_url"), ("webhook", "url")])
async def test_an_address_that_is_a_credential_is_judged_when_it_is_known(
    kind: str, key: str, http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK", "http://hooks.example.org/hidden")
    sink_class = load_sink(kind)
    sink = sink_class(sink_class.Config.model_validate({"name": "a", "type": kind, key: "env:HOOK"}), http)
    with pytest.raises(RemoteError, match=f"{key}: the credential would go") as caught:
        await sink.send(notification())
    assert "hidden" not in str(caught.value)
