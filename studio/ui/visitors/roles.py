"""What the roles of a team may do on the page. An owner may do everything, an editor all but what `require_owner` of
services/context.py refuses. A viewer looks: each action that is not among `viewer_actions` of its tab, and each request
that is not listed here, is refused."""

import re
from typing import get_args

from studio.schema.errors import StudioError
from studio.services.context import Role

ROLES: tuple[Role, ...] = get_args(Role)
OLD_NAMES = {"member": "editor"}
"""Names of roles in files of hashes that earlier versions read."""
_VIEWER_POSTS = re.compile(
    r"/gradio_api/component_server/?|/login|/logout|/studio/ticket|/studio/workspace|/studio/run/[\w-]+/(chat|warm)"
)
"""Addresses to which a viewer may send something."""


def is_allowed(role: str, action: str, viewer_actions: frozenset[str]) -> bool:
    """Whether a visitor with this role may do an action of a tab, where viewers may do `viewer_actions`."""
    return role != "viewer" or action == "draw" or action in viewer_actions


def require_allowed(role: str, action: str, viewer_actions: frozenset[str]) -> None:
    """Raise `StudioError` if a visitor with this role may not do an action of a tab."""
    if not is_allowed(role, action, viewer_actions):
        raise StudioError(
            "not-allowed",
            "You are logged in as a viewer: you can look at everything, but you can't change anything.",
            hint="Ask the owner of this studio for the password of an editor.",
        )


def may_send(role: str, path: str) -> bool:
    """Whether a visitor with this role may send a request that is not GET to this address."""
    return role != "viewer" or bool(_VIEWER_POSTS.fullmatch(path))
