"""Labels of two texts: which columns they are, how a model gets them, and what counts as one of them."""

from pathlib import Path

import pytest

from studio.data.formats import read
from studio.data.roles import infer, match
from studio.models.starters.install import fetch_starter
from studio.schema.errors import StudioError
from studio.tasks import TASKS, Encoding

CLASSIFICATION = TASKS["classification"]
ROLES = {"premise": "text", "hypothesis": "second", "label": "label"}
ROW = {"premise": "The shop opens at nine.", "hypothesis": "It is closed at eight.", "label": "follows"}


@pytest.fixture(scope="module")
def reader():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(fetch_starter("starter-classify"))


@pytest.fixture(scope="module")
def writer():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(fetch_starter("starter-chat"))


def encoding(tokenizer, kind="encoder", roles=ROLES, longest=64):
    return Encoding(tokenizer, roles, longest, ("follows", "not"), kind=kind)


@pytest.mark.parametrize(
    ("columns", "roles"),
    [
        (("premise", "hypothesis", "label"), ["text", "second", "label"]),
        (("idx", "sentence1", "sentence2", "label"), [None, "text", "second", "label"]),
        (("question", "passage", "label"), ["text", "second", "label"]),
        (("text", "label"), ["text", "label"]),
    ],
)
def test_two_texts_with_a_label_are_told_by_their_names(tmp_path: Path, columns, roles) -> None:
    path = tmp_path / "rows.csv"
    cells = {"label": ("yes", "no"), "idx": ("1", "2")}
    path.write_text(
        "\n".join(
            [
                ",".join(columns),
                *(
                    ",".join(cells.get(name, (f"Some words of {name} {n}",) * 2)[n % 2] for name in columns)
                    for n in range(20)
                ),
            ]
        )
    )
    found = infer(read(path), list(TASKS.values()))
    assert found.task.name == "classification"
    assert [found.matched.roles.get(name) for name in columns] == roles


def test_two_texts_with_a_score_are_told_too(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    rows = "".join(f"One text {n},Another {n},{n % 5 + 0.5}\n" for n in range(20))
    path.write_text(f"sentence1,sentence2,score\n{rows}")
    found = infer(read(path), list(TASKS.values()))
    assert found.matched.roles == {"sentence1": "text", "sentence2": "second", "score": "score"}


def test_a_reader_gets_both_as_its_tokenizer_pairs_them(reader) -> None:
    example = CLASSIFICATION.encode(ROW, encoding(reader))
    plain = reader(ROW["premise"], ROW["hypothesis"])
    assert example.input_ids == plain["input_ids"] and example.types == plain["token_type_ids"]
    assert set(example.types) == {0, 1} and not example.truncated
    prompt = CLASSIFICATION.prompt_of(ROW, ROLES)
    assert CLASSIFICATION.prompt_ids(prompt, encoding(reader)) == plain["input_ids"]
    assert CLASSIFICATION.model_input(prompt, encoding(reader)) == [ROW["premise"], ROW["hypothesis"]]


def test_of_two_texts_the_longer_one_is_cut(reader) -> None:
    row = {**ROW, "premise": "open " * 60}
    example = CLASSIFICATION.encode(row, encoding(reader, longest=24))
    assert len(example.input_ids) == 24 and example.truncated
    assert "it is closed at eight." in reader.decode(example.input_ids)
    assert example.types == reader(row["premise"], row["hypothesis"], truncation=True, max_length=24)["token_type_ids"]


def test_a_writer_gets_them_with_an_empty_line_between_and_no_types(writer) -> None:
    example = CLASSIFICATION.encode(ROW, encoding(writer, "causal"))
    assert writer.decode(example.input_ids) == f"{ROW['premise']}\n\n{ROW['hypothesis']}" and example.types == []


def test_empty_lines_within_the_first_text_do_not_part_it(reader) -> None:
    row = {**ROW, "premise": "Dear shop.\n\n \nAre you open?"}
    prompt = CLASSIFICATION.prompt_of(row, ROLES)
    assert prompt == "Dear shop.\nAre you open?\n\nIt is closed at eight."
    plain = reader("Dear shop.\nAre you open?", row["hypothesis"])["input_ids"]
    assert CLASSIFICATION.encode(row, encoding(reader)).input_ids == plain
    assert CLASSIFICATION.prompt_ids(prompt, encoding(reader)) == plain


def test_a_row_that_lacks_one_of_its_texts_is_named_by_it() -> None:
    assert CLASSIFICATION.missing({**ROW, "hypothesis": " "}, ROLES) == "second"
    assert CLASSIFICATION.missing({**ROW, "premise": ""}, ROLES) == "text"
    assert CLASSIFICATION.missing({**ROW, "label": None}, ROLES) == "label"
    assert CLASSIFICATION.missing(ROW, ROLES) == ""


def test_one_text_is_encoded_as_before(reader) -> None:
    roles = {"premise": "text", "label": "label"}
    example = CLASSIFICATION.encode(ROW, encoding(reader, roles=roles))
    assert example.input_ids == reader(ROW["premise"])["input_ids"] and example.types == []
    assert CLASSIFICATION.model_input(ROW["premise"], encoding(reader, roles=roles)) == ROW["premise"]


def test_the_second_text_alone_is_not_enough() -> None:
    with pytest.raises(StudioError, match="text"):
        match(("hypothesis", "label"), CLASSIFICATION, {"hypothesis": "second"}, [])
