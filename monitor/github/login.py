"""How a source speaks to GitHub: what it watches there, and how it logs in. Shared by all that ask GitHub."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar
from urllib.parse import urlsplit

from pydantic import BeforeValidator, StringConstraints, field_validator, model_validator

from monitor.common.credential import Credential
from monitor.common.fields import LISTED
from monitor.common.http import CLEAR, RemoteError, in_the_clear
from monitor.common.problems import refuse
from monitor.common.table import Table
from monitor.github.auth import AuthError
from monitor.github.client import GitHubClient
from monitor.intake.protocol import AlertIntake
from monitor.intake.rounds import Rounds
from monitor.sources.base import SourceConfig

__all__ = ["AppConfig", "GitHubLogin", "Name"]


Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
_Repo = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}/[A-Za-z0-9._-]{1,100}$")]


class AppConfig(Table):
    """A GitHub App to log in as. `installation` is found by the owner's name when it is not given."""

    id: Annotated[str, BeforeValidator(lambda value: str(value) if type(value) is int else value)]
    private_key: Credential
    installation: int | None = None


class GitHubLogin(SourceConfig):
    """A source that asks GitHub.

    - `org`, `repo` (at least one): what to watch; one name or a list
    - `token`, `app` (one of them): how to log in; an App is `{ id, private_key, installation }`, installed for one
      owner
    - `base_url`: GitHub Enterprise Server: `https://HOST/api/v3`
    - `insecure`: `true`: the token may travel unencrypted
    - `webhook_secret`: of the webhook at `/hooks/github`
    """

    reach: ClassVar[tuple[str, ...]] = ("org", "repo", "base_url")
    org: Annotated[tuple[Name, ...], LISTED] = ()
    repo: Annotated[tuple[_Repo, ...], LISTED] = ()
    token: Credential | None = None
    app: AppConfig | None = None
    base_url: str = "https://api.github.com"  # GHES: https://HOST/api/v3
    insecure: bool = False  # True: the token may go over the network unencrypted
    webhook_secret: Credential | None = None

    @field_validator("base_url")
    @classmethod
    def _base_url(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or "@" in parts.netloc:
            raise ValueError('must be an address such as "https://api.github.com" or "https://HOST/api/v3"')
        return value.rstrip("/")

    @model_validator(mode="after")
    def _one_way_in(self) -> GitHubLogin:
        owners = {owner.lower() for owner in self.owners}
        refuse(
            (not self.insecure and in_the_clear(self.base_url), f"base_url: the token {CLEAR}"),
            ((self.token is None) == (self.app is None), "give one of token and app"),
            (self.app and len(owners) > 1, "an App is installed for one owner: use one source for each"),
        )
        return self

    @property
    def owners(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys([*self.org, *(repo.partition("/")[0] for repo in self.repo)]))

    @property
    def host(self) -> str:
        """How ids name the server."""
        host = urlsplit(self.base_url).hostname or ""
        return "github.com" if host == "api.github.com" else host

    @property
    def cloud(self) -> bool:
        """Whether it is GitHub's own server, which is in no private network, nor sends anybody there."""
        host = urlsplit(self.base_url).hostname or ""
        return host == "api.github.com" or host.endswith(".ghe.com")

    def watches(self, repo: str) -> bool:
        owner = repo.partition("/")[0].lower()
        return repo.lower() in (name.lower() for name in self.repo) or owner in (name.lower() for name in self.org)

    def rounds(self, intake: AlertIntake) -> Rounds:
        return Rounds(self.name, intake, "GitHub", (RemoteError, AuthError))

    def client(self, **options: Any) -> GitHubClient:
        """A client that logs in as configured."""
        if self.app is not None:
            where = f"orgs/{self.org[0]}" if self.org else f"repos/{self.repo[0]}"
            app = self.app
            return GitHubClient.with_app(
                self.base_url, app.id, app.private_key, where, installation=app.installation, **options
            )
        assert self.token is not None
        return GitHubClient.with_token(self.base_url, self.token, **options)
