"""`monitor verify`: whether a secret still works, asked of who issued it."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.cli.common import (
    ConfigOption,
    command_app,
    complete_rules,
    fail,
    fail_if,
    paint,
    person,
    printable,
    private,
    read_config,
    usage,
    with_store,
)
from monitor.cli.kit import Format, FormatOption, emit_list, emit_one, field
from monitor.common.text import token_like
from monitor.common.wording import stamp
from monitor.config import state

if TYPE_CHECKING:
    from monitor.config.config import Config
    from monitor.domain.incidents import Validity
    from monitor.store import Store
    from monitor.verify.config import VerifyConfig
    from monitor.verify.probe import Probe
    from monitor.verify.verifier import ProbeVerdict

app = command_app()

_LONGEST = 64 * 1024  # characters of a value

ValueOption = Annotated[
    str | None,
    typer.Option(
        "--value-from",
        metavar="-",
        help="Take the secret from standard input; on a terminal it is asked for.",
        show_default=False,
    ),
]
PartOption = Annotated[
    list[str] | None,
    typer.Option(
        "--part",
        metavar="NAME=TEXT",
        help="What a request needs beside the secret, such as account=AC…; may be repeated. Never a secret.",
        show_default=False,
    ),
]


@app.command(
    epilog="Examples:\n\n  monitor verify 3f2a\n\n  monitor verify --value-from - --rule github-pat\n\n"
    "  monitor verify 3f2a --replacement --value-from -",
    help="Ask who issued a secret whether it still works, by a request that changes nothing. The answer, also what it "
    "may do and when it was last used, is stored with the incident. `monitor verify list` shows who can be asked. "
    "Exit code 0: refused; 1: valid, or not known; of a replacement 0: valid.",
)
def verify(
    *,
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="[ID|list]",
            help="An incident, whose secret is taken again from where it lies; or `list`: who can be asked.",
        ),
    ] = None,
    value_from: ValueOption = None,
    rule: Annotated[
        str | None,
        typer.Option(
            help="The rule it is a secret of. Default: what the rules take it for.",
            autocompletion=complete_rules,
            show_default=False,
        ),
    ] = None,
    part: PartOption = None,
    replacement: Annotated[
        bool,
        typer.Option(
            "--replacement",
            help="The value given is the new secret, which replaces that of the incident: where it works, the step of "
            "the runbook that waits for it is done.",
        ),
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Ask, though `verify.providers` does not name the issuer.")
    ] = False,
    form: FormatOption = "text",
    config: ConfigOption = None,
) -> None:
    settings = read_config(config)
    if what == "list":
        _list(settings.verify, form)
        return
    usage(
        (
            what is None and value_from is None,
            "name an incident, or say --value-from - and give the secret on standard input",
        ),
        (
            replacement and (what is None or value_from is None),
            "--replacement takes an incident, and the new secret on standard input: --value-from -",
        ),
    )
    parts, value = parts_from(part or []), value_of("--value-from", value_from)
    if what is not None:
        verdict, rule = _ask_about(settings, what, value, parts, yes=yes, replacement=replacement)
        show(verdict, rule, form, wanted="valid" if replacement else "refused")
        return

    assert value is not None
    verdict, rule = ask_once(settings, value, rule, parts, yes=yes)
    show(verdict, rule, form)


def ask_once(
    settings: Config, value: str, rule: str | None, parts: Mapping[str, str], *, yes: bool, taken: bool = False
) -> tuple[ProbeVerdict, str]:
    """What the issuer says of a value that no incident is about, and the rule it was taken for a secret of. `taken`:
    see `Verifier.ask`."""
    rule = rule or _rule_of(settings, value)
    probe = _probe(rule)
    if not settings.verify.allows(probe.provider):
        settings = _allowed(settings, probe, yes=yes)
    return asyncio.run(_ask(settings, rule, value, parts, taken=taken)), rule


def value_of(option: str, given: str | None) -> str | None:
    """The secret, from standard input; on a terminal asked for and not shown. None: the option was not given."""
    if given is None:
        return None
    fail_if(given != "-", f"{option} takes - alone: the secret is read from standard input", 2)
    try:
        value = private("secret") if sys.stdin.isatty() else sys.stdin.read(_LONGEST).strip()
        value.encode()  # in a locale such as C.UTF-8 what is no text comes through until here
    except UnicodeError:
        fail("what comes on standard input is no text in UTF-8: it is not asked about", 2)
    fail_if(not value, "there is nothing on standard input to ask about", 2)
    return value


def _ask_about(
    settings: Config, ref: str, value: str | None, parts: Mapping[str, str], *, yes: bool, replacement: bool
) -> tuple[ProbeVerdict, str]:
    """Ask about a stored incident, and keep the answer with it; or about the secret that replaces its own."""
    from monitor.scanning.redact import Redactor
    from monitor.site import build_engine
    from monitor.verify.asker import Asker, WrongValueError
    from monitor.verify.verifier import Verifier

    known = with_store(settings, lambda store: store.incidents.get(ref))
    probe = _probe(known.rule)
    fail_if(
        known.confidence == "low",
        "its rule is of low confidence: it may be no secret at all, and is not sent anywhere",
        2,
    )
    if not settings.verify.allows(probe.provider):
        settings = _allowed(settings, probe, yes=yes)
    key = state.key(settings)
    engine = build_engine(settings)
    verifier = Verifier(settings.verify, redact=Redactor(engine.worker()))

    async def ask(store: Store) -> ProbeVerdict:
        asker = Asker(store, verifier, key, lambda: engine, lambda: settings)
        if replacement and value is not None:
            return await asker.ask_replacement(known, value, actor=person(), parts=parts)
        return await asker.ask(known, actor=person(), value=value, parts=parts)

    try:
        return with_store(settings, ask), known.rule
    except WrongValueError as error:
        fail(str(error), 2)


def show(verdict: ProbeVerdict, rule: str, form: Format, wanted: Validity = "refused") -> None:
    """Print a verdict; ends the command with 1 unless it is the one that is wanted."""
    good = "green" if verdict.status == wanted else "red"
    emit_one(as_dict(verdict, rule), form, lambda row: _lines(verdict, good))
    fail_if(verdict.status != wanted)


def as_dict(verdict: ProbeVerdict, rule: str) -> dict[str, Any]:
    at = stamp(verdict.asked_at, "milliseconds")
    return {
        "rule": rule,
        "validity": verdict.status,
        "provider": verdict.provider,
        "reason": verdict.reason,
        "asked_at": at,
        "facts": dict(verdict.facts),
    }


def _lines(verdict: ProbeVerdict, good: str) -> Iterable[str]:
    colour = None if verdict.status == "unknown" else good
    yield f"{paint(verdict.status, colour, bold=True)}: {printable(verdict.reason)}"
    yield from (field(name.replace("_", " "), text) for name, text in verdict.facts.items())


def _list(settings: VerifyConfig, form: Format) -> None:
    from monitor.verify.probe import load_probes
    from monitor.verify.verifier import Verifier

    verifier = Verifier(settings)
    probes = sorted(load_probes(), key=lambda probe: probe.provider)
    rows = [
        {
            "provider": probe.provider,
            "name": probe.name,
            "allowed": settings.allows(probe.provider),
            "host": verifier.where(probe),
            "rules": list(probe.rules),
            "needs": dict(probe.parts),
            "facts": list(probe.facts),
            "docs": probe.docs,
            "errors": probe.errors,
            "evidence": probe.evidence,
            "unasked": probe.unasked,
        }
        for probe in probes
    ]
    columns = (
        "provider",
        ("allowed", lambda row: "never" if row["unasked"] else row["allowed"]),
        "host",
        ("rules", lambda row: " ".join(row["rules"])),
    )
    notes = [] if settings.providers else ["nobody is asked: verify.providers is empty"]
    emit_list(rows, form, columns, nothing="there are no probes", notes=notes)


def parts_from(given: Sequence[str]) -> dict[str, str]:
    parts = {}
    for one in given:
        name, equals, text = one.partition("=")
        usage(
            (
                not equals or not text or not re.fullmatch(r"[a-z][a-z0-9_]*", name),
                "--part takes NAME=TEXT, such as --part tenant=example.org",
            ),
            (
                name in ("value", "secret_key", "token", "password") or (token_like(text) and name.endswith("key")),
                "--part takes no secret: others on this host see arguments; give it on standard input",
            ),
        )
        parts[name] = text
    return parts


def _rule_of(settings: Config, value: str) -> str:
    """What the rules take a value for. Ends the command where they do not know it."""
    from detectors.match.engine import Engine
    from monitor.site import read_rules

    raw = value.encode()
    matches = Engine.build(read_rules(settings), settings.state_dir / "cache").worker().scan(raw)
    rules = [match.rule.id for match in matches if match.secret == raw or len(matches) == 1]
    fail_if(not rules, "no rule knows this by its looks alone; say which it is of with --rule", 2)
    return rules[0]


def _probe(rule: str) -> Probe:
    from monitor.verify.probe import probe_of

    probe = probe_of(rule)
    if probe is None:
        fail(f"there is no probe for {printable(rule)}; `monitor verify list` shows those there are", 2)
    return probe


def _allowed(settings: Config, probe: Probe, *, yes: bool) -> Config:
    """The configuration with this one provider allowed, if a person says so."""

    from monitor.verify.verifier import Verifier

    where = Verifier(settings.verify).where(probe)
    if not yes:
        if not sys.stdin.isatty():
            message = f'"{probe.provider}" is not in verify.providers; --yes sends the secret to {where} this once'
            fail(message, 2)
        typer.confirm(
            f"Send the secret to {probe.name} at {where}, to ask whether it still works?", abort=True, err=True
        )
    providers = (*settings.verify.providers, probe.provider)
    return replace(settings, verify=settings.verify.model_copy(update={"providers": providers}))


async def _ask(settings: Config, rule: str, value: str, parts: Mapping[str, str], *, taken: bool) -> ProbeVerdict:
    from monitor.site import make_redactor
    from monitor.verify.verifier import Verifier

    redact = await asyncio.to_thread(make_redactor, settings)
    return await Verifier(settings.verify, redact=redact).ask(rule, value, parts, taken=taken)
