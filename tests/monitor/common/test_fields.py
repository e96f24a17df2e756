from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest
from pydantic import TypeAdapter, ValidationError

from monitor.common.fields import LocalGlob, LocalPath, ServerUrl, http_url


def test_an_address_is_encrypted_or_on_this_machine() -> None:
    address: TypeAdapter[str] = TypeAdapter(ServerUrl)
    assert address.validate_python("https://vault.example.org:8200/") == "https://vault.example.org:8200"
    assert address.validate_python("http://127.0.0.1:8200") == "http://127.0.0.1:8200"
    for wrong in ("http://vault.example.org", "https://user:pass@vault.example.org", "ftp://x", "https://", "x?y"):
        with pytest.raises(ValidationError):
            address.validate_python(wrong)


def test_an_address_that_is_shown_holds_no_login() -> None:
    address: TypeAdapter[str] = TypeAdapter(Annotated[str, http_url("https://x.example")])
    assert address.validate_python("http://10.0.0.1:9093/api/") == "http://10.0.0.1:9093/api"
    for wrong, why in (("ftp://x", "http.s. URL such as"), ("https://", "http.s. URL"), ("https://a:b@x", "user name")):
        with pytest.raises(ValidationError, match=why):
            address.validate_python(wrong)
    host: TypeAdapter[str] = TypeAdapter(Annotated[str, http_url("https://x.example", bare=True)])
    assert host.validate_python("https://x.example/") == "https://x.example"
    with pytest.raises(ValidationError, match="scheme and host only"):
        host.validate_python("https://x.example/api")


def test_a_path_lies_beside_the_configuration() -> None:
    place: TypeAdapter[Path] = TypeAdapter(LocalPath)
    assert place.validate_python("ca.pem", context={"folder": "/etc/m"}) == Path("/etc/m/ca.pem")
    assert place.validate_python("/ca.pem", context={"folder": "/etc/m"}) == Path("/ca.pem")
    assert place.validate_python("~/ca.pem") == Path.home() / "ca.pem"
    assert place.validate_python("~nobody-is-called-so/ca.pem", context={"folder": "/etc/m"}) == Path(
        "/etc/m/~nobody-is-called-so/ca.pem"
    ), "it is told where no such file is"
    pattern: TypeAdapter[str] = TypeAdapter(LocalGlob)
    assert pattern.validate_python("rules.d/*.toml", context={"folder": "/etc/m"}) == "/etc/m/rules.d/*.toml"
