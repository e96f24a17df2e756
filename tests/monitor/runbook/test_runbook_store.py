from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from detectors.rules import packs
from detectors.rules.load import builtin_families, load_rules
from detectors.rules.packs import FOLDER
from detectors.rules.rule import Rule
from monitor import runbook
from monitor.github.join import kinds
from monitor.runbook import runbook_store
from tests.detectors import texts

ROOT = Path(__file__).parents[3]


def test_every_rule_has_a_runbook_that_exists() -> None:
    known = set(runbook.names())
    wanted = {book for rule in texts.rules() for book in (rule.runbook, runbook.of(rule))}
    assert wanted
    assert wanted - known == set()


def test_the_runbook_of_an_issuer_names_it_and_the_place_and_keeps_the_notes_of_its_kind() -> None:
    (rule,) = [rule for rule in load_rules(["ai/openai"]) if rule.id == "openai-project-key"]
    book = runbook.load(runbook.of(rule))
    kind = runbook.load(rule.runbook)
    assert book is not None
    assert kind is not None
    assert book.name == "ai/openai"
    assert "OpenAI" in book.first_step
    assert book.where in book.first_step
    assert book.url is not None
    assert f"Link: {book.url}\n" in book.text()
    assert book.notes[-len(kind.notes) :] == kind.notes


def test_a_rule_with_a_runbook_of_its_own_and_a_users_rule_keep_it() -> None:
    (rule, *_) = load_rules(["ai/openai"])
    assert runbook.of(replace(rule, runbook="private-key")) == "private-key"
    assert runbook.of(replace(rule, family="custom", runbook="generic-secret")) == "generic-secret"


# Rules of no issuer: the line around the secret is all there is to go by.
ISSUERLESS = {
    "generic/assignment",
    "generic/basic",
    "generic/calls",
    "generic/clients",
    "generic/devices",
    "generic/idioms",
    "generic/issuers",
    "generic/kinds",
    "generic/loose",
    "generic/prefixed",
    "generic/rows",
    "generic/servers",
    "generic/short",
    "generic/syntax",
    "generic/tools",
    "generic/named",
    "generic/brief",
    "generic/plain",
    "generic/near",
    "generic/jwt",
    "generic/lists",
    "generic/fallbacks",
    "generic/speech",
    "generic/protocols",
    "generic/traces",
    "generic/unlisted",
    "exposure",
    "protected",
}
NOBODYS = {"private-key", "jwt-secret"}  # of a key pair, and of whoever signs
SAYS_NOTHING = re.compile(r"find who issued it|where it was issued|the provider's console", re.IGNORECASE)


def _words(text: str) -> list[str]:
    common = {"your", "own", "the", "a", "of", "or", "and", "server", "cluster", "site"}
    return [word for word in re.findall(r"[\w.&+-]+", text.lower().replace(":", " ")) if word.strip(".") not in common]


# One test for hundreds of packs, and one for thousands of books: to set a test up takes far longer than to look at one.
def test_each_rule_of_an_issuer_says_first_who_takes_the_secret_back_and_where() -> None:
    issuerless = tuple(f"packs/{name}" for name in ISSUERLESS)
    issued = [rule for rule in texts.rules() if not rule.source.startswith(issuerless)]
    assert len(issued) > 1000
    for rule in issued:
        book = runbook.load(runbook.of(rule))
        assert book is not None, rule.id
        lacks = f"{rule.id}: {rule.source} needs [issuer] with name, where and url: who takes it back, and where"
        assert not SAYS_NOTHING.search(book.first_step), lacks
        assert len(book.where) > 8, lacks
        if book.name not in NOBODYS:
            assert book.url is not None, lacks
            assert book.url.startswith("https://"), rule.id
        issuer = book.title.removeprefix("Secret of ")
        if "/" in book.name and not issuer.startswith("the "):
            assert set(_words(issuer)) & set(_words(book.first_step)), f"{rule.id} does not say first whose it is"


WORDS = {"name", "where", "url", "first_step", "kind", "notes", "step", "first", "order"}


def test_a_pack_says_of_its_issuer_and_of_its_own_rules_what_runbooks_know() -> None:
    for path in FOLDER.glob("*/*.toml"):
        pack = tomllib.loads(path.read_text(encoding="utf-8"))
        issuer = pack.get("issuer", {})
        rules = {name: table for name, table in issuer.items() if isinstance(table, dict)}
        own = issuer.keys() - rules.keys()
        name = f"{path.parent.name}/{path.name}, [issuer]"
        assert not own or {"name", "where", "url"} <= own, f"{name} needs name, where and url, and has {sorted(own)}"
        assert set().union(own, *rules.values()) <= WORDS, f"{name}: runbooks know {sorted(WORDS)} alone"
        reported = {kind.runbook.split("/")[-1] for kind in kinds().values()}  # by GitHub, without a rule of ours
        assert rules.keys() <= {rule["id"] for rule in pack["rule"]} | reported, (
            f"{name}: a table of a rule that is not"
        )


