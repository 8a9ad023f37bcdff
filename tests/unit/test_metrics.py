"""Metrics: the registry, and numbers that can be worked out by hand."""

import math

import numpy as np
import pytest

from studio.metrics import METRICS, answers, measure
from studio.metrics.scores import confusion, per_label
from studio.metrics.texts import WordTokenizer, observe
from studio.tasks import TASKS

TEXTS = {"loss": np.array([2.0, 12.0]), "tokens": np.array([2, 4]), "right": np.array([1, 2])}
PAIRS = {
    name: np.array(values)
    for name, values in (
        ("chosen", [-1.0, -2.0]),
        ("rejected", [-2.0, -1.5]),
        ("reward_chosen", [0.5, 0.1]),
        ("reward_rejected", [0.2, 0.3]),
    )
}
THUMBS = {
    "liked": np.array([True, True, False]),
    "likelihood": np.array([-1.0, -3.0, -2.0]),
    "reward": np.array([0.4, 0.2, -0.1]),
}
SCORED = {"score": np.array([1.0, 2.0, 4.0]), "guess": np.array([1.5, 2.5, 3.0])}
SAID, RIGHT = ["the cat sat on a mat", "no cat"], ["the cat sat on the mat", "a dog"]
WRITTEN = observe(SAID, RIGHT) | answers.observe(SAID, [[each] for each in RIGHT])
LABELS = {"expected": np.array([0, 0, 0, 1]), "predicted": np.array([0, 0, 1, 1])}


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_every_metric_that_a_task_names_is_registered(task: object) -> None:
    assert set(task.metrics) <= set(METRICS)  # type: ignore[attr-defined]


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_every_metric_says_what_it_is_and_gives_one_number(metric: object) -> None:
    needs = set(metric.needs)  # type: ignore[attr-defined]
    known = (TEXTS, LABELS | {"loss": np.ones(4)}, PAIRS, THUMBS, WRITTEN, SCORED)
    observed = next(each for each in known if needs <= set(each))
    assert metric.title and metric.sentence.endswith(".")  # type: ignore[attr-defined]
    assert isinstance(metric.compute(observed), float)  # type: ignore[attr-defined]


def test_loss_weighs_a_row_by_its_tokens() -> None:
    assert METRICS["loss"].compute(TEXTS) == pytest.approx(14 / 6)
    assert METRICS["perplexity"].compute(TEXTS) == pytest.approx(math.exp(14 / 6))
    assert METRICS["token_accuracy"].compute(TEXTS) == pytest.approx(0.5)


def test_loss_without_tokens_is_the_mean_over_rows() -> None:
    assert METRICS["loss"].compute({"loss": np.array([1.0, 3.0])}) == 2


def test_accuracy_and_macro_f1_count_labels() -> None:
    assert METRICS["accuracy"].compute(LABELS) == pytest.approx(0.75)
    assert METRICS["macro_f1"].compute(LABELS) == pytest.approx((0.8 + 2 / 3) / 2)


def test_pairs_and_thumbs_are_counted() -> None:
    assert METRICS["preferred"].compute(PAIRS) == 0.5
    assert METRICS["reward_accuracy"].compute(PAIRS) == 0.5
    assert METRICS["reward_margin"].compute(PAIRS) == pytest.approx(0.05)
    assert METRICS["thumbs_told_apart"].compute(THUMBS) == 0.5
    assert METRICS["reward_gap"].compute(THUMBS) == pytest.approx(0.4)


def test_written_texts_have_the_libraries_own_scores() -> None:
    import sacrebleu

    assert METRICS["bleu"].compute(WRITTEN) == pytest.approx(sacrebleu.corpus_bleu(SAID, [RIGHT]).score)
    assert METRICS["chrf"].compute(WRITTEN) == pytest.approx(sacrebleu.corpus_chrf(SAID, [RIGHT]).score)
    assert METRICS["rouge1"].compute(WRITTEN) == pytest.approx((5 / 6 + 0) / 2)
    assert METRICS["rougeL"].compute(observe(["über die Brücke"], ["über die Brücke"])) == 1  # words of any script


