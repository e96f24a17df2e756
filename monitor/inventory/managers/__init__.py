"""One file a provider: what it holds, read with the least permission that does.

To add a provider: one file with a class, its `Config` (the docstring is its documentation) and `EXAMPLE`; one line in
`MANAGERS`; one test.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast

from monitor.common.parts import part

if TYPE_CHECKING:
    from monitor.inventory.held import Manager, Rotator
    from monitor.inventory.managers.base import ManagerConfig

    class ManagerClass(Manager):
        """What the table names: a Manager that is built from its own `Config`."""

        Config: ClassVar[type[ManagerConfig]]

        def __init__(self, config: Any) -> None: ...


__all__ = ["MANAGERS", "load_manager", "make_rotator"]

# `type` in the configuration → "module:Class", imported when first used
MANAGERS: dict[str, str] = {
    "aws": "monitor.inventory.managers.aws:AwsManager",
    "azure": "monitor.inventory.managers.azure:AzureManager",
    "doppler": "monitor.inventory.managers.doppler:DopplerManager",
    "dotenv": "monitor.inventory.managers.dotenv:DotenvManager",
    "fly": "monitor.inventory.managers.fly:FlyManager",
    "gcp": "monitor.inventory.managers.gcp:GcpManager",
    "github-actions": "monitor.inventory.managers.github:GitHubActionsManager",
    "kubernetes": "monitor.inventory.managers.kubernetes:KubernetesManager",
    "onepassword": "monitor.inventory.managers.onepassword:OnePasswordManager",
    "railway": "monitor.inventory.managers.railway:RailwayManager",
    "ssm": "monitor.inventory.managers.ssm:SsmManager",
    "supabase": "monitor.inventory.managers.supabase:SupabaseManager",
    "systemd": "monitor.inventory.managers.systemd:SystemdManager",
    "vault": "monitor.inventory.managers.vault:VaultManager",
    "vercel": "monitor.inventory.managers.vercel:VercelManager",
}


def load_manager(name: str) -> type[ManagerClass]:
    """The class for a `type`; it carries its `Config`. Raises UnknownTypeError."""
    found: type[ManagerClass] = part(MANAGERS, "inventory", name)
    return found


def make_rotator(config: ManagerConfig) -> Rotator | None:
    """The client of an entry whose `rotate` names who may have new values made, in place of who reads; None: none."""
    login = getattr(config, "rotate", None)
    if login is None:
        return None
    return cast("Rotator", load_manager(config.type)(config.model_copy(update={**dict(login), "rotate": None})))
