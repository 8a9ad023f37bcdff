"""Which rows the page stands for: an act on a row is for the row that was on the screen, whatever has come since.

Another tab, another person or a server that began anew may have made another version, or opened another dataset; a
row's number then means another row. What a person does says what was drawn (`data-about`, see js/2-region.js).
"""

from collections.abc import Callable, Sequence
from functools import wraps

from studio.schema.dataset import DatasetRecord
from studio.schema.errors import StudioError
from studio.ui.markup import Html, html
from studio.ui.session import Visit


def mark(record: DatasetRecord) -> Html:
    """What is drawn, for what is done to it."""
    return html('<i hidden data-about="{d} {v}"></i>', d=record.id, v=record.version)


def of_this_dataset(act: Callable[[Visit], None]) -> Callable[[Visit], None]:
    """The act, refused when it was meant for another dataset than the one that is worked with."""

    @wraps(act)
    def done(visit: Visit) -> None:
        meant = visit.text("about", 200).partition(" ")[0]
        if meant and meant != visit.choices.dataset:
            raise changed("Another dataset was opened since this page was drawn.")
        act(visit)

    return done


def require_same(visit: Visit, rows: Sequence[int]) -> None:
    """Refuse when one of the rows, by its number, is another one now than it was on the page."""
    dataset, version = visit.choices.dataset, visit.text("about", 200).rpartition(" ")[2]
    if not version.isdecimal() or int(version) == visit.studio.datasets.get(dataset).version:
        return
    if not all(_same(visit, dataset, int(version), row) for row in rows):
        raise changed("The rows were changed since this page was drawn: there is another one at this number now.")


def _same(visit: Visit, dataset: str, version: int, row: int) -> bool:
    pages = [visit.studio.datasets.rows(dataset, row, 1, version=each, marks_too=False) for each in (version, None)]
    before, now = ([cells for _, cells in page.rows] for page in pages)
    if not before or not now:
        return False
    return all(now[0][column] == text for column, text in before[0].items() if column in now[0])


def changed(words: str) -> StudioError:
    """What was done is not kept, and why."""
    return StudioError("wrong-state", words, hint="Nothing was done. Look at what is drawn now, then do it again.")
