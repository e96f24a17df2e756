"""What a rule says to a candidate: its filters in turn, cheapest first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache

from detectors.fingerprint import mask
from detectors.match import doubt, plain
from detectors.match.filters import entropy, looks_like_hash, placeholder, words
from detectors.match.names import BACK as NAME
from detectors.match.names import one_of
from detectors.match.quick import searcher
from detectors.match.region import Buffer
from detectors.match.score import AHEAD, BACK, different, enough, score
from detectors.match.score import confidence as confidence_of
from detectors.match.tables import elsewhere
from detectors.match.weak import in_object, weak
from detectors.rules.checksums import CARRIERS, CHECKS, ChecksumResult, proven
from detectors.rules.rule import Confidence, Requires, Rule
from monitor.common.regex import NOWHERE, UNANCHORED, Search, compile_search
from monitor.common.severity import Severity

__all__ = ["BEFORE", "Judge", "Verdict", "no"]

BEFORE = 64  # bytes left of a value that filters look at; the score looks at more
_DIGITS = b"0123456789"


@dataclass(slots=True)  # not frozen: to set each field past that lock takes four times as long
class Verdict:
    """What a rule says to a value, wherever it stands. `stage` is the one that decided; `secret` and what follows tell
    of accepted ones. The secret is the value, or what the value carries (the password inside Basic credentials)."""

    accepted: bool
    stage: str
    reason: str
    secret: bytes = field(default=b"", repr=False)
    masked: str = ""
    severity: Severity = "info"
    confidence: Confidence = "low"
    labels: Mapping[str, str] = field(default_factory=dict)


def no(stage: str, reason: str = "") -> Verdict:
    """The verdict on a value that is refused at a stage."""
    return Verdict(False, stage, reason)


class Judge:
    """A rule at work: its regex, compiled, and its filters. Immutable and shared by threads.

    `search`: the regex. `back`, `ahead`: bytes beside a value that the verdict depends on.
    `of_people`: whether people choose what it finds.
    """

    def __init__(self, rule: Rule) -> None:
        """Raises RegexError when RE2 refuses the pattern, which it may though Hyperscan took it."""
        self.rule = rule
        self.search = searcher(rule.confirm, at_once=rule.family == "custom")
        self.of_people = rule.score or rule.runbook == "database-password"
        self.back = BACK if self.of_people else BEFORE if rule.words or rule.hashes else 0
        if rule.identifiers:
            self.back = max(self.back, NAME)
        self.ahead = AHEAD if self.of_people else 0
        filtered = rule.words and rule.placeholders and rule.hashes
        asks = rule.checksum or rule.requires or rule.identifiers or rule.keywords
        self.batched = rule.score and filtered and not asks  # whether `accepted` (batch.py) is for it
        self.doubts = rule.score or rule.family != "custom"  # by what stands around
        self.kinds = doubt.kinds(rule.id)
        self._stopwords = [(word, word.lower().encode()) for word in rule.stopwords]
        self._check = CHECKS[rule.checksum] if rule.checksum is not None else None
        self._labels = dict(rule.labels)
        self._prefixes = tuple(filter(None, (rule.shape.prefix, *rule.shape.literals)))
        # All as one come first, as mostly none of them matches.
        allow = ("|".join(f"(?:{entry})" for entry in rule.allow), *rule.allow) if rule.allow else ()
        self._allow = [compile_search(text) for text in allow]

    def verdict(self, value: bytes, before: bytes, after: bytes, explain: bool = True) -> Verdict:
        """The filters' and the check's. `before`, `after`: up to `back` and `ahead` bytes beside the value. `explain`:
        with the parts of its score, which takes as long as the rest."""
        rule = self.rule
        refusal = self._refused(value, before, after)
        if refusal is not None:
            return self._chosen(refusal, value, before, after)
        confidence, why = rule.confidence, "all stages passed"
        if rule.score:
            weighed = score(value, before, after) if explain else None
            why = weighed.reason() if weighed is not None else ""
            likely = weighed.confidence if weighed is not None else confidence_of(value, before, after)
            if likely is None:
                return self._chosen(no("score", why), value, before, after)
            confidence = likely if rule.confidence != "low" else "low"  # a pattern that tells too little by itself
        if self._check is not None:
            return self._checked(self._check(value), value, confidence, why)
        return self.accepted(value, confidence, why)

    def accepted(self, value: bytes, confidence: Confidence, why: str = "") -> Verdict:
        """The verdict on a value that nothing is against."""
        masked = mask(value, self._prefixes)
        return Verdict(True, "accepted", why, value, masked, self.rule.severity, confidence, self._labels)

    def _chosen(self, refusal: Verdict, value: bytes, before: bytes, after: bytes) -> Verdict:
        """The refusal, or a quiet finding of a password that somebody chose badly."""
        if not self.of_people or not weak(refusal.stage, value, before, after):
            return refusal
        return self._quietly(refusal, value)

    def further(self, refusal: Verdict, value: bytes, before: bytes, data: Buffer, end: int) -> Verdict:
        """The same where the user stands further right than `ahead` bytes; the value ends at `end` in `data`."""
        return self._quietly(refusal, value) if in_object(refusal.stage, value, before, data, end) else refusal

    def _quietly(self, refusal: Verdict, value: bytes) -> Verdict:
        if any(_matches(allow, value) for allow in self._allow[:1]):
            return refusal
        return self.accepted(value, "low", "a badly chosen password beside its user or host")

    def _refused(self, value: bytes, before: bytes, after: bytes) -> Verdict | None:
        """What a filter has against the value."""
        refusal = self.by_itself(value, before) or self.by_looks(value, before[-BEFORE:])
        if refusal is None and self.of_people and elsewhere(before, after):
            return no("column", "the names of the columns say that it is none")
        return refusal

    def by_itself(self, value: bytes, before: bytes) -> Verdict | None:
        """What the rule's own bounds have against it."""
        rule = self.rule
        if rule.identifiers and (name := one_of(before, rule.identifiers)):
            return no("identifier", f"rules.identifiers says that {name!r} holds none")
        if self._stopwords:
            lowered = value.lower()
            for word, low in self._stopwords:
                if low in lowered:
                    return no("stopwords", f"contains the stopword {word!r}")
        if self._allow and _matches(self._allow[0], value):
            entry = next(text for text, one in zip(rule.allow, self._allow[1:], strict=True) if _matches(one, value))
            return no("allow", f"matches the allowlist entry {entry!r}")
        if rule.digits and len(value) - len(value.translate(None, _DIGITS)) < rule.digits:
            return no("digits", f"fewer than {rule.digits} digits")
        if (
            rule.entropy is not None
            and different(value) < enough(len(value), rule.entropy)
            and (bits := entropy(value)) < rule.entropy
        ):
            return no("entropy", f"entropy {bits:.2f} is below {rule.entropy:.2f} bits a character")
        return None

    def by_looks(self, value: bytes, near: bytes) -> Verdict | None:
        """What is against such a value behind such a text."""
        rule = self.rule
        # The cheapest of what most candidates in code are: a name where a value could stand.
        if rule.words and (reason := words(value, near)):
            return no("words", reason)
        stands_in = rule.placeholders and rule.checksum not in CARRIERS and placeholder(value)
        if stands_in and not proven(rule.checksum, value):
            return no("placeholder", stands_in)
        if rule.hashes and (reason := looks_like_hash(value, near)):
            return no("hash", reason)
        return None

    def _checked(self, check: ChecksumResult, secret: bytes, confidence: Confidence, why: str) -> Verdict:
        """What check digits or claims make of it."""
        rule, severity = self.rule, self.rule.severity
        if check.reject:
            return no("checksum", check.reason)
        value, prefixes = secret, self._prefixes
        labels = {**self._labels, **check.labels} if check.labels else self._labels
        if check.value is not None:
            value, prefixes = check.value, self._prefixes if check.value is secret else ()
            if rule.placeholders and (reason := placeholder(value)):
                return no("placeholder", reason)
        if check.valid is False:
            # Vendors change formats without notice: a miss is worse than a quiet, low finding.
            severity, confidence = "low", "low"
            labels = {**labels, "checksum": "mismatch"}
        elif check.valid:
            confidence = "high"
        severity = check.severity or severity
        confidence = check.confidence or confidence
        masked = mask(value, prefixes)
        return Verdict(True, "accepted", check.reason or why, value, masked, severity, confidence, labels)

    def doubted(self, verdict: Verdict, data: Buffer, start: int, end: int, explain: bool = True) -> Verdict:
        """The verdict on an accepted value after a look at the lines around it, which may lower its confidence."""
        before, after = bytes(data[max(0, start - doubt.BACK) : start]), bytes(data[end : end + doubt.AHEAD])
        value = bytes(data[start:end])
        if self.rule.score:
            left, why = doubt.doubt(verdict.confidence, value, before, after, self.kinds, explain=explain)
        else:
            loose = not self.rule.shape.prefix
            # A private key in base64 is encoded data itself, in lines.
            why = "" if self.rule.runbook == "private-key" else plain.amid_data(value, before, after)
            if loose and not why:
                why = plain.expression(value, before, after) or plain.aside(before)
                why = why or (doubt.by_name(before) if self.rule.keywords else "")
            left = "low" if why else verdict.confidence
            if loose and left == "high" and (why := plain.unsure(value, before, after)):
                left = "medium"
        if left == verdict.confidence:
            return verdict
        v, reason = verdict, f"{verdict.reason}; {why}" if verdict.reason else why
        return Verdict(True, v.stage, reason, v.secret, v.masked, v.severity, left, v.labels)

    def accompanied(
        self, verdict: Verdict, data: Buffer, start: int, end: int, judge: Callable[[str], Judge]
    ) -> Verdict:
        """The verdict on an accepted value after a look for the companions that the rule requires around it.

        `judge` gives that of another rule, by its id.
        """
        confidence, labels = verdict.confidence, verdict.labels
        for companion in self.rule.requires:
            other = judge(companion.rule) if companion.rule is not None else None
            present = _companion(companion, other, data, start, end)
            if present is None and not companion.optional:
                return no("requires", f"no {companion.rule or 'companion'} within {companion.within} bytes")
            if present is not None and (companion.optional or companion.rule is not None):
                confidence = "high"
            if present is not None and companion.rule is not None:
                labels = {**labels, companion.rule: present}
        same = confidence == verdict.confidence and labels is verdict.labels
        return verdict if same else replace(verdict, confidence=confidence, labels=labels)


def _matches(search: Search, value: bytes) -> bool:
    return search(UNANCHORED, value, 0, len(value))[0] != NOWHERE


def _companion(companion: Requires, judge: Judge | None, data: Buffer, start: int, end: int) -> str | None:
    """The masked companion near the span, or None."""
    low, high = max(0, start - companion.within), min(len(data), end + companion.within)
    if companion.lines is not None:
        before, after = bytes(data[low:start]), bytes(data[end:high])
        low = start - len(b"\n".join(before.rsplit(b"\n", companion.lines + 1)[-companion.lines - 1 :]))
        high = end + len(b"\n".join(after.split(b"\n", companion.lines + 1)[: companion.lines + 1]))
    search, prefixes = (judge.search, judge.rule.shape.literals) if judge is not None else (_search(companion), ())
    at = low
    while at < high:
        spans = search(UNANCHORED, data, at, high)
        if spans[0] == NOWHERE:
            return None
        first, last = spans[1] if len(spans) > 1 and spans[1] != NOWHERE else spans[0]
        if last <= start or first >= end:
            return mask(bytes(data[first:last]), tuple(prefixes))
        at = max(last, at + 1)
    return None


@cache
def _search(companion: Requires) -> Search:
    return compile_search(companion.pattern or "")