def test_the_first_steps_that_were_checked_are_those_that_alerts_print() -> None:
    row = re.compile(r"^\| (\w+/[\w-]+) \| (.+) \| (.+) \| (.+) \|$", re.MULTILINE)
    text = (ROOT / "benchmarks/issuers.md").read_text(encoding="utf-8")
    lots, most = text.split("### The secrets of another kind")
    first, second, third = (row.findall(lot) for lot in re.split("### The (?:second|third) lot", lots))
    often = row.findall(most.split("### The issuers met most")[1])
    names = [issuer for issuer, *_ in first + second + third]
    assert (len(first), len(second), len(third), len(set(names))) == (40, 40, 40, 120)
    assert often

    rules: dict[str, list[Rule]] = {}
    for rule in load_rules(builtin_families()):
        rules.setdefault(rule.source.removeprefix("packs/").removesuffix(".toml"), []).append(rule)
    for issuer, step, source, result in first + second + third + often:
        books = [runbook.load(runbook.of(rule)) for rule in rules[issuer]]
        assert step in {book.advice({}) for book in books if book is not None}, issuer
        assert re.match(r"(right|mended|could not be checked: )", result), issuer
        assert source.startswith("<https://") or result.startswith("could not be checked: "), issuer


# Each has advice of its own, as what holds for the rest of its pack would send people to the wrong place.
ELSEWHERE = {
    "aws-lwa-client-secret": "Login with Amazon",
    "aws-mws-auth-token": "Seller Central",
    "aws-appsync-api-key": "AppSync",
    "aws-bedrock-api-key": "API keys for Amazon Bedrock",
    "gcp-hmac-secret": "Interoperability",
    "gcp-oauth-client-secret": "Clients",
    "supabase-personal-token": "Account",
    "supabase-jwt-secret": "JWT Keys",
    "slack-app-token": "App-Level Tokens",
    "github-app-installation-token": "DELETE /installation/token",
    "github-client-secret": "Client secrets",
    "authentik-secret-key": "AUTHENTIK_SECRET_KEY",
    "wireguard-private-key": "wg genkey",
    "nextauth-secret": "AUTH_SECRET",
    "azure-storage-key": "az storage account keys renew",
    "azure-cosmos-key": "az cosmosdb keys regenerate",
    "azure-search-key": "az search admin-key renew",
    "azure-container-registry-key": "az acr credential renew",
    "azure-service-bus-key": "Shared access policies",
    "azure-iot-key": "az iot hub policy renew-key",
    "azure-entra-client-secret": "App registrations",
    "azure-cognitive-key": "Keys and endpoint",
    "azure-publish-profile-password": "Reset publish profile",
    "laravel-app-key": "php artisan key:generate",
    "laravel-sanctum-token": "personal_access_tokens",
    "fireworks-api-key": "firectl api-key delete",
    "razorpay-key-secret": "end at once",
    "supabase-database-password": "Reset database password",
    "supabase-oauth-secret": "OAuth Apps",
    "openai-admin-key": "Admin keys",
    "anthropic-admin-key": "Admin keys",
    "anthropic-oauth-access-token": "Claude Code",
    "voyage-atlas-key": "Model API Keys",
    "together-legacy-key": "Regenerate",
    "qdrant-management-key": "Cloud management keys",
    "vault-batch-token": "cannot be revoked",
    "vault-approle-secret-id": "secret-id/destroy",
    "doppler-service-account-token": "Service accounts",
    "1password-secret-key": "Regenerate Secret Key",
    "1password-connect-token": "op connect token delete",
    "vercel-blob-token": "Blob store",
    "vercel-edge-config-token": "Edge Config",
    "vercel-protection-bypass": "Deployment Protection",
    "github-oauth-token": "Authorized OAuth Apps",
    "github-app-user-token": "Authorized GitHub Apps",
    "google-recaptcha-secret": "reCAPTCHA admin console",
    "docker-swarm-join-token": "docker swarm join-token --rotate",
    "digitalocean-spaces-secret": "Spaces",
    "mongodb-atlas-private-key": "atlas organizations apiKeys delete",
    "elastic-password": "elasticsearch-reset-password",
    "okta-client-secret": "Client secrets",
    "salesforce-security-token": "Reset my security token",
    "sentry-dsn": "Client Keys",
    "twitch-stream-key": "Primary stream key",
    "gitlab-agent-token": "Kubernetes clusters",
    "gitlab-ci-job-token": "cancel the job",
    "gitlab-deploy-token": "Deploy tokens",
    "apify-proxy-password": "Proxy",
    "netbird-setup-key": "peers that joined with it stay",
    "salt-api-token": "POST /logout",
    "sendbird-api-token": "master token",
}


