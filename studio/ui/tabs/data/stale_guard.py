"""Guards against stale pages: an action is for the dataset and the rows that were on the screen.

Another tab, another person or a restart of the server may have made another version, or opened another dataset. Then a
row's number may mean another row. Actions carry what was drawn (`data-about`, see js/2-region.js).
"""

from collections.abc import Callable, Sequence
from functools import wraps

from studio.schema.dataset import DatasetRecord
from studio.schema.errors import StudioError
from studio.ui.components.markup import Html, html
from studio.ui.visitors.session import Visit


def mark(record: DatasetRecord) -> Html:
    """A mark of the drawn dataset and version, which actions carry."""
    return html('<i hidden data-about="{d} {v}"></i>', d=record.id, v=record.version)


def of_this_dataset(act: Callable[[Visit], None]) -> Callable[[Visit], None]:
    """The action, refused when it was for another dataset than the open one."""

    @wraps(act)
    def done(visit: Visit) -> None:
        dataset = visit.text("about", 200).partition(" ")[0]
        if dataset and dataset != visit.choices.dataset:
            raise changed("Another dataset was opened after this page was drawn.")
        act(visit)

    return done


def require_same(visit: Visit, rows: Sequence[int]) -> None:
    """Refuse when the row with one of these numbers has changed since it was drawn."""
    dataset, version = visit.choices.dataset, visit.text("about", 200).rpartition(" ")[2]
    if not version.isdecimal() or int(version) == visit.studio.datasets.get(dataset).version:
        return
    if not all(_same(visit, dataset, int(version), row) for row in rows):
        raise changed("The rows were changed after this page was drawn. This number is another row now.")


def _same(visit: Visit, dataset: str, version: int, row: int) -> bool:
    pages = [visit.studio.datasets.rows(dataset, row, 1, each) for each in (version, None)]
    before, now = ([cells for _, cells in page.rows] for page in pages)
    if not before or not now:
        return False
    return all(now[0][column] == text for column, text in before[0].items() if column in now[0])


def changed(words: str) -> StudioError:
    """The error for a stale action."""
    return StudioError("wrong-state", words, hint="Nothing was changed. Check what the page shows now, then try again.")
