"""The card of the row to label, when no row is left."""

import pytest

from studio.schema.labeling import Labeling
from studio.ui.components.label_card import card


@pytest.mark.parametrize(("unsure", "words"), [(0, "</b> <span>Use them"), (2, "You marked 2 as unsure.")])
def test_a_finished_file_names_unsure_rows_only_if_there_are_some(unsure: int, words: str) -> None:
    drawn = card(Labeling(dataset="d", done=9, total=9, unsure=unsure, orders=(("file", "As in the file"),)))
    assert "<b>Every row has a label.</b>" in drawn and words in drawn
