"""Filters: pure functions that say why a value is not a secret, or None when they have nothing against it."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate, pairwise
from urllib.parse import unquote_to_bytes

from detectors.match.chance import amid_others, unwritten
from detectors.match.parts import BEGINS, secret_part
from detectors.match.quick import among, first, found, quick
from detectors.match.score import HEX, UUID, different, entropy, stands_for_password, surprise

__all__ = ["LABEL", "entropy", "looks_like_hash", "marked", "masked_before", "placeholder", "suspects", "words"]

# Values that specifications and manuals print, as 16 hex digits of their SHA-256: the examples of RFC 6749, 6750 and
# OAuth 1, of RFC 6455, SQLAlchemy's, and the fixed keys of Azure's storage and Cosmos DB emulators.
_PRINTED = frozenset(
    bytes.fromhex(one)
    for one in "0011cc25eb432071 00cf4c781dc37003 293257ab6495ebb1 2c31d647d5667058 2ff8b0fb93aca981 4c20e6f5cc11b937 "
    "53f5da0aaa93d64c 649e1f5c769e718b 6aa14267d94944e6 6c96130f130ab0d6 80f8b7c904d4a43f 9d03b692e941d5ac "
    "a35b81a7d7927b70 a71b359a87afde13 aa6547439583c3a2 ad71fb4165536675 b31adff4641f390d b8e148545b13c78b "
    "bb9b1163338b2a51 d0c01bc88bd8646c e9974c507d2a8021 ea9bdfd02c0c412c 7f44193a6edea087".split()
)

# Words that stand where a secret will be. Only such as random text practically never holds.
_MARKS = (
    rb"(?i)example|sample[_-]?(?:key|token|secret)|placeholder|redacted|censored|filtered|masked|hidden|removed|obfuscated"
    rb"|change[_-]?me|replace[_-]?(?:me|this|with)|(?:your|my|the|some|enter|insert|put)[_-](?:own[_-])?(?:\w{1,12}[_-])?"
    rb"(?:key|token|secret|pass|api|access|auth|client|account|user|db|database|here|id|bot|app|project)"
    rb"|(?:^|[_-])(?:set|put|fill|add|enter|insert|replace|change|update)[_-](?:me|this|here|it|in|with|before)(?:$|[_-])|^(?:must|to)[_-]be[_-]"
    rb"|^(?:foo|bar|baz|qux)\d{0,3}$|^hunter2$|^a\ssecret$|^(?:bad|wrong|invalid|incorrect)[_-]?(?:pass|pw|secret|token|key|cred)|your[_-]|^your\w{0,16}(?:pass|pwd|secret|token|key)"
    rb"|[_-]value[_-]?\d{0,4}$|-here\b|_here\b"
    rb"|(?:^|[_.-])(?:fake|dummy|bogus|mock[_.-])|(?:fake|dummy|bogus)[_-]|[_-]mock$|notreal|notasecret|not[\s_-](?:a|my)[\s_-]|(?-i:x{4}|X{4})|\*{3}|\.{3}|0{8}"
    rb"|^(?:tu|su|sua|seu|tuo|tua|votre|ton|deine?|ihre?|jouw|twoj)[_-]?(?:pass|clave|contra|senha|token|secre|geheim|chave|cle[_-]|mot[_-]?de|kennw|schl|api|app[_-]|wach|has)"
    rb"|^(?:una?|uma?|une|eine?)[_-](?:clave|contra|senha|pass|secre|chave|cle|mot|kenn)|[_-](?:aqui|ici|hier|anda|disini|segur[ao])$"
    rb"|^(?:su|sua|seu|tu|tua|mi|la|ta|votre|ton|mon|dein|mein|ihr)?[_-]?(?:contrase(?:n|\xc3\xb1)a|senha|passwort|kennwort|mot[_-]?de[_-]?passe"
    rb"|wachtwoord|heslo|has(?:l|\xc5\x82)o|(?:s|\xc5\x9f)ifre|lozinka)$"
    rb"|^(?:todo|fixme|tbd|n/a|empty|blank|omitted|unset|not_?set|nothing|null|none|nil|true|false|undefined|unknown|missing|invalid"
    rb"|required|optional|sample|base64|encrypted|hashed|plain_?text|clear_?text|stripped|sanitized|deleted|string|token|username"
    rb"|value\d*|secret_?ref|from[_-]env)$|deadbeef|foobar|lorem|^(?:blah){1,4}$|[_-]abc123$|test[_-]?(?:auth[_-]?)?(?:key|token|secret)"
)
# Nor will these be secrets, unless where people log in (`detectors.match.weak`).
_COMMON = (
    rb"|^(?:secret|password|passwd)\d{0,4}[_.-]?(?:test|admin|user|demo)\d{0,4}$"
    rb"|test[_-]?password|^(?:super|very)?[_-]?s[3e]cr[3e]t\d{0,3}$|^changeit$|^qwerty\d{0,6}$|^(?:senha|passwort|kennwort|wachtwoord|heslo|has(?:l|\xc5\x82)o|(?:s|\xc5\x9f)ifre|lozinka|clave)\d{1,3}$|^test(?:pass|pw|ing|user)\d{0,3}$|abcdefghij|0123456789|1234567890|bcdefghijk|qwertyuiop|asdfghjkl"
    rb"|^[a-z]{0,12}[0-9]{0,4}[_.-]?(?:password[\d!@#$%^&*._-]{0,8}|p[a@4][s$5]{2}w[o0]rd\d?[!@#$%^&*._-]{0,8})$"
)
_WORDS = _MARKS + _COMMON
# Four letters in a row stand in one of a hundred long random values; there it takes more of them.
_LONG = 128
_LONG_WORD = first(_WORDS.replace(b"x{4}|X{4}", b"x{8}|X{8}"))
# Expressions of templates, shells and programs: `${VAR}`, `$VAR`, `{{ x }}`, `<token>`, `%s`, `%(x)s`, `os.environ[`, …
_EXPRESSIONS = (
    rb"\$\{|\$\(|\{\{|\}\}|#\{|<%|%>|<[A-Za-z_$][\w .:-]{0,40}>|^<|^\${1,2}[A-Za-z_]\w*(?:$|->|\[)|^\$::\w"
    rb"|^%[A-Z]{4,}\b|^&lt;|^%(?:\[\d\])?[sdvqx]$|^%\(|^(?:self|cls)\)"
    rb"|^@[A-Za-z_-]+(?:$|[.(/:])|^\{[\w.]*\}|^[a-z]+(?:_[a-z]+)+\}|^[A-Za-z_]\w*(?:\.\w{1,40})+\}$|^\*\w{1,24}\*$|^(?:[A-Z][a-z]+){2,4}:$|^[a-z_]{2,24}:$"
    rb"|^\[[a-z_ -]+\]$|^%[A-Z_][A-Z0-9_]*%$|^[A-Z]+_[A-Z_]+%$|^@{1,2}[A-Z_]+@{1,2}$|\*\(Aq"
    rb"|^:[A-Za-z_]\w{1,40}$|^__[A-Z_]+__$|^ ?\+ .{1,80} \+ ?$"
    rb"|^(?:file|env|ssm|vault|secretref|keyvault|aws:secretsmanager):[\w/.-]|^env\.[A-Z_]+$|^(?:password|passwd|pass|secret|token)[}\]]$"
    rb"|^[A-Za-z_][\w.]{0,40}\(\)$|^(?:input|prompt|ENC)\(|^\.{0,2}/(?:run|etc|var|home|opt|mnt|secrets|srv)/[\w.@/-]{1,120}$"
    rb"|^[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+\($|^String[?!]?$"
    rb"|^(?:req|request|params|self|this|ctx|args|opts|options|settings|props)\.[A-Za-z_]\w*(?:[.(\[]|$)"
    rb"|^[A-Za-z_]\w{0,40}(?:\.\w{1,40}){0,6}\.(?:\w{0,24}(?i:passw(?:or)?d|passwd|secret|token)|result)$"
    rb"|^(?:[A-Z]+_)+(?:PASSWORD|PASS|PWD|SECRET|KEY|TOKEN|CREDENTIALS?)$"
    rb"|(?i:process\.env|os\.environ|getenv|system\.get|secrets?\.[a-z_]{2,}$|config\[|env\[|params\[|vault:|arn:aws:|^ref\+|op://)|^[A-Z][A-Z_]{2,30}=(?:\S|$)"
)
_MASKED = re.compile(rb"\[([a-z0-9][a-z0-9.-]{1,80}):[0-9a-f]{12}\]")
# Apart, as an automaton of both has a state for each place in a random value.
_EXPRESSION, _WORD = found(_EXPRESSIONS), first(_WORDS)
LABEL = 100  # bytes, longer than any such label
_MARKED = found(_MARKS + rb"|your|change|^new|dummy|fake")
_HASH_LENGTHS = frozenset((32, 40, 56, 64, 96, 128))
_HASH_CONTEXT = (
    rb"(?i)(?:sha-?(?:1|224|256|384|512)|md5|digest|checksum|hash|etag|commit|revision|\brev\b|integrity|fingerprint|"
    rb"blob|tree|parent|kernel\skey|image|layer|(?:trace|span|request|build)[_-]?id|correlation|uuid|guid|nonce|uses:\s[\w./-]{3,40}@|(?:^|[^q])\{$)"
    rb"[\"'\\\s:=@/_\[\]()-]{0,6}[\w-]{0,16}[\"'\\\s:=@/_\[\]()-]{0,4}$"
)
# Names whose value pages through a list or marks a request, and names of an identifier, not of the secret itself.
_PAGE_CONTEXT = (
    rb"(?i:(?:next|prev(?:ious)?|page|pagination|continuation|continue|forward|backward|cursor|resume|sync|scroll|change|skip"
    rb"|input|output|idempotency|lock|lease|fencing|trace|csrf|xsrf)[ _-]?(?:page|forward|backward)?[ _-]?token"
    rb"|cache[\w ]{1,24} keys?|\bdid:key|secrets?[_-]?arn|(?:key|credential)s?[\s_-]?id(?:[_-]?\d{1,2})?"
    rb"|\bsecretar(?:y|ies)|[\w.]/passwd|\brepository key|\broot key:\s{4,12}"
    rb"|secretsmanager:[^\s:]{0,24}:[^\s:]{0,16}:secret|AWS::\w{2,30}::\w{3,60}|alias/aws/\w{2,24})(?:\s(?:is|was)\b)?[\"'\\\s:=>+/\xe2\x80-\x9e-]{0,16}(?:str(?:ing)?\s?=\s?[\"'])?$"
    rb"|\w_t[ \t]{1,4}\*{0,2}$"  # a type of C
)
# Names that say something about a credential (`passwordPolicy`, `SECRET_FILE`), keys that open nothing (`public_key`,
# `cache_key`, .NET's `PublicKeyToken`), and the tokens of forms, which every page shows.
_ABOUT = (
    rb"(?i:(?:secret|token|passw(?:or)?d|pwd|passphrase|key|cred(?:ential)?s?|auth)[\w.-]{0,24}?"
    rb"(?:names?|type|kind|file|path|dir|ur[il]s?|endpoint|ttl|polic(?:y|ies)|label|title|hint|prompt|placeholder|message"
    rb"|description|alg|algo(?:rithm)?|scheme|encod(?:er|ing)|encryption|encrypted|[._-]enc|cipher_?text|version|format|length|size|count|limit|interval|timeout|expir(?:y|es|ation)"
    rb"|rotation|strategy|provider|method|mode|header|prefix|class|field|column|param(?:eter)?|alias|status|regex|pattern|check_?value"
    rb"|question|expression|nonce|fingerprint|thumbprint|digest|checksum|hash|sha\d{1,3}|md5|denom|[._-]iv|(?-i:Iv|[a-z]IV))"
    rb"|(?:passw(?:or)?d|pwd)[_.-]?salt|passw(?:or)?d (?:hash|digest|policy|hint)|tokeni[sz](?:ers?|ation)"
    rb"|un(?:recogni[sz]ed|expected)\stoken|\bpwd\.getpw\w{1,4}\(\\{0,3}|\bPublicKey\((?:\\n|\s){0,16}\\{0,3}|(?:en(?:crypt|cod)ed|hashed|sha\d{1,3}|md5)[\s_-](?:[a-z]{1,12}[\s_-]){0,2}passw(?:or)?d|(?:encrypted|sealed)[_-]?(?:passw(?:or)?d|secret|token|key|value|data)|wrapped[_-]?(?:secret|[dk]?e?key|[cdk]ek|data)|(?:pub(?:lic)?|verif(?:y|ying|ication)|gpg|pgp|mint|program|pool|sec-websocket|site|foreign|primary|partition|sort|row|cache|s3|object|routing|idempotency|index|i18n|translation"
    rb"|dedup\w{0,9}|lookup|host|message|queue|job|redis|lock|shard|group|record|feature|flag|config|map|dict|natural|composite|candidate"
    rb"|surrogate|registry|result|tenant|gae|document|application[_-]?server|publishable|answer|shift|ctrl|hot)"
    rb"[ _.-]?key(?:[_.-]?token)?|(?:\bfor|\bof|\bget|etag|duplicate|imported) keys?)(?:\[\w?\])?(?:\s(?:is|was)\b)?"
    rb"(?:[\"'`\\\s:=>\],+/|\xe2\x80-\x9e]{1,48}(?:(?:n\s{1,16})?(?:value|str(?:ing)?|default)[\"'`\\\s:=>]{1,16}|[\w.]{2,32}\([\"'`])?"
    rb"|\\?\"\s?:?\s?\{[^{}]{0,140}\b(?:default|value)[\"'`\\\s:=>]{1,16})$|\bsecure: ?[\"']?$|/ccc\?key=$"
    rb"|(?:word|phrase)>\{$|(?i:(?:csrf|xsrf|authenticity_|requestverification)[\w-]{0,12}token)(?:[\"'], ?[\"'])?"
    rb"[^\n,;&]{0,32}(?:\s|\\[rn]){0,8}$|\b(?i:iv)\s?[:=]\s?(?:[\w.]{2,20}\()?[\"'`]$"
    # Of templates, style sheets and digests.
    rb"|\{\{[-~]?\s{0,3}$|\bclass(?:Name)?=[\\\"']{1,2}[^\"'\n]{0,60}$|(?:\bh1|sha256):$"
)
# Unless what a call makes a digest of, or SQL does: that is still clear.
_STILL_CLEAR = found(
    rb"(?i:(?:hash|crypt)\w{0,24}\(\s?b?[\"'`]|\b(?:with|login|(?:user|role) \S{1,40}) encrypted password\s?[\"'])$"
)
# Names of what identifies or describes a thing of an issuer (`shodan_project_id`, `plivoChannel`), and of public keys.
_THINGS = (
    "id uuid guid user username org organization team project account workspace space channel tenant region zone "
    "site host domain address url uri endpoint email name slug version build release commit revision sha hash "
    "digest checksum etag tag image ref branch cursor signature sig fingerprint thumbprint nonce trace span "
    "request event job message thread index bucket queue topic cluster group database table collection page path "
    "file model label status type"
).split()
_THING_CONTEXT = (
    rb"(?:(?:(?i:[a-z0-9][_.-](?:%s))|[a-z0-9](?:%s|ID|UUID|URL)|(?i:public|publishable|pub|verify|site|search"
    rb"|pusher(?:[_.-]?app)?)[_.-]?[kK][eE][yY]|(?i:mixpanel[_.-]?(?:project[_.-]?)?token))"
    rb"[\"'`\\]{0,8}(?:\s{0,3}(?:=>|[:=>]{1,2})\s{0,3}|\s{1,3})|\b(?:request|session|event|job|trace|span|message) )"
    rb"[\"'`\\+/]{0,8}$" % ("|".join(_THINGS).encode(), "|".join(map(str.capitalize, _THINGS)).encode())
)
# `app_user:…@db`, as its password follows at once; `password for app_user: …`
_USER = found(rb"(?i:user(?:name)?|account|team|org)[:%]$|(?i:passw\w{2,6}|pwd|token) (?:for|of) [^\n:]{1,60}: ?$")
# What maps of people and their accounts mostly hold: ids.
_OF_PEOPLE = rb"(?i:users|accounts|logins)[\"'`\\\s:=>]{1,16}[{\[(][\"'`\\\s]{0,24}[\w.@-]{1,48}[\"'`\\\s:=>,]{1,16}$"
_ID = re.compile(rb"[0-9a-f-]+|[A-Z0-9-]+|[a-z][a-z0-9-]{1,15}[_|:][\w-]+")
_SECRET_ID = found(rb"(?i:secret[_.-]?id)\W{1,20}$")  # of Vault's AppRole
_REQUEST_CONTEXT = (
    rb"(?i)(?:client|request|import|export|work|lock|action|update|token)[_-]?token[\"'\\\s:=>]{0,16}$"
    rb"|\b(?i:guid|uuid|clsid|iid)_\w{1,60}[\"'\\\s:=>]{0,16}$"
)
# A column of passwords: what tables keep there are digests, if it looks like one.
_COLUMN = (
    rb"(?i:pass(?:w(?:or)?d)?|pwd)[\"'`]?\s?\)\s?(?i:values)\s?\([^()]{0,140}$"
    rb"|(?i:password|passwd)[\"']?(?:\s?[,;|\t][^\n\\]{0,60}|\s?\|?\s?)?(?:\r?\n|\\[rn])[^\n=]{0,140}[,;|\t]\s?[\"']?$"
)
_OF_IDENTIFIERS = (_THING_CONTEXT, _HASH_CONTEXT, _PAGE_CONTEXT, _REQUEST_CONTEXT, _OF_PEOPLE, _COLUMN)
_MAYBE_IDENTIFIES = quick(_OF_IDENTIFIERS)
_OF_A_THING, _OF_A_UUID = found(_THING_CONTEXT), quick((_HASH_CONTEXT, _PAGE_CONTEXT, _REQUEST_CONTEXT))
_OF_A_DIGEST, _OF_A_MAP = quick((_HASH_CONTEXT, _COLUMN)), found(_OF_PEOPLE)

# A tag with its digest, as container runtimes write images, looks like a user and a password.
_IMAGE = found(rb"(?:docker[\w-]{0,16}|oci|containerd|cri-o|podman)://[\w.-]{1,80}:$")

_SEPARATORS = b"-_.:/ "
_LOWERED = bytes(range(256)).lower()
_STAY = 128
_RUNS = (_STAY - 1, _STAY, _STAY + 1)
_SIGNS = (b"\\", b"*")  # before a value
_TWICE, _FIRST = (b"\x7f\x7f", b"\x81\x81"), frozenset(b"2345678cdefghijklmnopqrstuvwx")
_PERCENT = re.compile(rb"%[0-9A-Fa-f]{2}")
_BASE64 = re.compile(rb"[A-Za-z0-9+/]{6,}={0,2}")
_PRINTABLE = re.compile(rb"[\n -~]{6,}")


_OF_A_PAGE, _ABOUT_IT = found(_PAGE_CONTEXT), found(_ABOUT)
_MAYBE_SPEAKS = lru_cache(maxsize=2)(quick((*_OF_IDENTIFIERS, _ABOUT)))  # asked for in two places, mostly in vain


def _unquoted(text: bytes) -> bytes:
    return unquote_to_bytes(text) if _PERCENT.search(text) else text


@lru_cache(maxsize=256)
def _middles(size: int) -> int:
    return int.from_bytes(bytes([_STAY]) * size, "big")


def _steps(value: bytes, stride: int) -> bytes:
    """From each character of ASCII to the one so far behind it: _STAY to the same one, more to a higher one."""
    size = len(value) - stride  # at once, by a subtraction of numbers that have a digit for each
    ahead, behind = int.from_bytes(value[stride:], "big"), int.from_bytes(value[:size], "big")
    return (ahead + _middles(size) - behind).to_bytes(size, "big")


def _interleaved(value: bytes) -> bool:
    """A letter or digit, and the next ones in every other place: `c1d2e3`, `223344`. Only a value with such is called
    woven: runs in a row, such as `abc123`, people choose."""
    steps = _steps(value, 2) if value.isascii() else b""
    for twice in _TWICE:
        if steps.count(twice[:1]) < 2:
            continue
        for phase in (0, 1):
            at = steps[phase::2].find(twice)
            while at >= 0:
                if value[phase + 2 * at] in _FIRST:
                    return True
                at = steps[phase::2].find(twice, at + 1)
    return False


def _woven(value: bytes) -> bool:
    """Seven of ten characters stand in runs that count up or down, or stay, in each or in every other place."""
    value = value.translate(_LOWERED, _SEPARATORS)
    if len(value) > 2 and value.isascii():
        each, other = _steps(value, 1).count, _steps(value, 2).count
        alike = each(_STAY) + each(_STAY - 1) + each(_STAY + 1) + other(_STAY - 1) + other(_STAY + 1)
        if alike * 15 < len(value) * 7:
            return False  # a run holds at most three characters for two steps
    covered: set[int] = set()
    for stride, step in ((1, -1), (1, 0), (1, 1), (2, -1), (2, 1)):
        run = 0
        for at in range(len(value) - stride + 1):
            if at + stride < len(value) and value[at + stride] - value[at] == step:
                run += 1
                continue
            if run >= 2 * stride:
                covered.update(range(at - run, at + stride))
            run = 0
    return len(covered) * 10 >= len(value) * 7


def _sequence(value: bytes) -> bool:
    """Most of the value is one ascending, descending or constant run, or two characters, or a repeated short group."""
    size = len(value)
    if size < 6:
        return False
    # An alphabet does not grow with the length: of any from decimal digits up, a long random value has more than five.
    if different(value) <= max(2, min(5, size // 12)):
        return True
    if value.isascii() and max(map(_steps(value, 1).count, _RUNS)) * 2 > size:
        return True
    if size <= 128 and _interleaved(value.translate(_LOWERED)) and _woven(value):
        return True
    if _octets(value):
        return True
    # A repeated group starts again soon.
    if value.find(value[:2], 2, 12) < 0:
        return False
    return any(value[:n] * (size // n) == value[: size // n * n] for n in (2, 3, 4, 5, 6, 8, 10) if size >= 3 * n)


def _octets(value: bytes) -> bool:
    """`000102…`, `00112233…`"""
    if len(value) < 16 or len(value) % 2 or not HEX.fullmatch(value):
        return False
    octets = bytes.fromhex(value.decode("ascii"))
    steps = [(b - a) & 255 for a, b in pairwise(octets)]
    others = len({*steps}) - 1  # each at least one of the three of ten that may differ
    return others * 10 <= 3 * len(steps) and max(map(steps.count, {*steps})) * 10 >= 7 * len(steps)


def placeholder(value: bytes) -> str | None:
    """Why the secret part of `value` is a stand-in (`changeme`, `${VAR}`, `aaaaaaaa`, a masked value) or base64 of one,
    or None."""
    value = secret_part(_unquoted(value) if b"%" in value else value)
    reason = _stands_in(value)
    if reason is None and (plain := _in_base64(value)) and (within := _stands_in(secret_part(plain))):
        return f"in base64: {within}"
    return reason


def _in_base64(value: bytes) -> bytes:
    """The text that a short value says in base64, if it does: random bytes are hardly ever all printable."""
    if len(value) % 4 or len(value) > _LONG or not _BASE64.fullmatch(value):
        return b""
    plain = base64.b64decode(value)
    return plain if _PRINTABLE.fullmatch(plain) else b""


def _stands_in(value: bytes) -> str | None:
    word = _WORD(value)
    if word.lower() == b"xxxx" and (len(value) > _LONG or amid_others(value)):
        word = _LONG_WORD(value)
    if word:
        return f"placeholder word {word.decode('ascii', 'replace').lower()!r}"
    if _EXPRESSION(value):
        return "an expression or a template, not a value"
    if not value.isascii() and sum(map(len, _ABROAD.findall(value))) * 4 >= len(value) * 3:
        return "text of a language, not a value"
    if _printed(value):
        return "a value printed in a specification or a manual"
    if _sequence(value[2:] if value[:2] == b"0x" else value):
        return "repeated or sequential characters"
    return None


def _printed(value: bytes) -> bool:
    return hashlib.sha256(value).digest()[:8] in _PRINTED


def marked(value: bytes) -> bool:
    """Whether the value says itself that it stands in for another, whatever its place."""
    return _MARKED(value) or _EXPRESSION(value)


def masked_before(around: bytes, at: int, length: int) -> str | None:
    """The rule named by a label of `monitor mask`, `[rule:fingerprint]`, that the value at `at` is (part of).

    `around`: the value with up to LABEL bytes on either side.
    """
    for label in _MASKED.finditer(around) if b"[" in around else ():
        if label.start() < at + length and at < label.end():
            return label[1].decode("ascii")
    return None


# A password or a PIN may be all digits, where its name is just that, and they are no day or moment.
_PIN = found(rb"(?i:passw(?:or)?d|pwd|pass|passcode|pin)(?:\\{0,3}[\"'`])?[\\\"'`\s:=>(]{1,12}$")
_DATE = re.compile(rb"(?:19|20)\d\d(?:0\d|1[0-2])[0-3]\d|1[4-9]\d{8}(?:\d{3})?$")


def looks_like_hash(value: bytes, before: bytes) -> str | None:
    """Why `value` is a digest, a commit or a UUID rather than a key. `before`: text of its line left of it."""
    if b"%" in before:
        before = _unquoted(before)
    speaks = _MAYBE_SPEAKS(before) and _MAYBE_IDENTIFIES(before)
    if speaks and _OF_A_THING(before) and not _SECRET_ID(before) and not _USER(before):
        return "its name is that of what identifies or describes"
    if speaks and UUID.fullmatch(value):
        return "a UUID in the context of an identifier" if _OF_A_UUID(before) else None
    digest = len(value) in _HASH_LENGTHS and not value.strip(b"0123456789abcdefABCDEF")
    if speaks and digest and _OF_A_DIGEST(before):
        return "a digest: its name says so"
    if speaks and _ID.fullmatch(value) and _OF_A_MAP(before):
        return "an id in a map of people"
    if value.isdigit() and len(value) < 40 and (_DATE.match(value) or len(value) > 16 or not _PIN(before)):
        return "digits only"
    if b"://" in before and _IMAGE(before):
        return "the tag of an image"
    return None


_NAME = re.compile(
    rb"[A-Za-z]+(?:[ _./:-]+[A-Za-z]+)*[_./:-]?|[A-Za-z_][\w-]*(?:\.[A-Za-z_][\w-]*)+"
    rb"|[a-z]+(?:[A-Z][a-z]+)*\d?|[a-z]{1,6}\d(?:[A-Z][a-z]+){2,4}|[A-Z][A-Z_]+\d?|_+[A-Za-z]+(?:\d{1,3}[A-Za-z]+)?(?:_[A-Za-z]+)*|[a-z_]+="
)
# Letters with numbers in between, as names have them: `oauth2ClientId`, `ATTR_PMSX003_LEVEL`, `HIH4000/humidity`.
_NUMBERED = re.compile(rb"[A-Za-z_]{2,}(?:\d{1,5}(?:[A-Z]|[_./:-][A-Za-z])[A-Za-z_./:-]*){1,3}\d{0,4}")
_PATH = re.compile(
    rb"(?:[A-Za-z]:)?[./~]{0,2}/[\w.+@-]+(?:/[\w.+@-]*)+|[\w-]+(?:/[\w.-]+){2,}|[a-z]+://\S*|[\w-]+(?:/[\w.-]+)+\.(?:t|c|h|pl|pm|rb|sh|php|rst|md)|[\w./-]+\.(?:com|io|net|org|dev|py|js|ts|go|java|yml|yaml|json|pem|key|crt|txt|html|local|internal)(?:[:/].*)?"
)
_TYPES = re.compile(
    rb"(?i)(?:p(?:asswor|s?w)d_\w{0,8}|null|none|true|false|undefined|string|str|bytes|int|bool|optional|object|base64(?:url)?|_0x[0-9a-f]{1,8}|required|missing|invalid|incorrect|expired|empty|unset|unknown|default|disabled|enabled"
    rb"|ed25519|ed448|x25519|x448|secp\d{3}[kr]1|[hrep]s(?:256|384|512)|(?:hmac[_-]?)?s?sha-?\d{1,3}|pbkdf2[+_-]\w{3,12}|aes-?\d{3}(?:-?[cg][bc][cm])?|utf-?(?:8|16|32)(?:-?[bl]e)?|0b[01]{3,64}|uuid=[0-9a-f-]{4,36}|mrk-[0-9a-f]{32}|0x[0-9a-f]{1,16}[ul]{0,3}|0x[0-9a-f]{40}|prime\d{3}v\d|a\d{3}(?:gcm|kw|gcmkw)|(?:bug|issue)#\d{1,8}:?|r\d{4,8}"
    rb"|(?:mqtt|http|snmp|ntlm|ssl|d?tls|smb|imap|ldap|oauth|socks)v?\d[\d._]{0,4}|x?(?:salsa|chacha)20(?:-?poly1305)?|[a-z]{3,8}-md5|\d{4,12}u?l{1,2}|argon2(?:id?|d)|(?:sha\d{1,3}|md5|b2)sum|(?:client|user|org|conn)_0[0-9a-z]{25}|amzn1\.(?:account|ask)\.[\w.-]+|#[0-9a-f]{6}|sha-?\d{1,3}[:-][0-9a-f]{40,128}|hmac-sha256:[0-9a-f]{64}|\[{0,2}L?[a-z]@[0-9a-f]{5,8})\W?"
)
# Hashes of passwords, which other rules tell of, and classes of regular expressions.
_HASH = re.compile(
    rb"\$(?:2[abxy]?|argon2\w{0,2}|[1567yPHS]|S?MD5|CRYPT|apr1|scrypt|pbkdf2[\w-]*)\$.*|(?:pbkdf2|scrypt|bcrypt|argon2)[\w-]{0,12}[:$].*"
    rb"|\*[0-9A-F]{40}|md5[0-9a-f]{32}|(?:md5|sha\d{1,3}|crypt)\$[^$]{0,40}\$[0-9a-f]{16,128}|(?i:hmacsha\d(?:\+\d{3})?:[^:]{0,24}:.*|(?:digest:)?md5:[0-9a-f]{32})|unsalted_\w{3,6}\$\$?[0-9a-f]{16,64}|SCRAM-SHA-\d+\$.*|\{\w{2,12}\}.*"
)
# How public keys and certificates start in DER and in SSH's form, in base64.
_PUBLIC = re.compile(
    rb"^(?i:30(?:[0-7][0-9a-f]|81[0-9a-f]{2}|82[0-9a-f]{4})30[0-7][0-9a-f]06)|^(?:MFkwEwYHKoZIzj0CAQ|MHYwEAYHKoZIzj0CAQ|MIGbMBAGByqGSM49AgEG|MIIBIjANBgkqhkiG9w|MIICIjANBgkqhkiG9w|MIGfMA0GCSqGSIb3"
    rb"|MCowBQYDK2V|MII[A-F][\w+/]{2}CCA[\w+/]{2}gAwIBAgI|AAAAB3NzaC1|AAAAC3NzaC1lZDI1NTE5|AAAAE2VjZHNhLXNoYTI|AAAAI3NrLXNzaC1|AAAAIHNzaC1lZDI1NTE5"
    rb"|B[A-P][\w+/-]{85}=?$)"  # the last: a point of P-256, whole
)
# How texts start that are encrypted: Sealed Secrets, AWS KMS, Fernet, OpenSSL, Vault's transit, Spring, eyaml, Jasypt.
_ENCRYPTED = re.compile(
    rb"encrypted:[A-Za-z0-9+/]{20}|Ag[A-D][A-Za-z0-9+/]{93}|AQ[EI]CA[HR][A-Za-z0-9+/]{60}|gAAAAA[A-Za-z0-9_-]{90}|U2FsdGVkX1[89+/]|vault:v\d+:|\{cipher\}|ENC[\[(]"
    rb"|[A-Za-z0-9+/]{20,}={0,2}--[A-Za-z0-9+/]{16}(?:={0,2}--|$)"  # of Rails
)
_CLASSES = re.compile(rb"a-z|A-Z|0-9[^\w]|\\[dws][+*{]")
_ABROAD = re.compile(rb"[\xc2-\xf4][\x80-\xbf]+")
_TIME = re.compile(
    rb"(?:[\^~<>=]{0,2}v?|\d:)\d+\.\d+[\w.+~-]*|v\d+(?:alpha|beta|rc)\d*"  # a version
    rb"|\d{14}Z|\d{8}T\d{4,6}Z?|(?:[a-z]{2,3}:)?\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d.*)?|\d\d:\d\d.*"
    rb"|\d+(?:\.\d+){1,3}(?::\d+)?"
)

_PART = re.compile(rb"[A-Za-z0-9]{10,}")
_CHANGE = re.compile(rb"(?<=[a-z])[A-Z0-9]|(?<=[A-Z])[0-9]|(?<=[0-9])[A-Za-z]")
_ODD = 4.0


def _random(value: bytes, odd: float = _ODD) -> bool:
    """A part of ten or more letters and digits, dots left out, changes between upper case, lower case and digits as no
    name does, or the letters stand in no word."""
    for part in _PART.findall(value.replace(b".", b"")):
        digits = sum(48 <= c <= 57 for c in part)
        mixed = not part.islower() and not part.isupper() and digits
        if mixed and len(_CHANGE.findall(part)) * 10 >= len(part) * 3:
            return True
    return surprise(value)[0] > odd


def _many_digits(value: bytes) -> bool:  # a third of it, as no name has
    return sum(48 <= c <= 57 for c in value) * 3 >= len(value)


def _spelt(value: bytes) -> bool:
    """Half of it are letters of words."""
    return surprise(value)[1] * 2 >= len(value)


# Bits beyond those of words that letters may carry there: of a thousand names two carry more than four, of paths none.
_KINDS = (
    (_TYPES, math.inf, "a keyword or a number"),
    (_NAME, _ODD, "words or a name"),
    (_NUMBERED, 0.0, "a name with a number"),
    (_PATH, 10.0, "a path or an address"),
    (_TIME, 10.0, "a time or a version"),
)
_HASHED = "a hash of a password, not a value"
_OTHERS = (
    (_PUBLIC.match, "a public key or a certificate, not a secret"),
    (_ENCRYPTED.match, "an encrypted text, not a value"),
    (_HASH.fullmatch, _HASHED),
    (_CLASSES.search, "a regular expression, not a value"),
)
_UNPRINTED = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f-\xff]")  # not the escape that colours start with


def _broken(value: bytes) -> bool:
    """Whether it has control characters, or bytes of no UTF-8."""
    try:
        return value.isascii() or not value.decode()
    except UnicodeDecodeError:
        return True


def words(value: bytes, before: bytes = b"") -> str | None:
    """Why `value` is words, a name, a path, a call or a time rather than a value, or None. For generic rules only.

    `before`: text of its line left of it; its name may be that of a page, a request or an identifier.
    """
    for pattern, odd, what in _KINDS:  # first, as it is most that code says
        if pattern is _PATH and b"/" not in value and b"." not in value:
            continue
        if pattern.fullmatch(value) and (odd == math.inf or not _random(value, odd)):
            if pattern is _NUMBERED and (not _spelt(value) or _many_digits(value)):
                continue
            if pattern in (_NUMBERED, _NAME) and stands_for_password(value, before):
                continue
            if pattern is _PATH and unwritten(value):
                continue
            return f"{what}, not a value"
    if _UNPRINTED.search(value) and _broken(value):
        return "bytes that no text has"
    for asked, what in _OTHERS:
        if asked(value):
            return what
    if b"%" in before:
        before = _unquoted(before)
    if before[-1:] == b"\\" and value[:2] == b"u0":
        return "text of a language, not a value"  # the code of its first letter
    speaks = _MAYBE_SPEAKS(before)
    if speaks and _OF_A_PAGE(before):
        return "its name is that of a page, a request or an identifier"
    if speaks and _ABOUT_IT(before) and not _STILL_CLEAR(before[-64:]):
        return "its name speaks about a credential or is that of a public key"
    if before[-1:] == b"*" and len(value) == 40 and _HASH.fullmatch(b"*" + value):
        return _HASHED
    return None


# Steps that a value has two of which most are of one kind, or are in every other place.
_EVEN, _WOVEN = among((rb"\x7f\x7f|\x80\x80|\x81\x81",)), among((rb"(?s)\x7f.\x7f|\x81.\x81",))
_WORDED = among((), [pattern.pattern for pattern, _, _ in _KINDS])
_STANDING = (
    among((_PERCENT.pattern, _CLASSES.pattern, _UNPRINTED.pattern, _PUBLIC.pattern, b"^(?:%b)" % _ENCRYPTED.pattern)),
    among((_EXPRESSIONS,)),
    among((_WORDS,)),
    # Digits, what has parts, and base64 of characters that are printed.
    among(
        (b"^(?:0x|%b)" % b"|".join(map(re.escape, BEGINS)),),
        (_HASH.pattern, rb"[0-9]+", rb"(?:[CI-Za-f][A-Za-z0-9+/]{3})*[CI-Za-f][A-Za-z0-9+/]{1,3}={0,2}"),
    ),
)
_HEXES = among((), (HEX.pattern,))
_SPEAKS = among((*_OF_IDENTIFIERS, _ABOUT, rb"://|[\\*]$"))


def suspects(values: Sequence[bytes], before: Sequence[bytes]) -> tuple[set[int], set[int]]:
    """Which of many values, which are numbered, `words` may refuse by themselves, and which a filter may, by itself or
    by what stands before it: up to 64 bytes. All that are refused are among them; most are not, and cost a look at all
    together."""
    out = {number for number, value in enumerate(values) if b"\n" in value or not value.isascii()}
    values = [b"" if number in out else value for number, value in enumerate(values)]
    out.update(
        *(ask(values) for ask in _STANDING), _SPEAKS([_unquoted(near) if b"%" in near else near for near in before])
    )
    joined = b"\n".join(values) + b"\n\n"
    begins = [*accumulate((len(value) + 1 for value in values), initial=0)]
    for steps, runs in ((_steps(joined, 1), _EVEN), (_steps(joined.translate(_LOWERED), 2), _WOVEN)):
        out.update(runs([steps[at : behind - 1] for at, behind in pairwise(begins)]))
    out.update(number for number in _HEXES(values) if _octets(values[number]))
    for number, value in enumerate(values):
        few = len({*value[:12]}) < 6  # as many as all of it may have
        if few or value.find(value[:2], 2, 12) >= 0 or _printed(value):
            out.add(number)
    return _WORDED(values), out
