"""Labels with probabilities, predictions, and what a model sees of a row."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from made_runs import CHAT_ROWS, LABELS, TEXTS, chat_run, label_run, starter, tiny_llama

from studio.inference.base_and_tuned import ModelPair, load_pair
from studio.inference.batches import by_length
from studio.inference.classify import NUM_NEIGHBORS, classify, neighbors, probabilities
from studio.inference.generate import BatchOptions
from studio.inference.load import load_tokenizer, training_template
from studio.inference.predict import predict
from studio.inference.preview import EXACT, lengths, pieces, preview
from studio.schema.errors import StudioError
from studio.schema.report import ChatSettings
from studio.tasks import Encoding, task_named

ROLES = {"question": "prompt", "answer": "reply"}


@pytest.fixture(scope="module")
def sorter(tmp_path_factory: pytest.TempPathFactory) -> ModelPair:
    return load_pair(label_run(starter("starter-classify"), tmp_path_factory.mktemp("labels")))


@pytest.fixture(scope="module")
def talker(tmp_path_factory: pytest.TempPathFactory) -> ModelPair:
    folder = tmp_path_factory.mktemp("talk")
    return load_pair(chat_run(tiny_llama(folder / "base"), folder / "run", precision="float32"))


def silent(*_: Any) -> None: ...


def ids_of(pair: ModelPair, texts: list[str]) -> list[list[int]]:
    return [pair.task.prompt_ids(text, pair.encoding()) for text in texts]


def test_batches_hold_every_row_once_and_no_more_tokens_than_allowed() -> None:
    lengths_ = [3, 90, 12, 40, 41, 1, 300, 7]
    batches = by_length(lengths_, most_tokens=100, most_rows=3)
    assert sorted(each for batch in batches for each in batch) == list(range(8))
    for batch in batches:
        assert len(batch) <= 3
        assert len(batch) == 1 or max(lengths_[each] for each in batch) * len(batch) <= 100


def test_a_row_has_the_same_probabilities_alone_and_among_others(sorter: ModelPair) -> None:
    ids = ids_of(sorter, [text for _, text in TEXTS])
    together = probabilities(sorter, ids)
    assert together.shape == (len(TEXTS), len(LABELS))
    assert together.sum(1) == pytest.approx(1)
    for place in (0, 5, 11):
        assert together[place] == pytest.approx(probabilities(sorter, [ids[place]])[0], abs=1e-4)


def test_merged_and_beside_the_base_the_adapter_gives_the_same_probabilities(sorter: ModelPair) -> None:
    ids = ids_of(sorter, ["The lid cracked.", "Thank you!"])
    beside = load_pair(sorter.run, one_copy=True)
    assert probabilities(beside, ids) == pytest.approx(probabilities(sorter, ids), abs=1e-4)
    base, _ = classify(beside, TEXTS[0][1])
    assert base.labels == classify(sorter, TEXTS[0][1])[0].labels, "the base must not feel the adapter"


def test_beside_the_tuned_are_nearest_neighbors_without_the_text_itself_and_it_is_said(sorter: ModelPair) -> None:
    for _, text in TEXTS[::4]:
        base, tuned = classify(sorter, text)
        assert base.title == "Similar rows · nearest neighbors" and "without this text itself" in base.how
        assert f"{NUM_NEIGHBORS} most similar of {len(TEXTS)} training rows" in base.how
        assert max(each.probability for each in base.labels) < 1, "the text does not find itself"
        assert not tuned.how
        for answer in (base, tuned):
            assert sorted(each.label for each in answer.labels) == sorted(LABELS)
            assert sum(each.probability for each in answer.labels) == pytest.approx(1, abs=1e-4)
            assert list(answer.labels) == sorted(answer.labels, key=lambda each: -each.probability)


def test_without_the_rows_it_learned_from_there_are_no_neighbors_and_the_tuned_still_answers(
    sorter: ModelPair,
) -> None:
    alone = load_pair(sorter.run.model_copy(update={"learned_from": None}))
    base, tuned = classify(alone, "Hello")
    assert base.text == "The base model can't classify." and not base.labels and "no longer here" in base.how
    assert tuned.labels
    with pytest.raises(StudioError) as refused:
        predict(alone, [{"text": "Hello"}], {"text": "text"}, True, BatchOptions(ChatSettings(), silent))
    assert refused.value.code == "damaged-run"


def test_a_text_that_is_a_training_row_is_looked_up_among_the_others_only(sorter: ModelPair) -> None:
    nearest, ids = neighbors(sorter), ids_of(sorter, [TEXTS[0][1], "Something that no row says."])
    twice = nearest.probabilities(sorter, ids)
    assert twice[0] != pytest.approx([1, 0, 0], abs=1e-3), "with itself, it would be its own answer"
    assert twice[0].sum() == pytest.approx(1)
    alone = nearest.probabilities(sorter, ids[1:])
    assert twice[1] == pytest.approx(alone[0], abs=1e-3)


def test_every_row_gets_a_label_with_confidence_and_an_empty_one_none(sorter: ModelPair) -> None:
    rows = [{"text": "It broke."}, {"text": None}, {"text": "Lovely!"}]
    found = predict(sorter, rows, {"text": "text"}, False, BatchOptions(ChatSettings(), silent))
    assert found[1] == ("", None)
    assert all(
        label in LABELS and confidence is not None and 1 / 3 <= confidence <= 1 for label, confidence in found[::2]
    )


def test_every_row_gets_a_reply_and_base_and_tuned_differ(talker: ModelPair) -> None:
    settings = ChatSettings(max_new_tokens=8)
    moves: list[tuple[int, int]] = []
    said = {
        base: predict(talker, CHAT_ROWS, ROLES, base, BatchOptions(settings, lambda *move: moves.append(move)))
        for base in (False, True)
    }
    assert [len(each) for each in said.values()] == [len(CHAT_ROWS)] * 2
    assert said[False] != said[True]
    assert moves[-1] == (len(CHAT_ROWS), len(CHAT_ROWS))


def test_replies_of_a_batch_are_those_of_each_row_alone(talker: ModelPair) -> None:
    settings = ChatSettings(max_new_tokens=6)
    together = predict(talker, CHAT_ROWS, ROLES, False, BatchOptions(settings, silent))
    for place in (0, 3):
        assert predict(talker, [CHAT_ROWS[place]], ROLES, False, BatchOptions(settings, silent)) == [together[place]]


@pytest.mark.parametrize("roles", [ROLES, {"question": "prompt"}], ids=["empty reply", "no reply column"])
def test_a_row_without_a_reply_gets_one(talker: ModelPair, roles: dict[str, str]) -> None:
    rows = [{"question": CHAT_ROWS[0]["question"], "answer": ""}]
    settings = ChatSettings(max_new_tokens=6)
    whole = predict(talker, CHAT_ROWS[:1], ROLES, False, BatchOptions(settings, silent))
    assert predict(talker, rows, roles, False, BatchOptions(settings, silent)) == whole


def test_of_a_prompt_that_is_too_long_the_end_is_read(talker: ModelPair) -> None:
    rows = [{"question": "Why? " * 400 + CHAT_ROWS[0]["question"], "answer": ""}]
    found = predict(talker, rows, ROLES, False, BatchOptions(ChatSettings(max_new_tokens=6), silent))
    assert found[0][0]


def encoding_for(tokenizer: Any, max_length: int) -> Encoding:
    return Encoding(tokenizer, ROLES, max_length, training_template=training_template(tokenizer))


def test_the_pieces_of_a_text_add_up_to_it() -> None:
    tokenizer = load_tokenizer(starter("starter-chat"))
    text = "naïve 😀 日本語 and  two spaces\n"
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    found = pieces(tokenizer, ids)
    assert len(found) == len(ids) and "".join(found) == text


def test_the_preview_shows_what_encode_gives_and_where_it_is_cut() -> None:
    chat, tokenizer = task_named("chat"), load_tokenizer(starter("starter-chat"))
    encoding = encoding_for(tokenizer, 512)
    shown, example = preview(chat, CHAT_ROWS[0], encoding, 7), chat.encode(CHAT_ROWS[0], encoding)
    assert [token.id for token in shown.tokens] == example.input_ids
    assert [token.learned for token in shown.tokens] == example.learned
    learned = "".join(token.text for token in shown.tokens if token.learned)
    assert learned.startswith("It left us on Monday.")
    assert (shown.row, shown.truncated, shown.full_length) == (7, False, len(example.input_ids))
    cut = preview(chat, CHAT_ROWS[0], encoding_for(tokenizer, 20))
    assert cut.truncated and len(cut.tokens) == 20 and cut.full_length == shown.full_length


def test_lengths_of_many_rows_agree_with_encode_where_the_limit_decides() -> None:
    chat, tokenizer = task_named("chat"), load_tokenizer(starter("starter-chat"))
    encoding = encoding_for(tokenizer, 512)
    rows = [{"question": "Why? " * (1 + place % 40), "answer": "So. " * (place % 17)} for place in range(EXACT + 200)]
    found, heads, learned = lengths(chat, rows, encoding, 80, silent)
    exact = [0 if chat.missing(row, ROLES) else chat.encode(row, encoding).full_length for row in rows]
    assert [length > 80 for length in found] == [length > 80 for length in exact]
    assert max(abs(a - b) for a, b in zip(found, exact, strict=True)) <= 3
    assert found[0] == 0 == exact[0], "a row without a reply has no length"
    few, _, _ = lengths(chat, rows[:50], encoding, 80, silent)
    assert few == exact[:50]
    assert 0.05 < learned < 0.6 and not any(heads)


def _read(path: Path) -> list[dict[str, Any]]:
    if path.suffix in (".csv", ".tsv"):
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ","))
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    if path.suffix == ".json":
        return list(json.loads(path.read_text("utf-8")))
    if path.suffix == ".parquet":
        import pyarrow.parquet

        return list(pyarrow.parquet.read_table(path).to_pylist())
    from openpyxl import load_workbook

    header, *rows = load_workbook(path).active.iter_rows(values_only=True)
    return [dict(zip(header, row, strict=True)) for row in rows]