def test_scores_are_compared_by_distance_and_by_order() -> None:
    assert METRICS["mse"].compute(SCORED) == pytest.approx((0.25 + 0.25 + 1) / 3)
    assert METRICS["spearman"].compute(SCORED) == pytest.approx(1)
    assert METRICS["pearson"].compute(SCORED) == pytest.approx(np.corrcoef(SCORED["score"], SCORED["guess"])[0, 1])
    assert METRICS["pearson"].compute({"score": np.ones(3), "guess": np.arange(3.0)}) == 0


def test_several_labels_a_row_are_counted() -> None:
    several = {"expected": np.array([[1, 0], [1, 1]]), "predicted": np.array([[1, 0], [0, 1]])}
    assert METRICS["accuracy"].compute(several) == 0.5  # all labels of a row right
    assert METRICS["micro_f1"].compute(several) == pytest.approx(0.8)
    assert METRICS["macro_f1"].compute(several) == pytest.approx((2 / 3 + 1) / 2)


def test_only_metrics_with_their_observations_are_measured() -> None:
    assert set(measure(["accuracy", "macro_f1", "loss"], LABELS)) == {"accuracy", "macro_f1"}
    assert set(measure(["loss", "perplexity"], TEXTS)) == {"loss", "perplexity"}


def test_labels_that_never_occur_are_listed_with_no_rows() -> None:
    found = per_label(LABELS["expected"], LABELS["predicted"], ["a", "b", "never"])
    assert found["a"] == {"precision": 1.0, "recall": pytest.approx(2 / 3), "f1": pytest.approx(0.8), "rows": 3}
    assert found["never"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "rows": 0}


def test_the_confusion_has_a_place_for_each_pair_of_labels() -> None:
    found = confusion(LABELS["expected"], LABELS["predicted"], ["a", "b"])
    assert found == {"a": {"a": 2, "b": 1}, "b": {"a": 0, "b": 1}}


def test_a_label_of_which_no_row_holds_anything_takes_nothing_from_macro_f1() -> None:
    right = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0]])
    assert METRICS["macro_f1"].compute({"expected": right, "predicted": right}) == 1
    wrong = np.array([[1, 0, 1], [0, 1, 0], [1, 1, 0]])
    assert METRICS["macro_f1"].compute({"expected": right, "predicted": wrong}) == pytest.approx(2 / 3)
    assert METRICS["macro_f1"].compute({"expected": right * 0, "predicted": right * 0}) == 0


def test_rouge_reads_vowel_signs_accents_and_scripts_without_spaces() -> None:
    assert WordTokenizer().tokenize("राम की किताब") == ["राम", "की", "किताब"]
    assert WordTokenizer().tokenize("Cafe\u0301, straße_7!") == ["cafe\u0301", "straße_7"]
    assert WordTokenizer().tokenize("今天 GPT-4 好") == ["今", "天", "gpt", "4", "好"]
    scores = observe(["राम का काम", "今天天气很好"], ["राम की कमी", "今天天气不好"])["rouge1"]
    assert list(scores) == [pytest.approx(1 / 3), pytest.approx(5 / 6)]


@pytest.mark.parametrize("shape", [(40,), (40, 3)])
def test_scores_of_labels_are_those_of_scikit_learn(shape: tuple[int, ...]) -> None:
    from sklearn.metrics import accuracy_score, f1_score

    random = np.random.default_rng(1)
    expected, predicted = (random.integers(0, 2 if len(shape) > 1 else 6, shape) for _ in range(2))
    observed = {"expected": expected, "predicted": predicted}
    assert METRICS["accuracy"].compute(observed) == pytest.approx(accuracy_score(expected, predicted))
    assert METRICS["macro_f1"].compute(observed) == pytest.approx(f1_score(expected, predicted, average="macro"))


def test_bleu_counts_characters_of_scripts_without_spaces_and_texts_of_few_words() -> None:
    right = ["我昨天去了图书馆。", "今天天气很好。"] * 3
    assert METRICS["bleu"].compute(observe(right, right)) == pytest.approx(100)
    assert 20 < METRICS["bleu"].compute(observe([text.replace("了", "") for text in right], right)) < 100
    short = ["Save as", "Open file", "Close"]
    assert METRICS["bleu"].compute(observe(short, short)) == pytest.approx(100)
