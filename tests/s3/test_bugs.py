"""The planted bugs of bugs.py can still be planted."""

import pytest

from s3 import bugs


@pytest.mark.parametrize("name", bugs.BUGS)
def test_the_text_that_a_bug_changes_is_there(name):
    assert bugs.applies(name)
