"""What is said when the database was found damaged: what was brought back, and where the copy lies."""

from studio.ui.components.basic import button, note
from studio.ui.markup import Html, html
from studio.ui.session import Visit


def panel(visit: Visit) -> Html | str:
    """A remark for each time that it happened, until the person has seen it."""
    return html(
        "{notes}",
        notes=[
            note("warn", html("<p>{t}</p>", t=told), button("I have seen it", "seen", "s"))
            for told in visit.studio.storage.recovery_notices()
        ],
    )


def seen(visit: Visit) -> None:
    """Say it no more."""
    visit.studio.storage.dismiss_recovery_notices()


ACTS = {"seen": seen}
