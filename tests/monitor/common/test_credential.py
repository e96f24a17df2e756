from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from detectors.rules.template import expand
from monitor.common.credential import Credential, CredentialError, LongCredential


class _Config(BaseModel):
    model_config = ConfigDict(hide_input_in_errors=True)

    token: Credential


def test_a_literal_is_refused_without_being_shown() -> None:
    for literal in ("literal-hidden", "https://hooks.example/hidden", "", "env:", "hidden:x", 7, ["hidden"]):
        with pytest.raises(ValidationError) as caught:
            _Config(token=literal)  # type: ignore[arg-type]
        assert "hidden" not in str(caught.value)
        assert caught.value.errors()[0]["loc"] == ("token",)
        assert "env:NAME" in str(caught.value)


def test_a_file_lies_beside_the_configuration() -> None:
    for given, found in (("file:key", "file:/etc/m/key"), ("file:/key", "file:/key"), ("env:KEY", "env:KEY")):
        assert _Config.model_validate({"token": given}, context={"folder": "/etc/m"}).token == Credential(found)
    assert _Config.model_validate({"token": "file:~/key"}).token == Credential(f"file:{Path.home()}/key")
    unknown = "file:~nobody-is-called-so/key"
    assert _Config.model_validate({"token": unknown}).token == Credential(unknown)


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
    with pytest.raises(CredentialError, match="token: environment variable NOT_SET_AT_ALL is not set") as failed:
        Credential("env:NOT_SET_AT_ALL").resolve("token")
    assert failed.value.retry


TOKENS = ("ghp_{alnum:30}{crc32}", "AKIA{base32:16}", "sk_live_{alnum:24}", "{hex:32}")


def test_a_value_in_the_place_of_a_name_is_refused_without_being_shown() -> None:
    slack = expand("xoxb-{digit:12}-{digit:12}-{alnum:24}")
    literals = (f"env:{slack}", "env:1hidden", "env:a b", "credential:../hidden", "credential:..", "credential:a\n")
    for literal in literals:
        with pytest.raises(ValidationError) as caught:
            _Config(token=literal)  # type: ignore[arg-type]
        assert "hidden" not in str(caught.value)
        assert slack[:12] not in str(caught.value)
        assert "takes the name" in str(caught.value)


@pytest.mark.parametrize("template", TOKENS)
def test_a_token_that_passes_for_a_name_is_never_shown_whole(
    template: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    token = expand(template)
    name = token if token[0].isalpha() else f"_{token}"
    for reference in (f"env:{name}", f"file:{name}", f"file:/etc/{name}", f"credential:{name}"):
        with pytest.raises(CredentialError) as caught:
            Credential(reference).resolve("token")
        assert token[5:] not in f"{caught.value} {Credential(reference)!r} {[Credential(reference)]}"
        assert "token: " in str(caught.value)


def test_what_could_be_guessed_from_outside_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAGES", "abc123")
    with pytest.raises(CredentialError, match=r"http\.token: env:PAGES: shorter than 16 .* openssl rand") as refused:
        LongCredential("env:PAGES").resolve("http.token")
    assert "abc123" not in str(refused.value)
    monkeypatch.setenv("PAGES", "0123456789abcdef")
    assert LongCredential("env:PAGES").resolve() == "0123456789abcdef"
