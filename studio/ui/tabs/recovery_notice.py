"""The notice after a damaged database was recovered: what was recovered, and where the copy is."""

from studio.ui.components.basic import button, note
from studio.ui.components.markup import Html, html
from studio.ui.visitors.session import Visit


def panel(visit: Visit) -> Html:
    """A note for each recovery, until it is dismissed."""
    notices = visit.studio.storage.recovery_notices()
    return html("{notes}", notes=[note("warn", each, button("Dismiss", "seen", "s")) for each in notices])


def seen(visit: Visit) -> None:
    """Dismiss the notices."""
    visit.studio.storage.dismiss_recovery_notices()


ACTS = {"seen": seen}