def test_a_secret_that_is_taken_back_elsewhere_than_its_packs_others_says_where() -> None:
    books = {rule.id: runbook.load(runbook.of(rule)) for rule in texts.rules() if rule.id in ELSEWHERE}
    assert books.keys() == ELSEWHERE.keys()
    for rule, place in ELSEWHERE.items():
        book = books[rule]
        assert book is not None, rule
        assert place in book.first_step, rule


# Whose renewal leaves the old secret valid for a while, unless told otherwise.
LINGERING = {
    "payments/adyen": "24 hours",
    "payments/authorize-net": "24 hours",
    "payments/plaid": "stays valid",
    "payments/stripe-webhook-secret": "expiring now",
    "marketing/criteo": "15 minutes",
    "saas/apify": "24 hours",
    "saas/hubspot": "expire now",
    "saas/tomtom": "30 days",
    "devtools/launchdarkly": "expiring now",
    "database/mongodb-atlas-service-secret": "seven days",
    "secrets/1password": "ending now",
}


def test_a_renewal_that_leaves_the_old_secret_valid_says_so() -> None:
    for name, words in LINGERING.items():
        book = runbook.load(name)
        assert book is not None, name
        assert words in book.first_step, name


# What a rule's id says of its secret, and what the first step has to name then. A bot's webhook ends with the bot.
NAMED = {
    "hook": "hook|bot|sign|secret",
    "runner": "runner",
    "scim": "SCIM",
    "feed": "feed",
    "session": "session|log ?out|log out|password",
    "join-token": "join",
}


def test_a_first_step_names_the_kind_of_secret_that_the_rule_does() -> None:
    for rule in texts.rules():
        book = runbook.load(runbook.of(rule))
        assert book is not None, rule.id
        for kind, words in NAMED.items():
            if "/" in book.name and re.search(rf"(?:^|-){kind}(?:-|$)", rule.id):
                assert re.search(words, book.first_step, re.IGNORECASE), f"{rule.id}: {book.first_step}"


# The secrets at the centre: what breaks by revoking, what outlives it, or how to see that it is dead.
CENTRE = (
    *("supabase-key", "aws-key", "gcp-key", "azure-key", "github-token", "ai/openai", "ai/anthropic", "ai/huggingface"),
    *("ai/replicate", "ai/pinecone", "ai/qdrant", "secrets/vault", "secrets/doppler", "secrets/1password"),
    *(
        "hosting/vercel",
        "hosting/railway",
        "hosting/fly",
        "database/supabase-jwt-secret",
        "database/supabase-legacy-jwt",
    ),
)


def test_the_secrets_at_the_centre_say_what_revoking_breaks_or_leaves() -> None:
    consequence = re.compile(
        r"break|outlive|goes? on|ends all|ends with|ends the|dead|undone|irrevers|disabl", re.IGNORECASE
    )
    for name in CENTRE:
        book = runbook.load(name)
        assert book is not None, name
        kind = runbook.load("ai-key") if name.startswith("ai/") else None
        own = [note for note in book.notes if kind is None or note not in kind.notes]
        assert any(consequence.search(note) for note in own), name


def test_a_runbook_says_what_to_do_first_and_where() -> None:
    for name in runbook.names():
        book = runbook.load(name)
        assert book is not None, name
        assert book.name == name
        for sentence in (book.title, book.first_step, book.where, *book.notes):
            assert sentence.strip() == sentence, name
            assert "\n" not in sentence, name
            assert sentence, name
        assert len(book.advice({})) <= 300, f"{name}: it is shown in every alert"


STEPS = ("revoke", "replace", "deploy", "audit", "actions", "notify", "document", "review", "prevent")


