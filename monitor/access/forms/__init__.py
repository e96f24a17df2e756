"""The forms of audit records.

To add one: one file with `readings` (a record → what it says of secrets), one line in `FORMS`, one test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any

from monitor.access.reading import Reading

__all__ = ["FORMS", "Form", "load_form"]

Form = Callable[[Mapping[str, Any]], Iterator[Reading]]  # raises MalformedError

# `audit` in the configuration → module with `readings`, imported when first used
FORMS: dict[str, str] = {
    "vault": "monitor.access.forms.vault",
    "cloudtrail": "monitor.access.forms.cloudtrail",
    "gcp": "monitor.access.forms.gcp",
    "azure": "monitor.access.forms.azure",
    "doppler": "monitor.access.forms.doppler",
    "onepassword": "monitor.access.forms.onepassword",
    "supabase": "monitor.access.forms.supabase",
}


def load_form(name: str) -> Form:
    """What reads records of this form. `name` is in `FORMS`."""
    form: Form = import_module(FORMS[name]).readings
    return form
