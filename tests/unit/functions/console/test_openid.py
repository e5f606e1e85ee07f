"""console: the settings of a provider of OpenID Connect, and what is read of it."""

from __future__ import annotations

import pytest

from flownexus.accounts.openid import roles_of
from flownexus.accounts.role import Role
from flownexus.errors import MissingSettingError
from tests.fixtures import function
from tests.fixtures.function import Start
from tests.fixtures.pages import ask
from tests.fixtures.statements import Statements

RIGHT = {
    "oidc_issuer": "https://login.example.com",
    "oidc_client_id": "nexus",
    "oidc_role_claim": "groups",
    "oidc_roles": "ops=operator",
}


@pytest.fixture
def _with_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(function.CONTENTS, "flownexus-oidc-client-secret", "a secret")


@pytest.fixture
def start_with_secret(_with_secret: None, start: Start) -> Start:
    return start


def test_the_sign_in_names_the_provider_only_where_there_is_one(
    start_with_secret: Start, statements: Statements
) -> None:
    assert "openid" not in ask(start_with_secret(statements), "GET", "/sign-in").text
    page = ask(start_with_secret(statements, **RIGHT), "GET", "/sign-in?next=/operations").text
    assert "Sign in with login.example.com" in page
    assert "/sign-in/openid?next=/operations" in page
    named = ask(start_with_secret(statements, **RIGHT, oidc_name="Example"), "GET", "/sign-in?out=").text
    assert "Sign out at Example, too" in named


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"oidc_issuer": "http://login.example.com"}, "oidc_issuer: 'http://login.example.com' must be"),
        ({"oidc_issuer": "login.example.com"}, "must be a URL like https://login.example.com"),
        ({"oidc_client_id": ""}, "oidc_client_id is not set"),
        ({"console_url": ""}, "console_url: oidc_issuer needs it"),
        ({"oidc_users": "some"}, "oidc_users: invited or all, not 'some'"),
        ({"oidc_roles": ""}, "oidc_role_claim and oidc_roles: both, or none"),
        ({"oidc_role_claim": ""}, "oidc_role_claim and oidc_roles: both, or none"),
        ({"oidc_roles": "ops"}, "oidc_roles: 'ops'"),
        ({"oidc_roles": "ops=owner"}, "such as ops=operator"),
    ],
)
def test_what_is_missing_or_wrong_keeps_the_function_from_starting(
    start_with_secret: Start, statements: Statements, wrong: dict[str, str], told: str
) -> None:
    with pytest.raises(MissingSettingError) as refused:
        start_with_secret(statements, **RIGHT | wrong)
    assert told in str(refused.value)


def test_without_the_client_s_secret_the_function_does_not_start(
    start: Start, statements: Statements
) -> None:
    with pytest.raises(MissingSettingError, match="flownexus-oidc-client-secret"):
        start(statements, **RIGHT)


def test_a_value_of_a_claim_may_have_an_equals_sign_in_it() -> None:
    text = "cn=ops=operator, cn=admins=admin,"
    assert roles_of(text) == {"cn=ops": Role.OPERATOR, "cn=admins": Role.ADMIN}
