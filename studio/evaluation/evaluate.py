"""One report: both models on the same rows, whatever the task. Knows no store: rows come in, a report goes out."""

from collections.abc import Callable, Sequence

from studio.evaluation.evaluators import Judged, judge_labels, judge_texts
from studio.evaluation.extractive_qa import judge_pointed
from studio.evaluation.generation import judge_written
from studio.evaluation.multilabel_regression import judge_scores, judge_several
from studio.evaluation.preferences import judge_pairs, judge_thumbs
from studio.inference.base_and_tuned import Pair
from studio.inference.classify import knows
from studio.inference.rows import some_of
from studio.metrics import METRICS, Observations, measure
from studio.metrics.intervals import interval, paired_difference
from studio.schema.errors import StudioError
from studio.schema.report import Metric, Report
from studio.tasks import Row

MOST_TEXTS = 200
MOST_LABELS = 2000
SEED = 42
"""Draws the rows that are judged when there are more, and the resamples of the intervals."""
JUDGES: dict[str, Callable[..., Judged]] = {
    "sft": judge_texts,
    "classification": judge_labels,
    "preference": judge_pairs,
    "feedback": judge_thumbs,
    "seq2seq": judge_written,
    "written": judge_written,
    "spans": judge_pointed,
    "several": judge_several,
    "scores": judge_scores,
}
"""Name of a trainer (or of a judge that a task asks for) → who judges what it made."""
Progress = Callable[[int, int, str], None]


def evaluate(
    pair: Pair,
    rows: Sequence[tuple[int, Row]],
    split: str,
    progress: Progress,
    roles: dict[str, str] | None = None,
    limit: int | None = None,
) -> Report:
    """Judge base and tuned on (number, row); at most `limit` rows, drawn with a fixed seed."""
    roles = pair.run.spec.data.roles if roles is None else roles
    usable = [(number, row) for number, row in rows if not pair.task.missing(row, roles)]
    known = [(number, row) for number, row in usable if _label_is_known(pair, row, roles)]
    if not known:
        raise StudioError(
            "too-few-rows",
            "There is no row to evaluate on.",
            given=f"{len(rows):,} rows, none usable",
            hint="Give a file with rows that have both what is asked and what is right.",
        )
    most = limit or (MOST_LABELS if pair.head.at_once else MOST_TEXTS)
    chosen = [known[place] for place in some_of(range(len(known)), most, SEED)]
    judged = JUDGES[pair.variant.judge or pair.variant.trainer](pair, chosen, roles, progress)
    names = list(dict.fromkeys((*pair.variant.metrics, "loss")))
    metrics = _metrics(names, judged.base, judged.tuned)
    if not metrics:
        raise StudioError(
            "too-few-rows",
            "No row has a reply within the longest row that the run allows.",
            hint="Evaluate on shorter rows, or train again with a larger max length.",
        )
    said = judged.verdict(metrics, len(judged.numbers))
    notes = (_about_rows(len(rows), len(usable), len(known), len(chosen)), _about_split(split), judged.note)
    return Report(
        rows=len(judged.numbers),
        split=split,
        metrics=metrics,
        verdict=said,
        note=" ".join(filter(None, notes)),
        **judged.details,
    )


def _label_is_known(pair: Pair, row: Row, roles: dict[str, str]) -> bool:
    return pair.head.name != "labels" or knows(pair, row, roles)


def _metrics(names: Sequence[str], base: Observations | None, tuned: Observations) -> dict[str, Metric]:
    """Those that can be computed, of both where both brought what is needed, with their intervals."""
    of_base = {} if base is None else measure(names, base)
    found = {}
    for name, value in measure(names, tuned).items():
        about = METRICS[name]
        around = interval(about.compute, tuned, SEED)
        metric = Metric(
            base=of_base.get(name),
            tuned=value,
            low=around and around.low,
            high=around and around.high,
            higher_is_better=about.higher_is_better,
            title=about.title,
            as_share=about.as_share,
        )
        if base is not None and name in of_base:
            below, gain = interval(about.compute, base, SEED), paired_difference(about.compute, base, tuned, SEED)
            more = {"base_low": below and below.low, "base_high": below and below.high}
            more |= {"gain_low": gain and gain.low, "gain_high": gain and gain.high}
            metric = metric.model_copy(update=more)
        found[name] = metric
    return found


def _about_rows(given: int, usable: int, known: int, chosen: int) -> str:
    said = []
    if usable < given:
        said.append(f"{given - usable:,} of {given:,} rows lack what is asked or what is right and were left out.")
    if known < usable:
        said.append(f"{usable - known:,} rows have a label that the run did not learn and were left out.")
    if chosen < known:
        said.append(f"{chosen:,} of {known:,} rows were drawn at random (seed {SEED}).")
    return " ".join(said)


def _about_split(split: str) -> str:
    if split == "validation":
        return "These are the validation rows. They also chose the best step, so the numbers flatter a little."
    return ""
