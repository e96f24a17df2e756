from __future__ import annotations

import pytest

from detectors.rules import history
from detectors.rules.gone import GONE, heir, names
from detectors.rules.load import rule_families, rule_forms
from detectors.rules.template import expand
from tests.detectors import texts

# What rules that went found, as their packs said.
EXAMPLES = {
    "apify-token": 'curl -s https://api.apify.com/v1 -H "Authorization: Bearer apify_api_{alnum:36}"',
    "azure-openai-key": "az: POST https://acme.openai.azure.com/openai/deployments/gpt4 api-key: {hex:32}",
    "azure-openai-key-long": '{"azure_openai_api_key": "{alnum:44}JQQJ99{alnum:34}"}',
    "chroma-cloud-api-key": "CHROMA_API_KEY=ck-{base58:44}",
    "customer-io-api-key": 'customerio_api_key => "{hex:20}"',
    "finicity-partner-secret": "env:\n  FINICITY_PARTNER_SECRET: {alnum:20}",
    "firebase-cloud-messaging-server-key": "Authorization: Bearer AAAA{base64url:7}:APA91b{base64url:133}{alnum:1}",
    "firebase-registration-token": 'new Client("{alnum:1}{base64url:21}:APA91b{base64url:133}{alnum:1}");',
    "gcp-recaptcha-secret": "recaptcha_secret_key: 6L{base64url:37}A",
    "generic-service-key-camel": '"storageKey": "{base64:43}="',
    "kafka-sasl-jaas-password": "sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required "
    'username="app" password="{alnum:20}";',
    "mailgun-private-key": "MAILGUN_API_KEY=key-{hex:32}",
    "metabase-secret-key": 'mb_embedding_secret_key => "{hex:64}"',
    "nhost-admin-secret": "x-hasura-admin-secret: {alnum:64}",
    "superset-secret-key": "superset.secret.key={alnum:56}",
}


@pytest.mark.parametrize("rule_id", [rule_id for rule_id, gone in GONE.items() if gone.heir or gone.instead])
def test_the_rule_named_finds_what_the_old_one_found(rule_id: str) -> None:
    gone = GONE[rule_id]
    now = gone.heir or gone.instead
    found = [match.rule.id for match in texts.engine().worker().scan(expand(EXAMPLES[rule_id], 7).encode())]
    assert now in found


def test_every_rule_that_a_pack_held_is_in_one_or_said_to_be_gone() -> None:
    """Of the history up to its last mark. Who takes a rule away, or renames it, says there who has its place."""
    there = history.now()
    ever = {rule_id for mark in history.read() for rule_id in mark.rules}
    assert sorted(ever - there.keys() - GONE.keys()) == []
    assert sorted(GONE.keys() & there.keys()) == []
    assert sorted({one for gone in GONE.values() for one in (gone.heir, gone.instead) if one} - there.keys()) == []
    assert not [rule_id for rule_id, gone in GONE.items() if gone.heir and gone.instead]


def test_an_id_is_known_by_its_heir_and_its_heir_by_it() -> None:
    assert heir("apify-token") == heir("apify-api-token") == "apify-api-token"
    assert names("apify-token") == names("apify-api-token") == ("apify-api-token", "apify-token")
    assert heir("superset-secret-key") == "superset-secret-key"  # a broad rule takes no other's settings
    assert names("generic-secret") == ("generic-secret",)


def test_routes_know_the_family_and_the_form_it_had() -> None:
    assert (rule_families()["superset-secret-key"], rule_forms()["superset-secret-key"]) == ("data", "keyword")
