"""`[verify]`: whether issuers may be asked about secrets, which of them, and when the monitor does so by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, PrivateAttr, field_validator

from monitor.common.credential import Credential
from monitor.common.duration import Duration
from monitor.common.fields import ServerUrl
from monitor.common.problems import refuse
from monitor.common.severity import Severity
from monitor.common.table import Table
from monitor.routing.match import Matcher
from monitor.routing.routes import Rate
from monitor.verify.probe import probe_of, providers

__all__ = ["Adjustment", "VerifyConfig"]


class Adjustment(Table):
    """What an incident that `matchers` take (the first one does) has as its severity."""

    matchers: Annotated[tuple[Matcher, ...], Field(min_length=1)]
    severity: Severity


class VerifyConfig(Table):
    """`[verify]`. `providers`: who may be asked, nobody by default; `["*"]` is everyone there is a probe for."""

    providers: tuple[str, ...] = ()
    automatic: bool = False
    matchers: tuple[Matcher, ...] = ()  # of incidents that are asked about by themselves; none: all
    rate: Rate = Rate(20, 60.0)  # requests to one provider
    timeout: Duration = 10.0
    proxy: Credential | None = None
    servers: Mapping[str, ServerUrl] = {}  # provider → its address here, in place of the public one
    private: tuple[str, ...] = ()  # providers that may stand on a private network or on this machine
    severities: tuple[Adjustment, ...] = ()
    _others: Mapping[str, frozenset[str]] = PrivateAttr(default_factory=dict)

    @field_validator("providers", "private")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in names if name != "*" and name not in providers()]
        refuse((unknown, "names a provider there is no probe for; `monitor verify list` shows them"))
        return names

    @field_validator("servers")
    @classmethod
    def _served(cls, servers: Mapping[str, str]) -> Mapping[str, str]:
        cls._known(tuple(servers))
        return servers

    def beside(self, others: Mapping[str, frozenset[str]]) -> VerifyConfig:
        """The same, in a configuration whose other tables name these servers (provider → hosts)."""
        table = self.model_copy()
        table._others = others
        return table

    def others(self, provider: str) -> frozenset[str]:
        """Hosts of a provider that the rest of the configuration names."""
        return self._others.get(provider, frozenset())

    def worth(self, labels: dict[str, str]) -> Severity | None:
        """The severity that an incident with these labels has after its issuer's answer; None: its own."""
        fitting = (one for one in self.severities if all(matcher.matches(labels) for matcher in one.matchers))
        return next((one.severity for one in fitting), None)

    def wants(self, labels: dict[str, str]) -> bool:
        """Whether the monitor asks about an incident with these labels by itself. Of what may be no secret at all, or
        harms nobody, it does not."""
        if not self.automatic or labels.get("severity") in ("low", "info") or labels.get("confidence") == "low":
            return False
        probe = probe_of(labels.get("rule", ""))
        if probe is None or probe.unasked is not None or not self.allows(probe.provider):
            return False
        return all(matcher.matches(labels) for matcher in self.matchers)

    def allows(self, provider: str) -> bool:
        return "*" in self.providers or provider in self.providers
