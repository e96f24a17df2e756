"""What tables of the configuration have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator

from monitor.common.text import token_like

__all__ = ["Component", "Table"]


class Table(BaseModel):
    """Unknown keys are refused, and no error shows a value."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Component(Table):
    """A table whose `type` says which class goes by it: of a source, a sink, a secret manager."""

    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9_.-]+$")
    type: str

    @field_validator("name")
    @classmethod
    def _no_secret(cls, value: str) -> str:
        if token_like(value):
            raise ValueError("looks like a secret, and names are shown in alerts, logs and metrics: choose another")
        return value
