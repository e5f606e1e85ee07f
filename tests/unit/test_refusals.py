"""What to do about a device that Leshan does not let in."""

from __future__ import annotations

import pytest

from flownexus.leshan.refusals import REMEDIES

SETTINGS = {"--plain-coap": "PLAIN_COAP", "--new-endpoints": "NEW_ENDPOINTS"}


@pytest.mark.parametrize("cause", REMEDIES)
def test_a_remedy_that_is_a_flag_of_leshan_names_the_setting_of_make_up_too(cause: str) -> None:
    """Few start Leshan by hand."""
    for flag, setting in SETTINGS.items():
        assert (flag in REMEDIES[cause]) == (setting in REMEDIES[cause])
