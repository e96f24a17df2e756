from __future__ import annotations

import pytest

from monitor.access.forms import FORMS, load_form
from monitor.access.forms.fields import MalformedError


@pytest.mark.parametrize("name", FORMS)
def test_each_form_refuses_what_is_none_of_its_records(name: str) -> None:
    with pytest.raises(MalformedError):
        list(load_form(name)({"some": "json"}))
