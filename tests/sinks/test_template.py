from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given

from monitor.common.notification import Notification
from monitor.common.text import clean
from sinks import template as module
from sinks.payload import payload
from sinks.template import Template, UrlTemplate, fields_of, pointed
from tests.fakes.notifications import EXAMPLES, RUN, event, incident, notification, notifications


def filled(template: str, message: Notification | None = None, **extra: Any) -> Any:
    message = message or notification(incident(labels={"a.b": "dotted", "plain": "x"}))
    return json.loads(Template.parse(template).render({**fields_of(payload(message), "key", "T-1"), **extra}))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{severity}", "critical"),
        ("a {severity}: {incident.occurrences}", "a critical: 17"),
        ("{incident.occurrences}", 17),
        ("{drill}", False),
        ("{drill} ", "false "),
        ("{incident.owner}", None),
        ("<{incident.owner}>", "<>"),
        ("{incident.locations.0.line}", 1042),
        ("{incident.locations.7.line}", None),
        ("{incidents.0.locations.1.path}", "/var/log/app/worker.log"),
        ("{incident.run.step}", None),
        ("{incident.labels}", {"a.b": "dotted", "plain": "x"}),
        ("{incident.labels.a.b}/{incident.labels.plain}/{incident.labels.none}", "dotted/x/"),
        (" {incident.labels}", ' {"a.b":"dotted","plain":"x"}'),
        ("{key} {receipt}", "key T-1"),
        ("{{severity}} }}{{ {{{severity}}}", "{severity} }{ {critical}"),
        ("{title:10}", "GitHub pe…"),
        ("", ""),
        ("\\u00e9\\n", "é\n"),
    ],
)
def test_a_placeholder_is_filled_by_type(text: str, value: object) -> None:
    assert filled(f'{{"a": ["{text}"]}}') == {"a": [value]}


def test_what_is_no_text_stays() -> None:
    assert filled('{"a": [1, 1.5, true, null, {}]}') == {"a": [1, 1.5, True, None, {}]}
    assert filled('"{incident.id}"') == "7f3a9c2e"


def test_nothing_begins_a_mention_or_a_link() -> None:
    message = event(title="@all [x](http://evil.example) <!channel> `code` {code} a_b.log")
    said = filled('"{title!plain}"', message)
    assert "\u200b".join(("@", "all [", "x]", "(http")) in said
    assert said.replace("\u200b", "") == message.title
    assert "a_b.log" in said  # paths can be copied
    assert filled('"{title!plain:5}"', message) == "@\u200bal…"


def test_documents_are_lines_once_for_each() -> None:
    fields = [{**fields_of(payload(notification()), "", ""), "host": host} for host in ("a", "b\n")]
    two = Template.parse('\n{"n":\n1}\n\n{"host": "{host}"}\n')
    assert two.render(*fields) == b'{"n":1}\n{"host":"a"}\n{"n":1}\n{"host":"b\\n"}\n'
    assert Template.parse("{}").render(*fields) == b"{}\n{}\n"
    assert Template.parse(" {} ").render(fields[0]) == b"{}"


@EXAMPLES
@given(notifications)
def test_no_value_leaves_its_text(message: Notification) -> None:
    whole = payload(message)
    document = '{"title": "{title}", "at": ["<{text!plain}>", "{key}", "{incident}"], "fixed": "{{title}}"}'
    made = json.loads(Template.parse(document).render(fields_of(whole, clean(message.key), "")))
    assert list(made) == ["title", "at", "fixed"]
    assert made["title"] == whole["title"]
    assert made["fixed"] == "{title}"
    assert made["at"][0].replace("\u200b", "") == f"<{whole['text']}>".replace("\u200b", "")
    assert made["at"][2] == (whole["incidents"][0] if whole["incidents"] else None)
    address = UrlTemplate.parse("https://tickets.example.org/a/{title}/b?c={text}").filled(fields_of(whole, "", ""))
    assert address is None or address.isascii()
    if address:
        assert address.removeprefix("https://tickets.example.org/a/").count("/") == 1
        assert address.count("?") == 1


def test_only_what_fills_an_address_may_not_be_dots() -> None:
    address = UrlTemplate.parse("https://tickets.example.org/{key}.{receipt}")
    assert address.filled({"key": "a/b", "receipt": "c"}) == "https://tickets.example.org/a%2Fb.c"
    for key in ("", ".", ".."):
        assert address.filled({"key": key, "receipt": "c"}) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "must not be empty"),
        (" \n", "must not be empty"),
        ("{} x", "line 1, column 4"),
        ('{"a": "{"}', "at /a: a brace alone"),
        ('{"a": "}"}', "at /a: a brace alone"),
        ('{"a": "{}"}', "is no placeholder"),
        ('{"a": "{title!upper}"}', "is no placeholder"),
        ('{"a": "{title:0}"}', "is no placeholder"),
        ('{"a": "{title.__class__}"}', "there are: none"),
        ('{"a": "{incident.locations.path}"}', "there are: 0"),
        ('{"a": "{incident.ownr}"}', "did you mean {incident.owner}?"),
        ('{"a": {"{title}": 1}}', "at /a: a placeholder may stand in a value"),
        ('{"a": 1' + "0" * 30 + "}", "too large"),
        ('{"a": "\\ud800"}', "half a character"),
        ("[" * 100_000, "nested too deeply"),
        (3, "must be a text"),
    ],
)
def test_a_template_that_is_wrong_says_where(text: object, said: str) -> None:
    with pytest.raises(ValueError) as caught:
        Template.parse(text)
    assert said in str(caught.value)
    assert caught.value.__context__ is None


def test_a_secret_in_a_template_is_not_repeated() -> None:
    value = "a1b2" * 8
    for text in (f'{{"{value}": "{{{value}}}"}}', f'{{"a": {value}'):
        with pytest.raises(ValueError) as caught:
            Template.parse(text)
        assert value not in str(caught.value)


def test_fields_that_are_used_are_known() -> None:
    template = Template.parse('{"a": ["{title}", {"b": "x {receipt}"}]} "{incident.id}"')
    assert template.uses == {"title", "receipt", "incident"}


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("/a", {"b/c": [1, {"d~": None}]}),
        ("/a/b~1c/0", 1),
        ("/a/b~1c/1/d~0", None),
        ("/a/b~1c/9", None),
        ("/x/y", None),
    ],
)
def test_an_answer_is_read_by_pointers(pointer: str, value: object) -> None:
    assert pointed({"a": {"b/c": [1, {"d~": None}]}}, pointer) == value
    assert pointed(None, pointer) is None
    assert pointed("text", pointer) is None


def test_the_fields_that_are_known_are_those_of_a_payload() -> None:
    def names(value: Any) -> Any:
        if isinstance(value, list):
            return [names(one) for one in value[:1]]
        return {key: names(one) for key, one in value.items()} if isinstance(value, dict) else None

    whole = fields_of(payload(notification(incident(run=RUN))), "", "")
    assert names(whole) == names(module._KNOWN)
