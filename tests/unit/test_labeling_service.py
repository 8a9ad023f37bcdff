"""Labelling: what is stored, what comes next, what can be taken back, and what comes out."""

import pytest

from studio.api import Studio
from studio.schema.errors import StudioError
from studio.schema.labeling import Fact

TEXTS = [f"message number {number} about {'refunds' if number % 2 else 'parcels'}" for number in range(1, 13)]


@pytest.fixture
def studio(tmp_path):
    studio = Studio(tmp_path / "home")
    yield studio
    studio.close()


@pytest.fixture
def dataset(studio):
    return studio.datasets.add_text("text\n" + "\n".join(TEXTS) + "\n").id


def test_the_first_row_comes_first_and_each_label_moves_on(studio, dataset):
    state = studio.labels.set_names(dataset, ["refund", "parcel"])
    assert (state.row, state.text, state.total) == (1, TEXTS[0], 12)
    state = studio.labels.give(dataset, 1, "refund")
    assert (state.row, state.done, state.counts) == (2, 1, {"refund": 1, "parcel": 0})


def test_a_label_is_stored_before_the_call_returns(studio, dataset):
    studio.labels.give(dataset, 1, "refund")
    again = Studio(studio.home.root)
    assert [(each.row, each.text, each.value) for each in again.labels.state(dataset).recent] == [
        (1, TEXTS[0], "refund")
    ]
    again.close()


def test_undo_takes_back_the_newest_label_and_shows_its_row_again(studio, dataset):
    studio.labels.give(dataset, 1, "refund")
    studio.labels.give(dataset, 2, "parcel")
    state = studio.labels.undo(dataset)
    assert (state.row, state.done) == (2, 1)
    assert studio.labels.undo(dataset).row == 1
    assert studio.labels.undo(dataset).row == 1


def test_a_skipped_row_comes_again_after_all_others(studio, dataset):
    assert studio.labels.mark(dataset, 1, "skip").row == 2
    for row in range(2, 13):
        state = studio.labels.give(dataset, row, "refund")
    assert state.row == 1


def test_labels_are_not_saved_into_rows_that_were_changed_in_that_moment(studio, dataset, monkeypatch):
    for row in range(1, 13):
        studio.labels.give(dataset, row, "refund" if row % 2 else "parcel")
    read = studio.datasets.table

    def changed_before(*version):
        monkeypatch.undo()
        studio.editing.edit(dataset, 1, {"text": "another message"})
        return read(*version)

    monkeypatch.setattr(studio.datasets, "table", changed_before)
    with pytest.raises(StudioError, match="changed by someone else"):
        studio.labels.apply(dataset)
    assert [each.version for each in studio.versions.all(dataset)] == [1, 2]
    assert studio.labels.apply(dataset).version == 3


def test_too_few_labels_can_not_be_used_and_the_reason_counts_them(studio, dataset):
    studio.labels.give(dataset, 1, "refund")
    with pytest.raises(StudioError) as refusal:
        studio.labels.apply(dataset)
    assert "So far, 1 row has a label" in refusal.value.message


def test_used_labels_make_a_new_version_that_can_be_trained_on(studio, dataset):
    for row, _ in enumerate(TEXTS[:10], start=1):
        studio.labels.give(dataset, row, "refund" if row % 2 else "parcel")
    record = studio.labels.apply(dataset)
    assert record.version == 2
    report = studio.checks.check(dataset)
    assert (report.task, report.usable, report.labels) == ("classification", 10, {"parcel": 5, "refund": 5})
    assert studio.datasets.rows(dataset, version=1).columns == ("text",), "the first version stays as it was"


def test_a_row_beyond_the_last_is_refused(studio, dataset):
    with pytest.raises(StudioError) as refusal:
        studio.labels.give(dataset, 99, "refund")
    assert refusal.value.code == "no-such-row"
    assert "1 to 12" in refusal.value.message


def test_labels_that_came_with_the_file_count_as_done(studio):
    dataset = studio.datasets.add_text(
        "text,label\n" + "\n".join(f"{t},{'a' if i < 3 else ''}" for i, t in enumerate(TEXTS))
    ).id
    state = studio.labels.state(dataset)
    assert (state.done, state.row, state.labels) == (3, 4, ("a",))


def test_html_in_a_label_is_kept_as_text(studio, dataset):
    state = studio.labels.give(dataset, 1, "<script>alert(1)</script>")
    assert state.recent[0].value == "<script>alert(1)</script>"


