"""What the tests of the operator's wishes share."""

import pytest

from lib import fronts, logins, rig


@pytest.fixture
def passwords(short_folder):
    """Apache becomes another user and must be able to read it."""
    file = short_folder / "htpasswd"
    file.write_text(logins.HTPASSWD)
    file.chmod(0o644)
    return file


@pytest.fixture(params=logins.LINES)
def asking(request, server, passwords):
    """A factory of web servers that ask for passwords, one of each kind."""
    name = request.param
    if not rig.have("nginx") if name == "nginx" else fronts.missing(name):
        pytest.skip(f"{name} is not installed")

    def start(config, **options):
        owner = {"owner": {**logins.OWNER, "require": True}}
        return server(name, config={**owner, **config},
                      replace=logins.LINES[name](passwords), **options)

    return start
