"""The main menu: which pages it has, and in which of them the reader is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from flask import Flask, request, url_for

from flownexus.accounts.role import Role
from flownexus.web.console.app import AccessRule, may

GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "devices": ("fleet", "operations", "profiles", "models", "credentials", "bootstraps"),
    "updates": ("firmware", "campaigns"),
    "system": ("dead_letters", "health", "list_users", "audit_log"),
}
"""The view functions of pages, by group. Words are menu.<group> and menu.<page> of the words' file."""
PLACES: Final = {"device": "", "refused": "", "batch": "", "batches": "operations", "updates": "firmware"}
"""First segments of paths whose pages belong to another page of the menu; "" is the fleet's."""


class Item(NamedTuple):
    """A page in the menu."""

    page: str
    url: str
    is_current: bool


def add_menu(app: Flask) -> None:
    """Let templates call menu()."""
    app.context_processor(lambda: {"menu": lambda: menu(app)})


def menu(app: Flask) -> dict[str, list[Item]]:
    """Return the pages that who asks may see, by group, of those that the application has."""
    shown = {group: [item for page in pages for item in _items(app, page)] for group, pages in GROUPS.items()}
    return {group: items for group, items in shown.items() if items}


def _items(app: Flask, page: str) -> list[Item]:
    if page not in app.view_functions:
        return []
    rule = next(rule for rule in app.url_map.iter_rules(page) if "GET" in (rule.methods or ()))
    assert isinstance(rule, AccessRule)  # noqa: S101  # for the type checker: url_rule_class
    if not may(Role(rule.access)):
        return []
    here = request.path.split("/")[1]
    return [Item(page, url_for(page), PLACES.get(here, here) == rule.rule.split("/")[1])]
