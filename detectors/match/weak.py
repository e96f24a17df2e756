"""Passwords that people chose badly. Alone `password123` stands in for one; beside its user or its host it is one.

What the filters and the score refuse is looked at once more here, and told with low confidence where its place speaks
for it. That is the place of a password (the name of one, a login by position, SQL's or a command's), and for words with
a number that of a secret which signs.
"""

from __future__ import annotations

import re

from detectors.match.filters import marked
from detectors.match.quick import quick

__all__ = ["weak"]

_PLACE = re.compile(
    rb"(?:(?i:passw(?:or)?d|passphrase|passwort|pass|pwd|pswd|pw|psk|senha|contrase(?:n|\xc3\xb1)a"
    rb"|\xe5\xaf\x86\xe7\xa0\x81|\xeb\xb9\x84\xeb\xb0\x80\xeb\xb2\x88\xed\x98\xb8|\xe3\x83\x91\xe3\x82\xb9\xe3\x83\xaf\xe3\x83\xbc\xe3\x83\x89|\xd0\xb0\xd1\x80\xd0\xbe\xd0\xbb\xd1\x8c"
    rb"|(?i:has(?:l|\xc5\x82)o|wachtwoord|kennwort|l(?:o|\xc3\xb6)senord|(?:s|\xc5\x9f)ifre|heslo"
    rb"|salasana|adgangskode|mot[_ ]de[_ ]passe|kata[_ ]sandi)"
    rb"|(?i:m)\xe1\xba\xadt kh\xe1\xba\xa9u)"
    rb"[\w.\-]{0,16}(?:\(\))?[\\\"'`\]\s)]{0,40}(?:value\s?=\s?)?"
    rb"(?:(?:(?:is|was)\s|=>|:=|[=!]==?|\|\||\?[?:]|\xef\xbc\x9a|[:=,(>]|\.(?:equals|eq|toBe|toEqual|send_?[kK]eys|type|fill|setValue)\()[\s*]{0,4})?(?:[\w.:$]{2,32}\(\s?)?"
    rb"|\((?:[^()\n]{0,80},\s?)?[\\\"'`]{1,4}[\w.@+-]{2,60}[\\\"'`]{1,4}\s?,\s{0,2}"
    rb"|SecureString(?: -String)?\s|(?i:hash|crypt)\w{0,10}\(\s?|(?i:identified\s(?:with\s\S{1,40}\s)?by)\s|\s-[pP]\s?"
    rb"|\s-u [\"']?[\w.@+-]{2,60}:"
    rb"|\bhtpasswd -\w{0,4}b\w{0,4} \S{1,80} [\w.@-]{1,40} |\bnet(?:\.exe)? user [\w.$-]{1,40} "
    rb"|ncoder(?:\(\))?\.encode\(\s?|anager\.\w{2,16}Async\([^()\"\n]{1,80}, ?)"
    rb"[bu@N]?[\\\"'`]{0,4}$"
)
_MAYBE_PLACE = quick((_PLACE,))
_LOGIN = re.compile(rb"[\w.%+-]{1,60}:$")
_ENCODED = re.compile(rb"(?:echo -n|printf) [\\\"']{1,4}[\w.@%+-]{1,60}:$")
# Who logs in, or where, or a call that makes a password of what it is given.
_COMPANY = re.compile(
    rb"(?i:\buser(?:name|_?id)?(?:\b|_)|[_.-]user(?:name)?\b|\buname[\"']?\s?[:=]|\b(?:wifi_?)?ssid\b|(?:\b|_)(?:root|sa|admin|sysdba)_pass(?:w(?:or)?d)?\b|[a-z](?-i:User(?:name)?)\b|\blogin\b|\buid\b|e-?mail|\bhost\b|\s-u\s?[\"']?\w)"
    rb"|@[\w-]{2,60}\.[a-z]{2}|\bstoreFile\b|\bkey_?[aA]lias\b|\bhtpasswd -|\bnet(?:\.exe)? user "
    rb"|anager\.\w{2,16}Async\("
    rb"|\xe7\x94\xa8\xe6\x88\xb7|\xe8\xb4\xa6\xe5\x8f\xb7|\xe3\x83\xa6\xe3\x83\xbc\xe3\x82\xb6|\xec\x82\xac\xec\x9a\xa9\xec\x9e\x90|\xd0\xbb\xd0\xbe\xd0\xb3\xd0\xb8\xd0\xbd"
    rb"|(?i:usuario|utilisateur|identifiant|benutzer|gebruiker|anv\xc3\xa4ndar|pengguna|u(?:z|\xc5\xbc)ytkownik|kullan(?:i|\xc4\xb1)c|k\xc3\xa4ytt\xc3\xa4j)"
    rb"|(?i:t)\xc3\xa0i kho\xe1\xba\xa3n"
    rb"|(?i:passw|pwd)\w{0,12}(?:\(\))?[\"'\])]{0,4}\.(?:send_?[kK]eys|type|fill|setValue)\(\s?[\"'`]$"
    rb"|\.(?:type|fill|setValue)\(\s?[\"'`][^\n]{0,40}(?i:passw|pwd)[^\n,]{0,16},\s?[\"'`]$"
    rb"|(?:SecureString|[hH]ash(?:Sync|pw|Password)?|\bbcrypt|::make|encode"
    rb"|(?:[sS]et|[wW]ith)_?[pP]ass[wW]ord)[ (]{1,3}[\\\"'`]{1,4}$"
    rb"|(?i:identified\s(?:with\s\S{1,40}\s)?by|with password)\s[\\\"'`]{1,4}$"
    rb"|\b(?:env|environ|getenv)\b[\w.\[\]()\"']{1,48}\s?(?:\|\||\?[?:]|,)\s?[\\\"'`]{1,4}$"
    rb"|\bjdbc:|(?:mysqli|[cC]onnect|getConnection|Sequelize|PDO|WiFi(?:Multi)?\.(?:begin|addAP))\("
)
_NAMED = re.compile(
    rb"\bssid\w{0,4}(?:\[\])?\s?[=:]\s?\"[^\"\n]{2,32}\"|[\w.+-]{2,40}@[\w-]{2,60}\.[a-z]{2}|\blocalhost\b|\b\d{1,3}(?:\.\d{1,3}){3}\b|\s-u\s?\w"
    rb"|WiFi(?:Multi)?\.(?:begin|addAP)\("
    rb"|(?i:user(?:name|_?id)?|login|uid|usuario|utilisateur|benutzer)[\\\"'`\]]{0,4}\s{0,4}(?:=>|:=|===?|[:=]|\.equals\()\s{0,4}[\\\"'`]{0,4}"
    rb"(?:root|admin|administrator|postgres|sa|sys|system|scott|oracle|pi|ubuntu|vagrant|superuser|manager|operator)\b"
    rb"|(?i:user|login)\w{0,8}[\\\"'`\])]{0,4}\s?(?:[=!]==?\s?|\.equals(?:IgnoreCase)?\(\s?)[\\\"'`]{1,4}[\w.@-]{3,40}[\\\"'`]"
    rb"|(?i:(?:create|alter) (?:user|role))\s[\\\"'`]{0,4}[\w-]{2,40}"
)
# Who logs in, by a name in small letters: labels start with a capital.
_USERS = re.compile(
    rb"(?i:user(?:name|_?id)?|login(?:_?name)?|uid|usuario|utilisateur|benutzer)(?:[\\\"'`\])]{0,4}\s{0,4}(?:=>|:=|[:=])[\s*]{0,4}"
    rb"[\\\"'`]{1,4}([a-z][\w.@-]{1,39})[\\\"'`]|>([a-z][\w.@-]{1,39})<)"
)
_NOBODY = re.compile(
    rb"(?i)(?:(?:your|my|the|some|enter|new)[_-]?\w*|\w*(?:user_?name|_user|name)|user|login|e-?mail|string|text|str|varchar|required"
    rb"|optional|null|none|nil|true|false|undefined|type|field|input|value|label|nutzer|benutzer\w*|usuario|utilisateur|gebruiker\w*"
    rb"|nom|nome|nazwa|brugernavn|anv\w+|kaytt\w+)"
)
# The same in YAML, a line each, as deep: no map of a program, which has commas.
_IN_YAML = re.compile(
    rb"(?:^|\n)([ \t]*)(?:- )?[\w-]{0,24}(?:user(?:name)?|login): [\"']?([a-z][\w.@-]{1,39})[\"']?[ \t]*\n"
    rb"(?:[ \t]*#[^\n]{0,60}\n|\1[\w-]{1,24}: [\w.:/-]{1,60}\n)?\1(?:  )?[\w-]{0,24}pass(?:w(?:or)?d)?: $"
)
# What a program asks for: `if password == "`.
_COMPARED = re.compile(
    rb"\b(?:if|elif|while|until|when)\b[^\n\"']{0,48}\b(?i:passw(?:or)?d|pwd|senha|contrase\w{1,4})\)?\s?(?:[=!]==?\s?|\.equals\(\s?)[\"']$"
)
# A field of a password, by its own name, that something is typed into.
_FIELD = re.compile(
    rb"(?i:passw(?:or)?d|pwd|senha)(?:\(\))?[\"'`\])]{0,4}\.(?:send_?[kK]eys|type|fill|setValue|set_value)\(\s?[\"'`]$"
    rb"|\.(?:fill|type|setValue)\(\s?[\"'`][^\n,]{0,40}(?i:passw(?:or)?d|pwd|senha)[\"'`\])]{0,4},\s?[\"'`]$"
)
_LOGIN_CALL = re.compile(
    rb"(?:username_pw_set|[sS]etCredentials|set_credentials|HTTP(?:Basic|Digest)Auth|UserPassword|\.login|login_?[aA]s|ftp_login|_bind|basic_?[aA]uth|BasicAuth|(?:Basic|Network|Plain)Credentials?|PasswordAuthentication|create_(?:super)?user|createUser)"
    rb"\(\s?(?:[\w.$]{1,24}\s?,\s?)?[bu]?[\"'`]([a-z][\w.@+-]{2,40})[\"'`]\s?,\s?[bu]?[\"'`]$"
)
_COMMON = re.compile(rb"(?=.*[0-9])(?=.*[A-Za-z])[\w!@#$%^&*.+-]{6,32}")
_VARIABLE = re.compile(rb"(?:^|\s)[A-Z]{2,}(?:_[A-Z0-9]+){1,6}=$")
_SET = re.compile(rb"(?:^|[\s\"'])[A-Z]{2,}(?:_[A-Z0-9]+){1,6}(?:=|:\s)$|(?:^|\n)[\w-]{1,24}(?:\.[\w-]{1,24}){1,6}=$")
# Two digits, one among letters (`passw0rd`), or a sign with one.
_CHANGED = re.compile(rb"[0-9].*[0-9]|[A-Za-z][0-9][A-Za-z]|[!@#$%^&*+]")
# A word and one digit, but no field of a form: Django calls two of them `password1` and `password2`.
_WORD_AND_DIGIT = re.compile(rb"(?!(?i:passw?(?:or)?d?|pwd)[12]$)[A-Za-z]{4,24}[0-9]")
_DIGITS = re.compile(rb"(?!0+$)[0-9]{6,10}")
# Keys side by side.
_WALKED = re.compile(rb"(?i)(?:qwerty(?:uiop)?|asdf(?:gh(?:jkl)?)?|zxcvbn?m?|1q2w3e4r|qazwsx)[0-9]{0,4}[!@#]?")
_WORD = re.compile(
    rb"[A-Za-z][a-z]{4,19}\.?|[A-Za-z][a-z]{1,11}(?:[A-Z][a-z]{1,11}){1,3}|[A-Za-z]{2,12}(?:[_@#.-][A-Za-z]?[a-z]{2,12}){1,2}"
    rb"|[A-Za-z]{0,8}[a-z][A-Z]{1,2}"
)
# Passwords of servers, stores of keys and the like, which no form or text has a field for.
_SERVERS = re.compile(
    rb"(?i:key_?-?store|trust_?-?store|\bstore|private[_.-]?key|sql|maria_?db|postgres|pg|redis|rabbit_?mq|mongo|ldap|bind|smtp|ftp|ssh"
    rb"|become|sudo|\bdb|_db|database|datasource|root|rpc)(?:_?-?(?:db|admin|root|user|server))?[_.-]?"
    rb"(?:passw(?:or)?d|passphrase)(?:[\\\"'`\])]{0,4}\s{0,3}(?:=>|:=|[:=(,])\s{0,4}[\\\"'`]{1,4}|>)$"
    rb"|\b(?i:user|role|login) [\w.@\"'`-]{1,60} (?i:with |encrypted |login ){0,3}(?i:password) [\\\"']{1,4}$"
)
# What images of servers are started with in the files of people, as their manuals print it.
_STARTED_WITH = re.compile(
    rb"(?i)(?:my|some|the)?(?:secret|super|strong|secure|root|admin|local|prod|shop|app){1,2}passw(?:or)?d[0-9]{0,4}"
)
_OF_AN_IMAGE = re.compile(
    rb"(?:^|[\s\"'])(?:MYSQL|MARIADB|POSTGRES|PG|MONGO|MONGO_INITDB|REDIS|RABBITMQ_DEFAULT|GF_SECURITY|KEYCLOAK|MINIO|DB|WORDPRESS_DB)"
    rb"(?:_ROOT|_ADMIN|_USER)?_PASS(?:WORD)?(?:=|: )$"
)
# The same in a file of properties, of YAML, or of variables.
_SERVER_LINES = re.compile(
    rb"(?:^|\n)[ \t#-]{0,40}(?:(?:[\w-]{1,24}\.){1,6}[\w-]{0,24}(?:passw(?:or)?d|pass)="
    rb"|(?:[a-z]{2,16}-){1,4}password(?:: |=)|private_key_passw(?:or)?d ?= ?"
    rb"|(?:[A-Z]{2,12}_){1,3}PASS(?:W(?:OR)?D)?: )$"
    rb"|[\s\"'](?:[A-Z]{2,12}_){1,3}PASS(?:W(?:OR)?D)?=$"
)
# A variable or an argument named after a password of something: labels of forms are members of maps.
_VARIABLES = re.compile(
    rb"(?:^|[\s$.(,>])[A-Za-z]\w{1,24}(?:[pP]assw(?:or)?d|[pP]ass[wW]ord|PASSW(?:OR)?D|[pP]wd|_pass|Pass)\d?\s?=\s?[bu@]?\\{0,3}[\"'`]$"
    rb"|#\s?define\s{1,4}\w{0,24}PASS(?:W(?:OR)?D)?\s{1,32}\"$"
)
_TO_COMMANDS = re.compile(
    rb"\bredis-cli\b[^\n|;]{0,60} -a [\"']?$|--requirepass [\"']?$"
    rb"|\bmosquitto_(?:pub|sub|rr)\b[^\n|;]{0,120} (?:-P|--pw) ?[\"']?$"
)
_KICKSTART = re.compile(rb"\brootpw(?: --plaintext)? $")
_CHPASSWD = re.compile(rb"\becho(?: -e)? [\\\"']{0,4}[\w-]{1,32}:$")
_PIPED = re.compile(rb"[\\\"']{0,4} ?\| ?(?:sudo )?chpasswd")
_SHORTENED = re.compile(
    rb"(?!(?i:my|your|the|some|new|old|user|test|sample|change))[A-Za-z]{4,12}[_-]?(?i:pass(?:word)?|pw|pwd)[0-9]{0,4}"
)
# Right behind the name of a password, in quotes or in a variable of the environment, or told as the default one.
# What comes first is who logs in.
_USER_OF_PAIR = re.compile(rb"(?i:user(?:name)?|login) ?/ ?(?i:pass\w{0,8}|pwd?)[*:= ]{1,4}[\"'`]?$")
_ASSIGNED = re.compile(
    rb"(?i:passw(?:or)?d|pwd)\d?[\"'`\])]{0,3}\s{0,4}(?:=>|:=|={1,3}|:)\s{0,4}[bu@]?\\{0,3}[\"'`]$"
    rb"|(?:^|[\s\"'])[A-Z][A-Z0-9]{1,16}(?:_[A-Z0-9]{2,16}){0,3}_(?:PASSWORD|PASSWD|PWD|PASS)(?:=|: )$"
    rb"|(?i:default|initial|demo) (?:[a-z]{2,12} ){0,2}(?:password|pwd)[\s:=]{1,3}(?:is )?[`*]{0,3}$"
)
# What everybody chooses: a word with a number, keys or digits in a row. The words for a password are in manuals, too,
# and so is what is chosen most, which stands in for any.
_EVERYBODYS = re.compile(
    rb"(?!qwerty123$)(?:(?i:admin|root|test|tester|user|demo|welcome|hello|qwerty|asdf(?:gh)?|qaz|abcd?)[_@#.-]?[0-9]{2,6}[!@#$.]?"
    rb"|(?!0+$|123456(?:78?|789|7890)?$)[0-9]{6,10}|(?i:(?!password|p@ssw0rd$)p[a@4][s$5]{2}w[o0]rd)[0-9]{0,4}[!@#$.]?)"
)
# A row of a table that has a column of passwords.
_ROW = re.compile(
    rb"\([^()]{0,120}(?i:passw(?:or)?d|pass|pwd|contrase\w{1,4}|senha|clave)[\\\"'`\]]{0,3}[^()]{0,80}\)\s{0,8}(?i:values)\s?\([^()]{0,100}'$"
)
_DIGEST = re.compile(rb"(?i)(?:[0-9a-f]{8})+")
# What a secret of an application is called, and words with a number.
_SIGNS = re.compile(
    rb"(?i:(?:app|jwt|session|cookie|flask|auth|token|signing|refresh|access)?[_.-]?secret(?:[_.-]?key)?|\b(?:x-)?api[_-]?key"
    rb"|(?:encrypt(?:ion)?|crypto|cipher|aes|hmac|signing|internal|service|master)[_-]?key)[\\\"'`\]\s)]{0,4}"
    rb"(?:=>|:=|[:=,]|[^\n=:]{0,2}=[^\n]{0,48}(?:\|\||\?\?|\bor\b|,))\s{0,4}[\\\"'`]{1,4}$"
)
_NUMBERED = re.compile(
    rb"[A-Za-z][A-Za-z0-9]*(?:[_-][A-Za-z0-9]+){1,12}[_-]?[0-9]{3,}|[A-Za-z][a-z]{1,14}(?:[A-Z]{1,4}[a-z]{1,14}){2,8}[0-9]{3,}[!@#$]?"
)
# The key of sessions in Express, Flask and Django, of a token or a cipher: whatever stands there is one, unless it says
# what it stands for.
_SESSIONS = re.compile(
    rb"(?:\bsession\(\s{0,8}\{[^{}]{0,120}\bsecret\s?:|[sS]ession\(\s{0,8}\{\s{0,8}secret\s?:"
    rb"|\bapp\.secret_key\s?=|(?:^|\n)SECRET_KEY\s?=|\b(?:JWT_SECRET(?:_KEY)?|secretOrKey)\s?[:=]|\.config\[[\"'](?:JWT_)?SECRET_KEY[\"']\]\s?="
    rb"|\bjwt\.(?:sign|verify|encode|decode)\([^\"'`\n]{1,80},|\bSecretKeySpec\("
    rb"|\benv\.(?:[A-Z]{2,12}_)?SECRET(?:_KEY)?\s?(?:\|\||\?\?)"
    rb"|(?:environ\.get|getenv)\([\"'](?:[A-Z]{2,12}_)?SECRET(?:_KEY)?[\"']\s?,)\s{0,4}[\\\"'`]{1,4}$"
)
_OPTION = re.compile(rb"\bsecret\s?:\s?[\"'`]$")
_OPTIONS = re.compile(rb"[\"'`],?\s{0,24}(?:resave|saveUninitialized|cookie)\s?:")
_LETTERS = re.compile(rb"[A-Za-z][\w .!@#$%^&*+-]{5,79}")
_SAYS = re.compile(
    rb"(?i)your|change|test|example|sample|\bdev|string|random|default|insert|some|here|generate|replace|none|null|env|name"
)
_SECRETS = re.compile(rb"(?i)secret|passw|key|token|session|super|my[ _-]")
_FILLS = re.compile(
    rb"(?i)secret|passw(?:or)?d|key|token|session|super|very|long|jwt|auth|app|flask|django|express|node|my|the|this|is|for|and|of|secure|[\W_\d]"
)
# The name of a user or a database, alone or with `_pw`, `123`. Names that everybody has say nothing.
_MADE_OF = re.compile(
    rb"([A-Za-z][\w-]{3,39}?)(?:[_.-](?:dev|local|stag(?:e|ing)|prod))?[_.-]?(?i:pass(?:w(?:or)?d)?|pwd?)?[_.!@#-]?[0-9]{0,4}[.!]?"
)
_OWNERS = re.compile(
    rb"(?i:user|login|uid|database|_db|dbname|db_name)\w{0,10}[\"'`\s:=>,(*]{1,12}(?=([A-Za-z][\w-]{3,39})(?![\w-]))"
)
# The secret key of a store of objects behind the key that names the account, as in the manuals of MinIO.
_OF_A_STORE = re.compile(
    rb"(?i:access_?key(?:_?id)?)[\"']?\s?[:=]\s?[\"']?([A-Za-z][\w-]{3,39})[\"']?,?\s{1,24}[\"']?\w{0,16}(?i:secret_?(?:access_?)?key)[\"']?\s?[:=]\s?[\"']?$"
)
_ANYBODYS = re.compile(
    rb"(?i)user\w*|\w*name|registry|server|service|client|api|root|postgres\w*|admin\w*|mysql|mariadb|mongo\w*|redis|oracle|test\w*|guest|default"
    rb"|database|data\w{0,4}|pass\w*|secret\w*|string|text|your?\w*|my\w*|db\w*|example\w*|sample|system|demo|local\w*|none|null|true|value|login|email|enter\w*"
)
# What forms, schemas and translations say where a password would stand.
_SAID = re.compile(
    rb"(?i)pass|ssword|pwd|letme|hackm|anything|something|secret|request|senha|token|credential|contra|heslo|wacht|losen|parol|mot.?de|kenn|user|name|string|text|varchar|field|input"
    rb"|type|label|required|optional|missing|invalid|wrong|valid|hidden|regist|quit|exit|cancel|value|empty|null|none|true|false|undefined|default|unset"
    rb"|config|param(?:s?$|et)|env|prompt|plain|clear|basic|digest|oauth|sha|md5|hash|crypt|salt|login|auth|key|test|nullable"
    rb"|adgangskode|lozink|salasan|lykil|slapta|jelsz|sifre|pasahitz|katalaluan|sandi|clave|geslo|hasl|kodeord|parool|pasvort|fjalek"
    rb"|confirm|current|invalid|forgot|reset|update|new|old|unused|ignored|unknown|incorrect|short|weak|strong|secur"
)


