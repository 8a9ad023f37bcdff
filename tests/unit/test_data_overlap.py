"""Rows that are also training rows, exactly or with a few different words."""

from studio.data.checks.base import RowView
from studio.data.overlap import rows_also_in


def views(*texts: str, first: int = 1, label: str = "a") -> list[RowView]:
    return [RowView(number, {}, {"text": text, "label": label}, "") for number, text in enumerate(texts, first)]


LONG = "my parcel has not arrived yet and the page says that it was delivered to a neighbor on {day} at noon"


def test_equal_and_nearly_equal_texts_are_found_whatever_their_label_or_row_number() -> None:
    training = views("where is my refund", LONG.format(day="monday"), "how do I change my address")
    rows = views(
        "where is my refund",
        LONG.format(day="monday").replace("yet and", "and"),
        "something that no training row says",
        "where is my parcel",
        label="b",
    )
    assert rows_also_in(training, rows) == {1, 2}


def test_without_training_rows_nothing_is_found() -> None:
    assert rows_also_in([], views("where is my refund")) == set()


def test_conversations_are_compared_too() -> None:
    def talk(number: int, question: str) -> RowView:
        messages = [{"role": "user", "content": question}, {"role": "assistant", "content": "Yes, it is."}]
        return RowView(number, {}, {"messages": messages}, "")

    assert rows_also_in([talk(1, "Is it open?")], [talk(1, "Is it closed?"), talk(2, "Is it open?")]) == {2}
