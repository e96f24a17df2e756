"""Whose server a secret is of, as the configuration and the lines around it say."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from monitor.config.config import parse
from monitor.verify.place import ProbeTarget, place_of, servers_of, spoken_of
from monitor.verify.probe import Probe, load_probes, probe_of


def probe(rule: str) -> Probe:
    found = probe_of(rule)
    assert found is not None
    return found


GITHUB, GITLAB, NPM, AWS = map(probe, ("github-pat", "gitlab-pat", "npm-auth-token", "aws-secret-access-key"))
ENTERPRISE = frozenset({"ghe.acme.example"})


@pytest.mark.parametrize(
    "line",
    [
        "git clone https://x-access-token:*@git.acme.example/a/b.git",
        "GET https://ghe.acme.example/api/v3/user token *",
        "curl -H 'Authorization: token *' https://api.acme.ghe.com/user",
        "remote: https://acme.ghe.com/a/b.git",
        "GH_HOST set, https://github.acme.example:8443/a",
        '{"api": "https://code.acme.example/api/graphql", "token": "*"}',
        # One of both it is, and nobody can say which.
        "mirror https://github.com/a/b.git to https://github.acme.example/a/b.git",
    ],
)
def test_what_stands_with_another_server_is_sent_nowhere(line: str) -> None:
    place = place_of(GITHUB, None, (), [line])
    assert (place.origins, place.sure, "verify.servers.github" in place.why) == ((), False, True)


@pytest.mark.parametrize(
    "line", ["", "token=* used", "https://api.github.com/user", "GET https://app.acme.example/hook"]
)
def test_what_stands_alone_is_the_public_services(line: str) -> None:
    assert place_of(GITHUB, None, (), [line]) == ProbeTarget((None,))


def test_while_a_server_of_its_own_is_configured_only_the_line_tells() -> None:
    unclear = place_of(GITHUB, None, ENTERPRISE, ["token=*"])
    assert (unclear.origins, "ghe.acme.example" in unclear.why) == ((), True)
    assert place_of(GITHUB, None, ENTERPRISE, ["https://x:*@github.com/a/b.git"]) == ProbeTarget((None,))
    assert place_of(GITHUB, None, {"api.github.com"}, [""]) == ProbeTarget((None,))


def test_a_server_that_is_named_is_asked_and_believed_where_it_is_the_only_one() -> None:
    own = "https://ghe.acme.example/api/v3"
    assert place_of(GITHUB, own, ENTERPRISE, [""]) == ProbeTarget((own,))
    assert place_of(GITHUB, own, ENTERPRISE | {"api.github.com"}, [""]) == ProbeTarget((own,), sure=False)
    told = place_of(GITHUB, own, {"api.github.com"}, ["clone https://x:*@ghe.acme.example/a.git"])
    assert told == ProbeTarget((own,))
    assert place_of(GITHUB, own, (), ["clone https://x:*@github.com/a.git"]).origins == ()
    public = "https://api.github.com"
    assert place_of(GITHUB, public, ENTERPRISE, [""]) == ProbeTarget((public,), sure=False)
    assert place_of(GITHUB, public, ENTERPRISE, ["https://github.com/a/b"]) == ProbeTarget((public,))


def test_what_many_run_themselves_is_refused_by_the_public_one_only_where_the_line_names_it() -> None:
    assert place_of(GITLAB, None, (), [""]) == ProbeTarget((None,), sure=False)
    assert place_of(GITLAB, None, (), ["https://gitlab.com/a/b"]) == ProbeTarget((None,))
    assert place_of(GITLAB, None, (), ["https://gitlab.acme.example/a/b"]).origins == ()
    assert place_of(NPM, None, (), ["//npm.acme.example/:_authToken=*"]).origins == ()
    assert place_of(NPM, None, (), ["//registry.npmjs.org/:_authToken=*"]) == ProbeTarget((None,))


def test_other_services_are_asked_at_each_of_their_sites() -> None:
    assert place_of(AWS, None, (), ["https://x:*@git.acme.example"]) == ProbeTarget(AWS.sites)
    assert place_of(AWS, "https://sts.us-gov-west-1.amazonaws.com", (), []).origins == (
        "https://sts.us-gov-west-1.amazonaws.com",
    )
    for one in load_probes():
        assert place_of(one, None, (), [""]).why == ""


def test_a_hostile_line_costs_little() -> None:
    line = "https://" + "a" * 100_000 + "@" * 100_000 + "https://a" * 20_000
    assert spoken_of(GITHUB, [line]) <= {"a" * 253} | {"ahttps", "a"}


def test_servers_are_found_in_the_rest_of_the_configuration() -> None:
    tables = [
        SimpleNamespace(type="github", base_url="https://ghe.acme.example/api/v3"),
        SimpleNamespace(type="vault", server="https://vault.acme.example:8200"),
        SimpleNamespace(type="file"),
        SimpleNamespace(type="webhook", base_url="https://hook.example"),
    ]
    assert servers_of(tables) == {"github": ENTERPRISE, "vault": {"vault.acme.example"}}


def test_a_configuration_knows_the_servers_it_names() -> None:
    config = parse(
        """
        [[sources]]
        name = "code"
        type = "github"
        org = "acme"
        token = "env:TOKEN"
        base_url = "https://ghe.acme.example/api/v3"
        """
    )
    assert config.verify.others("github") == ENTERPRISE
    assert config.verify.model_copy(update={"automatic": True}).others("github") == ENTERPRISE
    assert config.verify.others("gitlab") == frozenset()