def weak(stage: str, value: bytes, before: bytes, after: bytes) -> bool:
    """Whether the value, refused at `stage`, is a badly chosen password all the same."""
    if _USER_OF_PAIR.search(before[-40:]):
        return False
    # The value comes first, as few are of such a kind.
    if stage in ("words", "placeholder", "score") and _called(value, before, after):
        return True
    if stage in ("words", "placeholder", "score") and _of_a_server(value, before, after):
        return True
    if stage in ("words", "score") and _word_of_a_user(value, before, after):
        return True
    if stage == "words":
        if _opens_sessions(value, before, after):
            return True
        if _in_yaml(value, before, after) or _typed(value, before, after):
            return True
        if _ROW.search(before) and _COMMON.fullmatch(value) and not marked(value):
            return True
        return _signs(value, before, after)
    if (stage == "score" or _WALKED.fullmatch(value)) and _opens_sessions(value, before, after):
        return True
    if stage not in ("placeholder", "score", "hash"):
        return False
    if stage == "score" and _signs(value, before, after):
        return True
    common = _COMMON.fullmatch(value) and _CHANGED.search(value)
    numbered = _WORD_AND_DIGIT.fullmatch(value) and _quoted(before, after)
    chosen = common or numbered or _DIGITS.fullmatch(value) or _WALKED.fullmatch(value)
    if not chosen or marked(value):
        return False
    if after[:1] == b"@" and _LOGIN.search(before[-64:]):  # `user:…@host`
        return True
    near = before[-120:]
    if _ENCODED.search(near) or (_ROW.search(before) and not _DIGEST.fullmatch(value)):
        return True
    if (
        _EVERYBODYS.fullmatch(value)
        and _ASSIGNED.search(near)
        and (_quoted(before, after) or after[:1] in b")\r\n \\`*")
    ):
        return True
    return bool(_MAYBE_PLACE(near) and _PLACE.search(near) and _in_company(value, before, after))


