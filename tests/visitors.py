"""Visitors of a public demo, as a server makes them."""

from studio.store import Home, Workspace


def new_visitor(home: Home) -> Workspace:
    """The workspace of a visitor who has just been given a secret."""
    name = home.visitor_workspace(home.new_secret())
    assert name is not None
    return home.workspace(name)
