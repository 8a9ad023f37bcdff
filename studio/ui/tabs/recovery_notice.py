"""The notice after a damaged database was recovered: what was recovered, and where the copy is."""

from studio.ui.components.basic import button, note
from studio.ui.markup import Html, html
from studio.ui.session import Visit


def panel(visit: Visit) -> Html | str:
    """A note for each recovery, until it is dismissed."""
    return html(
        "{notes}",
        notes=[
            note("warn", html("<p>{t}</p>", t=notice), button("I have seen it", "seen", "s"))
            for notice in visit.studio.storage.recovery_notices()
        ],
    )


def seen(visit: Visit) -> None:
    """Dismiss the notices."""
    visit.studio.storage.dismiss_recovery_notices()


ACTS = {"seen": seen}
