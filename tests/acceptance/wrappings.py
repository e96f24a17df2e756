"""Lines as loggers write them: a credential behind its name beside a secret that is found, wrapped in encodings."""

from __future__ import annotations

import base64
import html
import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from urllib.parse import quote, quote_plus

from detectors.rules.template import expand

__all__ = ["ENCODINGS", "LOGGERS", "NAMES", "Wrapped", "lines", "written"]

# How a logger writes a message {m} and a field: {n}, its name, and {v}, its value; {q} in quotes of JSON, {r} in
# Python's, {s} with the slashes of PHP, {p} as a parameter. <…> are codes of a terminal.
LOGGERS = {
    "logging": "2026-01-02 03:04:05,678 ERROR app.auth: {m} {{'{n}': {r}}}",
    "structlog": "<2>2026-01-02T03:04:05.678Z<0> [<31><1>error    <0>] <1>{m:50}<0> <36>{n}<0>=<35>{r}<0>",
    "rich": "<2;36>[03:04:05]<0> <31>ERROR<0> {m} <33>{n}<0>=<35>{r}<0> auth.py:12",
    "logfmt": 'time=2026-01-02T03:04:05.678Z level=error msg="{m}" {n}={q}',
    "logrus": "<31>ERRO<0>[0012] {m:44} <31>{n}<0>={q}",
    "zerolog": '{{"level":"error","time":"2026-01-02T03:04:05.678Z","{n}":{q},"message":"{m}"}}',
    "zap": '2026-01-02T03:04:05.678Z\tERROR\tauth/login.go:12\t{m}\t{{"{n}": {q}}}',
    "pino-pretty": "[03:04:05.678] <31>ERROR<39> (12): <36>{m}<39> <35>{n}<39>: {q}",
    "logback": '2026-01-02 03:04:05.678 ERROR [main] c.e.Login - {m} [{n}="{v}"]',
    "rails": 'E, [2026-01-02T03:04:05.678 #12] ERROR -- : {m} Parameters: {{"{n}"=>"{v}"}}',
    "monolog": '[2026-01-02T03:04:05+00:00] app.ERROR: {m} {{"{n}":{s}}} []',
    "syslog": '<11>1 2026-01-02T03:04:05.678Z host app 12 - [login@1 {n}="{v}"] {m}',
    "access": '192.0.2.7 - - [02/Jan/2026:03:04:05 +0000] "GET /in?m={mp}&{np}={p} HTTP/1.1" 401 12',
}
NAMES = (
    "password", "passwd", "pwd", "DB_PASSWORD", "userPassword", "smtp_pass", "passphrase", "secret", "client_secret",
    "api_key", "apiKey", "access_key", "access_token", "authToken", "refresh_token", "credential", "JWT_SECRET",
    "encryption_key", "Kennwort", "Passwort", "contraseña", "mot_de_passe", "senha", "parola", "wachtwoord", "hasło",
    "пароль", "密码", "パスワード", "비밀번호",
)  # fmt: skip
ENCODINGS: dict[str, Callable[[str], str]] = {
    "none": lambda text: text,
    "json": lambda text: json.dumps({"log": text}),
    "json, not of ASCII": lambda text: json.dumps({"log": text}, ensure_ascii=False),
    "percent": lambda text: f"GET /x?q={quote(text, safe='')}&n=1 200",
    "form": lambda text: f"body: q={quote_plus(text)}&n=1",
    "html": lambda text: f"<td>{html.escape(text)}</td>",
    "base64": lambda text: f"blob={base64.b64encode(text.encode()).decode()}",
    "hex": lambda text: f"blob={text.encode().hex()}",
}
_WORDS = ("Tangerine", "kettle", "Harbour", "lantern", "Meadow", "copper", "Thimble", "walnut", "Saffron", "gravel")


@dataclass(frozen=True)
class Wrapped:
    """`name`: of logger, name and encodings; `value`: what must not be seen; `token`: what is found beside it."""

    name: str
    text: str
    value: str
    token: str


def _value(random: Random) -> str:
    """As people choose them, or a program."""
    a, b, c = random.sample(_WORDS, 3)
    n = random.randrange(1000, 9999)
    made = (f"{a}{b}{n}", f"{a}-{b}-{n}", f"{a}!{n}&{b}", f"{a} {b} {c} {n}", f"{n}/{a}+{b}")
    return random.choice((*made, expand("{alnum:14}", random.random())))


def written(logger: str, message: str, name: str, value: str) -> str:
    """As that logger writes a message and a field, in colour where it does."""
    forms = {"q": json.dumps(value), "r": repr(value), "s": json.dumps(value).replace("/", r"\/")}
    parameters = {"mp": quote_plus(message), "np": quote(name), "p": quote_plus(value)}
    text = LOGGERS[logger].format(m=message, n=name, v=value, **forms, **parameters)
    for code in ("0", "1", "2", "2;36", "31", "33", "35", "36", "39"):
        text = text.replace(f"<{code}>", f"\x1b[{code}m")
    return text


def lines(seed: int, share: float = 1.0) -> Iterator[Wrapped]:
    """Each logger with each name in each pair of encodings, or such a share of them, each with another value."""
    random = Random(seed)
    for logger, name, outer, inner in itertools.product(LOGGERS, NAMES, ENCODINGS, ENCODINGS):
        value, token = _value(random), expand("ghp_{alnum:30}{crc32}", random.random())
        if random.random() < share:
            text = written(logger, f"login of ada with {token} refused", name, value)
            wrapped = ENCODINGS[outer](ENCODINGS[inner](text))
            yield Wrapped(f"{logger} · {name} · {inner} in {outer}", wrapped, value, token)