OTHERS = {
    "access": ("explain", "contain", "extent", "rotate", "policy"),
    "canary": ("explain", "contain", "extent", "rotate", "again"),
    "rotation": ("new", "both", "verify", "remove", "document"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_runbook_of_something_else_than_a_leak_has_steps_of_its_own(name: str) -> None:
    book = runbook.load(name)
    assert book is not None
    assert tuple(step.id for step in book.steps) == OTHERS[name]
    assert all(step.done_when for step in book.steps)


def test_every_runbook_has_the_nine_steps_in_their_three_phases() -> None:
    books = [book for name in runbook.names() if name not in OTHERS and (book := runbook.load(name))]
    assert len(books) == len(runbook.names()) - len(OTHERS)
    for book in books:
        assert tuple(step.id for step in book.steps) == STEPS, book.name
        assert [step.phase for step in book.steps] == ["immediate"] * 3 + ["hour"] * 3 + ["day"] * 3
        assert book.steps[0].text.startswith(book.first_step)
    for step in (step for book in books for step in book.steps):
        assert step.within <= {"immediate": 1800, "hour": 3600, "day": 86_400}[step.phase]
        assert step.done_when
        for query in step.queries:
            assert query.url is None or query.url.startswith("https://")


# The systems that the mission names: each has a question ready for its own log.
ASKED = (
    *("supabase-key", "jwt-secret", "database-password", "ai-key", "aws-key", "gcp-key", "azure-key", "github-token"),
    *("slack-token", "payment-key", "private-key", "secrets/vault", "secrets/doppler", "hosting/vercel"),
    *("hosting/railway", "hosting/fly", "secrets/1password", "payments/stripe", "ci/npm", "ai/openai", "ai/anthropic"),
)


@pytest.mark.parametrize("name", ASKED)
def test_the_systems_in_view_have_a_query_for_their_audit_log(name: str) -> None:
    book = runbook.load(name)
    assert book is not None
    step = book.step("audit")
    assert step is not None
    assert step.queries, name


def test_the_text_has_every_step_with_its_deadline_in_order() -> None:
    book = runbook.load("github-token")
    assert book is not None
    text = book.text()
    assert text.splitlines()[0] == book.title
    assert f"First: {book.first_step}\n" in text
    assert re.findall(r"^(\d)\. (.+) \(within ([^)]+)\)$", text, re.MULTILINE) == [
        (str(number), step.title, within)
        for number, (step, within) in enumerate(
            zip(book.steps, (*["15 minutes"] * 2, "30 minutes", *["1 hour"] * 3, *["1 day"] * 3), strict=True), 1
        )
    ]


def test_the_documentation_names_the_nine_steps_with_their_deadlines() -> None:
    book = runbook.load("generic-secret")
    assert book is not None
    text = (ROOT / "docs/runbooks.md").read_text(encoding="utf-8")
    for number, step in enumerate(book.steps, 1):
        assert f"| {number}. `{step.id}` | {step.title} |" in text


OWN = """
title = "Ours"
first_step = "Ask ada."
where = "the safe"

[[step]]
id = "revoke"
within = "5m"

[[step]]
id = "call-ada"
title = "Call ada"
phase = "immediate"
within = "10m"
needs = ["revoke"]
"""


def test_a_book_of_ones_own_goes_before_the_shipped_one_and_keeps_the_steps_it_does_not_name(tmp_path: Path) -> None:
    (tmp_path / "aws-key.toml").write_text(OWN)
    (tmp_path / "ours.toml").write_text(OWN)
    runbook_store = runbook.RunbookStore(tmp_path)
    for name in ("aws-key", "ours"):
        book = runbook_store.load(name)
        assert book is not None
        assert book.title == "Ours"
        assert tuple(step.id for step in book.steps) == (*STEPS, "call-ada")
        assert book.steps[0].within == 300
        assert book.steps[0].claims == "revoked"
    assert runbook_store.names()[:2] == ("aws-key", "ours")
    assert runbook_store.names().count("aws-key") == 1
    assert runbook_store.load("github-token") == runbook.load("github-token")
    assert runbook_store.load("../ours") is None


def test_a_book_of_ones_own_for_a_vendors_kind_of_secret_goes_before_what_its_rules_say(tmp_path: Path) -> None:
    for kind in ("azure-key", "ai-key"):
        (tmp_path / f"{kind}.toml").write_text(OWN)
    runbook_store = runbook.RunbookStore(tmp_path)
    book = runbook_store.load("cloud/azure-cosmos-key")
    assert book is not None
    assert book.first_step == "Ask ada."
    assert runbook_store.load("ai/openai") == runbook.load("ai/openai"), "an AI key is anybody's: its issuer knows more"
    assert runbook_store.load("cloud/azure-devops-pat") == runbook.load("cloud/azure-devops-pat")


def test_a_book_may_take_another_ones_steps_or_none(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('base = "aws-key"\n' + OWN)
    (tmp_path / "b.toml").write_text(
        'base = ""\n' + OWN.replace('id = "revoke"\n', 'id = "revoke"\ntitle = "R"\nphase = "hour"\n')
    )
    runbook_store = runbook.RunbookStore(tmp_path)
    first, second = runbook_store.load("a"), runbook_store.load("b")
    assert first is not None
    assert second is not None
    audit = first.step("audit")
    assert audit is not None
    assert any("CloudTrail" in query.where for query in audit.queries)
    assert [step.id for step in second.steps] == ["revoke", "call-ada"]


def test_a_wrong_book_is_told_with_its_keys_and_the_shipped_one_stays(tmp_path: Path) -> None:
    (tmp_path / "aws-key.toml").write_text(OWN.replace("within", "witihn"))
    (tmp_path / "toml.toml").write_text("title = ")
    (tmp_path / "base.toml").write_text('base = "nobody"\n' + OWN)
    (tmp_path / "Bad Name.toml").write_text(OWN)
    runbook_store = runbook.RunbookStore(tmp_path)
    assert runbook_store.load("aws-key") == runbook.load("aws-key")
    _, problems = runbook_store.check("aws-key")
    assert [problem.key for problem in problems] == ["step[0].witihn", "step[1].within", "step[1].witihn"]
    assert "did you mean" in problems[0].message
    assert "invalid TOML" in runbook_store.check("toml")[1][0].message
    assert runbook_store.check("base")[1][0].key == "base"
    assert runbook_store.parse(tmp_path / "Bad Name.toml")[1]
    assert runbook_store.check("absent") == (None, [])


@pytest.mark.parametrize(
    "name",
    [
        *(None, "", "nobody", "../runbook", "../runbooks/github-token", "github-token.toml"),
        *("a" * 300, f"{'a' * 300}/b", f"ai/{'b' * 5000}", "nobody/else", "ai/nobody"),
    ],
)
def test_only_names_of_the_folder_are_opened(name: str | None) -> None:
    assert runbook.load(name) is None


def test_asking_for_what_there_is_not_takes_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runbook_store, "_REMEMBERED", 8)
    mine = runbook_store.RunbookStore(tmp_path)
    assert not any(mine.load(f"nothing-{number}") for number in range(100))
    assert len(mine._read) <= 8


# A word that stands for a fact → the label that an incident of these books can have.
PLACEHOLDERS = {
    "NAME": ("user", r"database-password$|elastic|influxdb-password|redis-auth$|supabase-database"),
    "ID": ("access_key_id", r"^aws-key$"),
    "VALUE": ("hashed_token", r"^github-token$"),
}


def test_no_placeholder_is_left_where_the_incident_has_the_fact() -> None:
    looked_at = dict.fromkeys(PLACEHOLDERS, 0)
    known = {"order": "contain"} | {label: "fact" for label, _ in PLACEHOLDERS.values()}
    for name in runbook.names():
        book = runbook.load(name)
        assert book is not None
        said = [book.advice(known), *(runbook.advised(note, known) for note in book.notes)]
        said += [runbook.fill(query, known, 0.0, 1.0) for step in book.steps for query in step.queries]
        for word, (_label, books) in PLACEHOLDERS.items():
            if re.search(books, name):
                looked_at[word] += 1
                assert not re.search(rf"\b{word}\b", " ".join(said)), f"{name}: {word}"
        assert "{label:" not in book.text() + " ".join(said), name
    assert all(looked_at.values())


def test_a_file_is_parsed_once_however_many_stand_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for kept in vars(runbook_store).values():
        if callable(getattr(kept, "cache_clear", None)):
            kept.cache_clear()
    parsed: list[str] = []
    loads = tomllib.loads
    monkeypatch.setattr(tomllib, "loads", lambda text: parsed.append(text) or loads(text))
    assert all(runbook_store.load(name) for name in runbook_store.names())
    files = [*Path(runbook.__file__).parents[1].glob("runbooks/**/*.toml"), *FOLDER.glob("*/*.toml")]
    assert len(parsed) == len(set(parsed)) == len(files)


def test_a_finding_does_not_wait_for_a_pack_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    (rule, *_) = load_rules(["ai/openai"])
    gone = replace(rule, source="packs/ai/renamed-by-an-upgrade.toml")
    assert runbook.of(gone) == gone.runbook

    def none_left(name: str) -> str:
        raise OSError(24, "Too many open files")

    name = runbook.of(rule)
    for known in (runbook_store._of, runbook_store._pack, runbook_store._family, runbook_store.load):
        known.cache_clear()
    with monkeypatch.context() as patched:
        patched.setattr(packs, "text", none_left)
        assert runbook.of(rule) == rule.runbook
        assert runbook_store.RunbookStore().load(name) is None
    assert runbook.of(rule) == name, "it is read once that is possible"
    assert runbook_store.RunbookStore().load(name) is not None