def _word_of_a_user(value: bytes, before: bytes, after: bytes) -> bool:
    """A word behind the name of a password, beside who logs in or where."""
    element = before[-1:] == b">" and after[:2] == b"</"
    if not (element or _quoted(before, after)) or _SAID.search(value):
        return False
    if not _WORD.fullmatch(value) and (not _COMMON.fullmatch(value) or value.count(b".") > 1 or marked(value)):
        return False
    if not _PLACE.search(before[-120:]):
        return False
    named = _NAMED.search(before) or _NAMED.search(after) or _same(value, before)
    return bool(named) or _beside_a_user(value, before, after) or bool(_COMPARED.search(before[-96:]))


def _in_company(value: bytes, before: bytes, after: bytes) -> bool:
    if _COMPANY.search(before) or _COMPANY.search(after):
        return True
    return _quoted(before, after) and bool(_NAMED.search(before) or _NAMED.search(after))


def _signs(value: bytes, before: bytes, after: bytes) -> bool:
    """Words with a year or a number at their end, as what signs sessions and tokens: hardly a name."""
    return bool(
        _NUMBERED.fullmatch(value) and _quoted(before, after) and _SIGNS.search(before[-64:]) and not marked(value)
    )


def _opens_sessions(value: bytes, before: bytes, after: bytes) -> bool:
    """Words in the place of a key of sessions."""
    if not _LETTERS.fullmatch(value) or not _quoted(before, after) or _SAYS.search(value):
        return False
    if _SECRETS.search(value) and len(_FILLS.sub(b"", value)) < 5:
        return False
    near = before[-200:]
    return bool(_SESSIONS.search(near) or (_OPTION.search(near[-32:]) and _OPTIONS.match(after)))