def test_a_label_that_was_edited_by_hand_after_it_was_used_stays_as_it_was_edited(studio, dataset):
    for row in range(1, 12):
        studio.labels.give(dataset, row, "refund" if row % 2 else "parcel")
    studio.labels.apply(dataset)
    studio.editing.edit(dataset, 1, {"label": "parcel"})
    assert studio.labels.state(dataset).counts == {"parcel": 6, "refund": 5}
    assert studio.labels.export_text(dataset).splitlines()[1].startswith(f"1,{TEXTS[0]},parcel,")
    studio.labels.give(dataset, 12, "parcel")
    made = studio.labels.apply(dataset)
    assert made.note.startswith("1 row labeled by hand")
    assert studio.datasets.rows(dataset, 1, 1).rows[0][1]["label"] == "parcel"


def test_labels_do_not_pass_to_other_rows_when_another_sheet_of_as_many_rows_is_read(studio, tmp_path):
    from openpyxl import Workbook

    book = Workbook()
    for title, sheet in (("Orders", book.active), ("Letters", book.create_sheet())):
        sheet.title = title
        for line in (["text"], *([f"{title} say this, number {n}"] for n in range(9))):
            sheet.append(line)
    book.save(tmp_path / "two.xlsx")
    dataset = studio.datasets.add_file(tmp_path / "two.xlsx").id
    studio.labels.give(dataset, 1, "refund")
    studio.datasets.reread(dataset, sheet="Letters")
    assert studio.labels.state(dataset).done == 0
    studio.datasets.reread(dataset, sheet="Orders")
    assert studio.labels.state(dataset).done == 1


def test_labels_of_two_texts_show_both_keep_both_and_get_no_suggestions(studio):
    rows = "".join(f"The lamp {n} is here.,No lamp {n} is here.\n" for n in range(1, 13))
    dataset = studio.datasets.add_text(f"premise,hypothesis\n{rows}").id
    state = studio.labels.set_names(dataset, ["follows", "not"])
    assert state.text == "The lamp 1 is here.\n\nNo lamp 1 is here."
    assert "two texts" in state.suggesting.unavailable_reason
    for row in range(1, 13):
        state = studio.labels.give(dataset, row, "follows" if row % 2 else "not")
    studio.labels.apply(dataset)
    roles = studio.datasets.spec(dataset).roles
    assert roles == {"premise": "text", "hypothesis": "second", "label": "label"}
    with pytest.raises(StudioError, match="one text"):
        studio.labels.suggest(dataset)


def suggested(row, label, by="refund", sure=0.9, **fields):
    """A label that a person gave a row, and the suggestion that they saw."""
    return Fact(version=1, row=row, value=label, suggested=by, sure=sure, **fields)


def test_labels_that_a_model_suggested_and_a_person_accepted_are_known_of_the_rows_of_a_version(studio, dataset):
    """They may be test rows, so the Evaluate tab counts them."""
    studio.labels.set_names(dataset, ["refund", "parcel"])
    facts = [suggested(row, "refund") for row in (1, 3, 5)]
    facts += [suggested(2, "parcel"), suggested(4, "parcel", by="parcel", sure=None)]
    facts += [Fact(version=1, row=row, value="parcel" if row % 2 else "refund") for row in range(6, 11)]
    facts += [suggested(5, "parcel"), suggested(11, "refund")]
    kept = studio.labels.facts.add(dataset, facts)
    studio.labels.facts.add(dataset, [Fact(version=1, what="undo", undoes=kept[-1].id)])
    assert studio.labels.apply(dataset).version == 2
    studio.labels.facts.add(dataset, [suggested(12, "refund").model_copy(update={"version": 2})])
    assert studio.labels.accepted(dataset, 2) == {1, 3, 4}, "row 5 was corrected later, row 11 was taken back"
    assert studio.labels.accepted(dataset, 1) == set(), "the first version has no labels"
    studio.labels.rename(dataset, "refund", "money back")
    studio.labels.apply(dataset)
    assert studio.labels.accepted(dataset, 3) == {1, 3, 4, 12}
    assert studio.labels.accepted(dataset, 2) == {1, 3, 4}


def test_rows_of_another_task_have_no_accepted_labels(studio):
    dataset = studio.datasets.add_text("question,answer\n" + "\n".join(f"{t},Yes" for t in TEXTS)).id
    studio.datasets.set_roles(dataset, "chat", {"question": "prompt", "answer": "reply"})
    assert studio.labels.accepted(dataset, 1) == set()
