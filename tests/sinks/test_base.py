from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from sinks.base import Credential, CredentialError, SinkConfig, SinkError, resolve
from tests.fakes.notifications import event, incident, notification


class _Config(SinkConfig):
    token: Credential


def test_a_literal_is_refused_without_being_shown() -> None:
    for literal in ("literal-hidden", "https://hooks.example/hidden", "", "env:", "hidden:x", 7, ["hidden"]):
        with pytest.raises(ValidationError) as caught:
            _Config(name="chat", type="x", token=literal)  # type: ignore[arg-type]
        assert "hidden" not in str(caught.value)
        assert caught.value.errors()[0]["loc"] == ("token",)
        assert "env:NAME" in str(caught.value)


def test_references_are_resolved_on_use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SOME_TOKEN", " value \n")
    assert Credential("env:SOME_TOKEN").resolve() == "value"
    file = tmp_path / "token"
    file.write_text("one\n")
    by_file = Credential(f"file:{file}")
    assert by_file.resolve() == "one"
    file.write_text("two\n")
    assert by_file.resolve() == "two"
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert Credential("credential:token").resolve() == "two"
    assert "two" not in repr(by_file)
    assert b"two" not in pickle.dumps(by_file)


def test_errors_name_the_reference_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    (tmp_path / "empty").write_text(" \n")
    (tmp_path / "binary").write_bytes(b"\xff\xfehidden")
    for reference, reason in (
        ("env:NOT_SET_AT_ALL", "NOT_SET_AT_ALL is not set"),
        (f"file:{tmp_path}/none", "No such file"),
        (f"file:{tmp_path}/empty", "empty"),
        (f"file:{tmp_path}/binary", "not UTF-8"),
        ("credential:x", "LoadCredential=x:PATH"),
    ):
        with pytest.raises(CredentialError, match=reason) as caught:
            Credential(reference).resolve()
        assert "hidden" not in str(caught.value)
    with pytest.raises(SinkError, match="token: environment variable NOT_SET_AT_ALL is not set") as failed:
        resolve(Credential("env:NOT_SET_AT_ALL"), "token")
    assert failed.value.retry


def test_names_are_plain() -> None:
    name = TypeAdapter(SinkConfig)
    assert name.validate_python({"name": "chat-1.a_b", "type": "x"}).fallback is None
    for bad in ("", "a b", "a/b", "a\n"):
        with pytest.raises(ValidationError):
            name.validate_python({"name": bad, "type": "x"})


def test_the_action_follows_the_states() -> None:
    acknowledged, resolved = incident(state="acknowledged"), incident(state="resolved")
    assert event().action == "trigger"
    assert notification().action == "trigger"
    assert notification(incident(), resolved).action == "trigger"
    assert notification(acknowledged, resolved).action == "acknowledge"
    assert notification(resolved).action == "resolve"