def _beside_a_user(value: bytes, before: bytes, after: bytes) -> bool:
    """A word beside a name that logs in: `usuario = "garden"; senha = "Orchid"`."""
    names = [name[1] or name[2] for text in (before, after) for name in _USERS.finditer(text)]
    names += [name[1] for name in (_LOGIN_CALL.search(before),) if name]
    return any(not _NOBODY.fullmatch(name) and name.lower() != value.lower() for name in names)


def _in_yaml(value: bytes, before: bytes, after: bytes) -> bool:
    """A word on the line below who logs in."""
    if not _WORD.fullmatch(value) or _SAID.search(value) or (after and after[:1] not in b"\r\n"):
        return False
    user = _IN_YAML.search(before)
    return user is not None and not _NOBODY.fullmatch(user[2]) and user[2].lower() != value.lower()


def _of_a_server(value: bytes, before: bytes, after: bytes) -> bool:
    """A word as the password of a server, a store of keys or an account of the system."""
    word = _WORD.fullmatch(value) and not _SAID.search(value) and not marked(value)
    near = before[-120:]
    if _KICKSTART.search(before[-24:]) or (_CHPASSWD.search(before[-48:]) and _PIPED.match(after)):
        return bool(word)
    if _STARTED_WITH.fullmatch(value) and _OF_AN_IMAGE.search(near) and (not after or after[:1].isspace()):
        return True
    if _TO_COMMANDS.search(near):
        return bool(_WORD.fullmatch(value) or _SHORTENED.fullmatch(value)) and not marked(value)
    if word and _quoted(before, after) and _VARIABLES.search(near):
        return True
    if not word and not (_SHORTENED.fullmatch(value) and not marked(value)):
        return False
    if _SERVERS.search(near):
        own = _quoted(before, after) or before[-1:] == b">"
    else:
        own = bool(_SERVER_LINES.search(near)) and (not after or after[:1].isspace())
    return own and re.sub(rb"[\W_]", b"", value).lower() not in re.sub(rb"[\W_]", b"", near).lower()


def _typed(value: bytes, before: bytes, after: bytes) -> bool:
    """A word that a test types into the field of a password."""
    word = _WORD.fullmatch(value) and not _SAID.search(value) and _quoted(before, after)
    return bool(word and _FIELD.search(before[-96:]))


def _called(value: bytes, before: bytes, after: bytes) -> bool:
    """`DB_USER=garden DB_PASSWORD=garden_pw`: made of the name of the user or the database beside it."""
    made = _MADE_OF.fullmatch(value)
    if made is None or _ANYBODYS.fullmatch(made[1]) or not (_quoted(before, after) or _SET.search(before[-64:])):
        return False
    near = before[-120:]
    if not (_MAYBE_PLACE(near) and _PLACE.search(near)):
        key = _OF_A_STORE.search(before)
        return key is not None and key[1] == made[1] != value
    owners = {name[1] for text in (before, after) for name in _OWNERS.finditer(text)}
    owners |= {name[1] for name in (_LOGIN_CALL.search(before),) if name}
    return bool(owners & {made[1], made[1] + b"_user", made[1] + b"_db", made[1] + b"-user"})


def _same(value: bytes, before: bytes) -> bool:
    """Whether the user is called so, too."""
    return bool(re.search(rb"(?i:user|login|uid)\w{0,10}[^\w\n]{1,12}" + re.escape(value) + rb"[^\w-]", before))


def _quoted(before: bytes, after: bytes) -> bool:
    quote = before[-1:]
    if quote == b"=" and after[:1].isspace():  # of the environment
        return _VARIABLE.search(before[-64:]) is not None
    return quote in (b'"', b"'", b"`") and after.lstrip(b"\\")[:1] == quote
