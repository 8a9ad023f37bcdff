"""What steps 4 to 7 and Runs are drawn from: pure functions, every text escaped, every state with its way on."""

import re
import time
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from studio.schema.config import TrainingConfig
from studio.schema.exports import ExportView
from studio.schema.report import Baseline, BaselineMetric, ExportResult, FoldScore, JudgedRow, Metric, Preview, Report
from studio.schema.runs import RunRecord
from studio.schema.views import Progress
from studio.services.runs.next_step import NextStep, RunFacts, StepKind
from studio.ui.components import next_step
from studio.ui.components.basic import action_bar
from studio.ui.components.scorecard import matrix, per_label, row_table, scorecard, signed, value
from studio.ui.components.sparkline import spark
from studio.ui.components.tokens import template_panel
from studio.ui.jobs import Job
from studio.ui.tabs import evaluate, export, train
from studio.ui.tabs.runs import tab as runs_tab
from studio.ui.visitors.session import Sessions

EVIL = '<img src=x onerror="alert(1)">'


def a_run(**values: object) -> RunRecord:
    fields = {
        "id": "20261124-0a1b2c3d",
        "name": EVIL,
        "status": "finished",
        "task": "chat",
        "model": "starter-chat",
        "method": "lora",
        "created": "2026-11-24T08:00:00.000Z",
        "step": 210,
        "steps": 312,
        **values,
    }
    return RunRecord(**fields)  # type: ignore[arg-type]


def the_bar(**values: object) -> str:
    return train.bar(Progress(record=a_run(**values), share=0.5, seconds_left=185, saved=180, bytes=3_000_000))


@pytest.mark.parametrize(
    ("state", "has", "lacks"),
    [
        ({"status": "training"}, ['data-wish="keep"', 'data-wish="discard"', "data-confirm", "disabled"], ["Resume"]),
        ({"status": "queued"}, ["Leave the queue", 'data-act="pause"'], ['data-wish="discard"']),
        ({"status": "training"}, ['data-act="pause"', "This deletes its", "Stop keeps the best checkpoint"], []),
        ({"status": "stopping", "stop_wish": "pause"}, ["Pausing after this step"], []),
        ({"status": "paused"}, ["Resume from step 180", "data-primary", "Delete run"], ["Chat with", "Start again"]),
        ({"status": "stopping"}, ["Stopping after this step"], []),
        ({"status": "finished", "has_result": True, "best_step": 120}, ["training step 120 is"], ["Stop"]),
        ({"status": "finished", "has_result": True}, ["Run again"], ['data-act="resume"']),
        ({"status": "stopped", "has_result": True}, ["Chat with both", "Resume from step 180"], ["Start again"]),
        ({"status": "failed", "has_result": True}, ["Chat with both", "Resume from step 180"], ["Start again"]),
        ({"status": "interrupted", "has_result": True}, ["Chat with both", "Resume from step 180"], ["Start again"]),
        ({"status": "paused", "has_result": True}, ["Chat with both", "Resume from step 180"], ["Start again"]),
        ({"status": "interrupted"}, ["Resume from step 180", "data-primary", "checkpoints, 3 MB"], ["Chat with both"]),
        ({"status": "failed"}, ['data-act="resume"'], ["Chat with both"]),
        ({"status": "stopped"}, ['data-act="resume"', 'data-act="delete"'], ["Chat with both"]),
    ],
)
def test_every_state_of_a_run_has_its_buttons(state: dict[str, object], has: list[str], lacks: list[str]) -> None:
    drawn = the_bar(**state)
    assert all(part in drawn for part in has), drawn
    assert not any(part in drawn for part in lacks), drawn
    assert "<img" not in drawn


def test_a_run_without_a_checkpoint_starts_again_and_says_so() -> None:
    drawn = train.bar(Progress(record=a_run(status="interrupted"), share=0.5, way_on="Nothing was saved: so it goes."))
    assert "Start again" in drawn and "Nothing was saved: so it goes." in drawn
    kept = train.bar(Progress(record=a_run(status="failed", has_result=True), share=0.5, way_on="Nothing was saved."))
    assert "Start again" in kept and "Chat with both" in kept


def test_what_is_destructive_names_the_loss() -> None:
    assert "discard 210 training steps" in the_bar(status="training")


REPORT = Report(
    rows=400,
    split="validation",
    verdict=EVIL,
    metrics={
        "accuracy": Metric(
            base=0.545,
            tuned=0.88,
            low=0.844,
            high=0.908,
            base_low=0.5,
            base_high=0.6,
            gain_low=0.28,
            gain_high=0.39,
            title="Accuracy",
        ),
        "token_accuracy": Metric(base=0.5, tuned=0.6, gain_low=-0.01, gain_high=0.2),
        "loss": Metric(base=3.1, tuned=3.4, higher_is_better=False, title="Loss"),
    },
    confusion={"good": {"good": 9, EVIL: 1}, EVIL: {"good": 4, EVIL: 6}},
    per_label={EVIL: {"precision": 0.5, "recall": 0.25, "f1": 0.33, "rows": 10}},
    worst_rows=(JudgedRow(row=7, text=EVIL, expected="good", base=EVIL, tuned=EVIL, score=0.1),),
)


def test_a_report_is_escaped_and_says_which_rows_it_stands_on() -> None:
    drawn = evaluate.report_body(a_run(best_step=120), REPORT, "worst")
    assert "<img" not in drawn and "onerror=&#34;" in drawn
    assert "400 validation rows" in drawn and "step 120" in drawn
    assert "validation, 400 rows" in drawn and "held-out" not in drawn and "unseen" not in drawn
    assert "they chose the checkpoint" in drawn


def test_a_gain_is_marked_only_where_it_is_one() -> None:
    drawn = scorecard(REPORT, "tuned")
    assert "54.5" in drawn and "88.0" in drawn and "84.4–90.8" in drawn
    assert '<b class="accent">+33.5</b>' in drawn
    assert "50.0–60.0" in drawn and "+28.0 to +39.0" in drawn
    assert '<b class="">+10.0</b>' in drawn, "the interval holds zero"
    assert '<b class="">+0.3</b>' in drawn, "a higher loss is no gain"


BASELINES = (
    Baseline(
        name="majority",
        title="Majority class",
        detail="Always the most frequent training label.",
        answer=EVIL,
        metrics={"accuracy": BaselineMetric(value=0.31, gain_low=0.4, gain_high=0.6)},
    ),
    Baseline(
        name="neighbors",
        title="Nearest neighbors",
        detail="The base model's embeddings and your training labels.",
        metrics={"accuracy": BaselineMetric(value=0.63, low=0.55, high=0.7, gain_low=0.1, gain_high=0.4)},
    ),
)
LABELED = REPORT.model_copy(
    update={
        "metrics": {"accuracy": REPORT.metrics["accuracy"].model_copy(update={"base": None})},
        "baselines": BASELINES,
        "outcome": "useful",
        "rows_needed": 60,
        "confused_rows": (JudgedRow(row=9, text="A", expected=EVIL, base="", tuned="good", score=0.1, guess="good"),),
    }
)


def test_a_classifier_is_beside_baselines_under_their_own_names_and_never_beside_the_base_model() -> None:
    drawn = evaluate.report_body(a_run(), LABELED, "worst")
    assert "Majority class" in drawn and "Nearest neighbors" in drawn and "31.0" in drawn and "63.0" in drawn
    assert '<b class="accent">+25.0</b>' in drawn and "<img" not in drawn
    assert "Base model<" not in drawn and "base model</span>" not in drawn
    settled = LABELED.model_copy(update={"rows_needed": None})
    assert "Open Data" not in evaluate.report_body(a_run(), settled, "worst")


def test_a_scorecard_with_many_baselines_has_the_whole_width() -> None:
    assert "cols ev wide" not in evaluate.report_body(a_run(), LABELED, "worst")
    three = LABELED.model_copy(update={"baselines": (*BASELINES, BASELINES[0].model_copy(update={"name": "chance"}))})
    assert "cols ev wide" in evaluate.report_body(a_run(), three, "worst")


def test_without_the_rows_of_the_run_no_button_leads_there() -> None:
    report = LABELED.model_copy(update={"also_in_training": 3})
    assert "Open Data" in evaluate.report_body(a_run(), report, "worst")
    assert "Open Data" not in evaluate.report_body(a_run(), report, "worst", has_rows=False)


def test_an_older_report_of_a_classifier_does_not_call_its_guess_the_base_model() -> None:
    drawn = evaluate.report_body(a_run(), REPORT, "worst")
    assert ">Similar rows · nearest neighbors<" in drawn
    assert "Base model<" not in drawn and "Evaluate again" in drawn


def test_equal_scores_are_no_difference_and_an_interval_around_zero_is_shown() -> None:
    tied = Metric(base=1.0, tuned=1.0, base_low=1.0, base_high=1.0, low=1.0, high=1.0, gain_low=0.0, gain_high=0.0)
    drawn = scorecard(REPORT.model_copy(update={"metrics": {"accuracy": tied}}), "tuned")
    assert "no difference" in drawn and "+0.0" not in drawn
    unsure = tied.model_copy(update={"gain_low": -0.02, "gain_high": 0.02})
    drawn = scorecard(REPORT.model_copy(update={"metrics": {"accuracy": unsure}}), "tuned")
    assert "no difference" not in drawn and "−2.0 to +2.0" in drawn


def test_what_makes_a_score_too_good_is_named_above_it_with_a_way_to_the_rows() -> None:
    assert "Open Data" not in evaluate.report_body(a_run(), REPORT, "worst")
    report = REPORT.model_copy(update={"also_in_training": 3, "accepted_labels": 1})
    drawn = evaluate.report_body(a_run(), report, "worst")
    assert "3 of these rows are also training rows" in drawn and "data leakage" in drawn
    assert "1 of these labels is the one that a model had suggested" in drawn and "a person accepted it" not in drawn
    assert "bootstrap; Wilson for scores of 0% and 100%" in drawn
    assert drawn.count('data-act="run-rows"') == 2
    assert drawn.index("data leakage") < drawn.index("Scorecard")
    saved = evaluate.report_page(a_run(), report, "MiniLM 22M")
    assert "3 of these rows" in saved and "Open Data" not in saved and "MiniLM 22M" in saved


def test_a_mistake_leads_to_its_rows_on_the_page_and_not_in_a_saved_report() -> None:
    drawn = evaluate.report_body(a_run(), LABELED, "worst")
    assert 'data-act="which" data-value="mix-1-0"' in drawn and 'data-value="mix-0-1"' not in drawn
    shown = evaluate.report_body(a_run(), LABELED, "mix-1-0")
    assert "taken for “good”" in shown and "<td class=num>9</td>" in shown
    for wrong in ("mix-9-0", "mix-1", "mix-a-b", "mix-0-1", "mix--1-0"):
        assert "<td class=num>7</td>" in evaluate.report_body(a_run(), LABELED, wrong)
    assert "data-act" not in evaluate.report_page(a_run(), LABELED)


def test_the_matrix_counts_the_mistakes_and_tells_them_from_what_is_right() -> None:
    drawn = matrix(REPORT)
    assert "5 of 20 predictions are wrong" in drawn and "validation, 400 rows" in drawn
    assert '<td class="hit"><b>9</b><small>90%</small>' in drawn
    assert '<td class="miss much"><b>4</b><small>40%</small>' in drawn
    assert "is taken for “good” 4 times." in drawn and "Show mistakes only" in drawn
    assert drawn.index("40%") > drawn.index("90%")


def many(count: int) -> Report:
    labels = [f"label {number}" for number in range(count)]
    confusion = {label: {other: int(label == other) for other in labels} for label in labels}
    confusion["label 3"]["label 5"] = 7
    return REPORT.model_copy(update={"confusion": confusion})


def test_many_labels_have_a_matrix_too_with_the_most_mistakes_first() -> None:
    drawn = matrix(many(77))
    assert drawn.count("<tr") == 78 and "“label 3” is taken for “label 5” 7 times." in drawn
    assert drawn.index(">label 3<") < drawn.index(">label 0<")
    assert '<tr class="clean"><th scope="row"><bdi translate="no">label 0' in drawn
    assert "the 100 labels with the most mistakes of 120" in matrix(many(120)) and len(drawn) < 400_000


def test_without_mistakes_there_is_nothing_to_filter() -> None:
    drawn = matrix(REPORT.model_copy(update={"confusion": {"a": {"a": 3}, "b": {"b": 2}}}))
    assert "No label was mixed up." in drawn and "Show mistakes only" not in drawn


def test_the_verdict_is_the_heading_and_what_it_rests_on_stands_under_it() -> None:
    drawn = evaluate.verdict(
        REPORT.model_copy(
            update={"verdict": "Better: 2.34 of 3.1. The gain is sure.", "note": "A note.", "per_label": None}
        )
    )
    assert "<h1>Better: 2.34 of 3.1.</h1><p>The gain is sure. A note.</p>" in drawn


def test_no_rows_is_said() -> None:
    assert "No rows to show" in row_table((), labels=True)


def test_labels_have_their_scores() -> None:
    assert REPORT.per_label is not None
    assert "50%" in per_label(REPORT.per_label) and "<img" not in per_label(REPORT.per_label)


def test_numbers_are_written_as_people_read_them() -> None:
    assert (value(0.876, True), value(1.6712, False)) == ("87.6", "1.67")
    assert (signed(-0.05, True), signed(0.3, False)) == ("−5.0", "+0.3")


def test_work_on_its_way_asks_again_by_itself_and_shows_how_far_it_is() -> None:
    drawn = evaluate.at_work(a_run(), Job(done=30, total=120))
    assert "25%" in drawn and "30 of 120" in drawn and "data-again" in drawn


ADAPTER = ExportView(format="adapter", title="Adapter", sentence=EVIL, bytes=9_800_000)
MERGED = ExportView(format="merged", title="Whole model", sentence="", bytes=270_000_000, unavailable_reason=EVIL)


def test_a_form_that_can_not_be_had_stays_and_says_why() -> None:
    drawn = export.body(a_run(), [ADAPTER, MERGED], ADAPTER, {})
    assert "disabled" in drawn and "Whole model" in drawn and "<img" not in drawn


def test_first_it_is_made_and_only_then_it_can_be_downloaded() -> None:
    assert 'data-act="export"' in export.bar(a_run(), ADAPTER, None)
    assert "data-download" not in export.bar(a_run(), ADAPTER, None)
    result = ExportResult(format="adapter", path="/home/x", bytes=9_700_000, tested="Same replies.", how_to_use=EVIL)
    done = ADAPTER.model_copy(update={"done": result})
    assert 'data-download="adapter"' in export.bar(a_run(), done, None)
    drawn = export.body(a_run(), [done], done, {})
    assert "Same replies." in drawn and "/home/x" not in drawn and "<img" not in drawn
    assert "disabled" in export.bar(a_run(), done, Job(done=1, total=2))


def test_while_it_is_made_the_page_names_the_phase_and_the_time_that_it_takes() -> None:
    job = Job("Converting the model to ONNX", total=7, done=2, began=time.monotonic() - 75)
    bar, body = export.bar(a_run(), ADAPTER, job), export.body(a_run(), [ADAPTER], ADAPTER, {"adapter": job})
    assert "Converting the model to ONNX" in bar and "1 min 15 s" in bar and "Converting the model to ONNX" in body
    assert 'data-again="1000"' in body, "the page looks again each second"
    assert re.search(r'data-act="cancel-export"[^>]*data-format="adapter"', bar)


def test_the_name_of_a_program_keeps_its_capital_letter() -> None:
    ollama = ADAPTER.model_copy(update={"format": "ollama", "title": "Ollama"})
    assert "Export Ollama" in export.bar(a_run(), ollama, None)
    assert "Export adapter" in export.bar(a_run(), ADAPTER, None)


def test_the_form_that_was_wanted_is_shown_unless_it_can_not_be_had() -> None:
    assert export.chosen_view([ADAPTER, MERGED], "merged") is ADAPTER
    assert export.chosen_view([MERGED, ADAPTER], "") is ADAPTER
    result = ExportResult(format="gguf", path="/home/x", bytes=9_700_000, tested="Same replies.", how_to_use="")
    done = ADAPTER.model_copy(update={"format": "gguf", "done": result})
    assert export.chosen_view([ADAPTER, done], "") is done, "what was exported is shown again"


def a_line(name: str, **config: object) -> runs_tab.Line:
    settings = TrainingConfig(task="chat", model="starter-chat", **config)  # type: ignore[arg-type]
    status = config.get("status", "finished")
    return runs_tab.Line(
        a_run(id=f"id-{name}", name=name, status=status), settings, "LoRA", EVIL, EVIL, ((0, 3.0), (30, 1.7)), 5
    )


@pytest.mark.parametrize(
    ("metrics", "shown"),
    [
        ({"eval_loss": 0.2, "eval_macro_f1": 0.874}, '87%<small class="d">macro f1'),
        ({"pearson": 0.968, "mse": 0.2}, '0.97<small class="d">pearson'),
        ({"eval_pearson": -0.25}, '-0.25<small class="d">pearson'),
        ({"eval_loss": 0.2}, "loss only"),
    ],
)
def test_a_share_is_shown_in_per_cent_and_a_correlation_as_it_is(metrics: dict[str, float], shown: str) -> None:
    line = a_line("one")
    drawn = runs_tab.table([replace(line, record=line.record.model_copy(update={"metrics": metrics}))], "", "")
    assert shown in drawn


def test_a_score_in_the_table_names_its_rows() -> None:
    line = a_line("one")
    record = line.record.model_copy(update={"metrics": {"eval_macro_f1": 1.0}})
    scored = replace(line, record=record, validation_rows=51)
    assert "validation, 51 rows" in runs_tab.table([scored], "", "")


def test_settings_that_differ_are_in_bold_and_the_usual_ones_are_not() -> None:
    lines = [a_line("one"), a_line("two"), a_line("three", lora_rank=4)]
    drawn = runs_tab.table(lines, "id-one", "")
    assert "<b>rank 4</b>" in drawn and "<b>rank 8</b>" not in drawn and "rank 8" in drawn
    assert "1.70" in drawn and "step 30" in drawn


def test_the_table_escapes_names_and_says_what_a_deletion_takes() -> None:
    drawn = runs_tab.table([a_line(EVIL)], "", "")
    assert "<img" not in drawn
    assert "its curve, log and checkpoints" in drawn


def test_a_table_without_a_run_says_how_to_see_more() -> None:
    assert "No run matches" in runs_tab.table([], "", "")


def test_tags_and_the_beginning_of_a_note_stand_by_the_name_and_are_escaped() -> None:
    line = a_line("one")
    record = line.record.model_copy(update={"tags": ("keep", EVIL), "note": f"{EVIL * 5}\nsecond line"})
    drawn = runs_tab.table([replace(line, record=record)], "", "")
    assert "keep" in drawn and "<img" not in drawn and "second line" not in drawn and "…" in drawn


def test_a_waiting_run_has_its_place_and_can_be_moved() -> None:
    line = a_line("one")
    waits = replace(
        line,
        record=line.record.model_copy(update={"status": "queued"}),
        waits="Waiting: 2 runs ahead of it.",
        ends=(False, True),
    )
    drawn = runs_tab.table([waits], "", "")
    assert "2 runs ahead of it." in drawn and 'data-way="up"' in drawn and "Move up: one" in drawn
    assert drawn.index("disabled") > drawn.index('data-way="up"')


def test_a_name_is_changed_in_its_row() -> None:
    drawn = runs_tab.table([a_line("one")], "", "id-one")
    assert 'data-act="rename"' in drawn and 'data-run="id-one"' in drawn
    assert drawn.count("data-autofocus") == 1, "what is typed next is the name"


def test_a_running_run_has_the_same_buttons_in_the_same_places_and_can_not_be_deleted() -> None:
    running = runs_tab.table([replace(a_line("one"), record=a_run(name="one", status="training"))], "", "")
    ended = runs_tab.table([a_line("one")], "", "")
    assert running.count('class="btn') == ended.count('class="btn') and "Stop the run first." in running
    assert "data-confirm" not in running


def test_the_question_before_a_deletion_says_that_it_is_final() -> None:
    drawn = [runs_tab.table([a_line("one")], "", ""), the_bar(status="failed")]
    assert all(re.search(r'data-confirm="Delete [^"]*\? This can&#39;t be undone\."', each) for each in drawn)


def test_a_miniature_curve_bears_none_one_and_equal_points() -> None:
    assert spark([], None) == ""
    assert "nan" not in spark([(0, float("nan")), (5, 2.0)], 5)
    assert "points=" in spark([(0, 2.0), (5, 2.0)], 0)


def test_a_damaged_database_is_told_where_no_run_is_left_of_it(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path / "home")
    visit = sessions.visit({}, "page", {})
    assert "damaged" not in runs_tab.drawn(visit)[0]
    visit.choose(task="chat")
    (visit.studio.context.workspace.root / "mended.json").write_text('["The database was found damaged <b>."]')
    drawn, _ = runs_tab.drawn(visit)
    assert "The database was found damaged &lt;b&gt;." in drawn and "Dismiss" in drawn
    sessions.root.close()


def test_only_a_chat_template_is_said_to_mark_who_speaks() -> None:
    one = Preview(text="", tokens=(), truncated=False, template="[CLS] {text} [SEP]")
    plain, chat = (template_panel(each) for each in (one, one.model_copy(update={"templated": True})))
    assert "who speaks" in chat and "assistant-only" in chat
    assert "who speaks" not in plain and "tokenizer adds" in plain and "[CLS] {text} [SEP]" in plain


STEPS = {
    "evaluate": ("Evaluate", 'data-act="evaluate"'),
    "cross-validate": ("Check with 5-fold cross-validation (4 min)", 'data-act="folds"'),
    "repeat": ("Run again with 6 epochs", 'data-act="repeat"'),
    "label": ("Label more rows", 'data-act="run-rows"'),
    "check-data": ("Check the rows", 'data-act="run-rows"'),
    "chat": ("Try it on a text", 'data-goto="chat"'),
    "export": ("Export", 'data-goto="export"'),
}


@pytest.mark.parametrize("kind", get_args(StepKind))
def test_every_next_step_is_the_one_primary_button_with_its_reason(kind: StepKind) -> None:
    facts = RunFacts(has_labels=True, repeat="Run again with 6 epochs", fold_seconds=240.0)
    primary = next_step.primary_of(NextStep(kind, "So it is."), facts, a_run(), "Try it on a text", here="evaluate")
    drawn = str(action_bar("So it is.", primary))
    assert drawn.count("data-primary") == 1 and "So it is." in drawn
    assert all(part in drawn for part in STEPS[kind])


def test_a_run_with_a_model_has_one_primary_step_on_the_train_tab_and_the_others_beside_it() -> None:
    drawn = the_bar(status="finished", has_result=True)
    assert drawn.count("data-primary") == 1
    assert re.search(r'data-primary[^>]*data-goto="evaluate"', drawn) and 'data-goto="chat"' in drawn


def test_the_scores_of_each_fold_are_beside_the_verdict_over_all_rows() -> None:
    folds = tuple(FoldScore(run=f"r{n}", rows=20 + n, metrics={"accuracy": 0.8 + n / 100}) for n in range(5))
    whole = LABELED.model_copy(update={"split": "folds", "rows": 110, "fold_scores": folds, "verdict": "Better."})
    report = LABELED.model_copy(update={"cross_validation": whole})
    saved = str(evaluate.report_page(a_run(), report))
    assert "Cross-validation" in saved and "Better." in saved and "cross-validation, 110 rows" in saved
    assert all(words in saved for words in ("80.0", "84.0", ">24<"))
    assert saved.count('id="score"') == 1


def test_no_tab_has_a_next_step_without_a_reason() -> None:
    sources = {path: path.read_text() for path in Path(evaluate.__file__).parent.rglob("*.py")}
    assert not [path.name for path, text in sources.items() if re.search(r"action_bar\(\s*\"\"", text)]


def test_rows_of_a_classifier_have_the_probability_of_the_expected_label_and_worst_rows_may_all_be_right() -> None:
    right = JudgedRow(row=3, text="Hi", expected="a", base="", tuned="a", score=0.62)
    report = REPORT.model_copy(update={"worst_rows": (right,), "confusion": {"a": {"a": 1}}})
    drawn = evaluate.report_body(a_run(), report, "worst")
    assert "probability 62%" in drawn and "All are right. The least certain come first." in drawn
    wrong = report.model_copy(update={"worst_rows": (right.model_copy(update={"tuned": "b"}),)})
    assert "All are right" not in evaluate.report_body(a_run(), wrong, "worst")
    changed = report.model_copy(update={"changed_rows": (right,)})
    assert "probability" not in row_text(evaluate.report_body(a_run(), changed, "changed"))
    texts = report.model_copy(update={"confusion": None})
    assert "probability" not in row_text(evaluate.report_body(a_run(), texts, "worst"))


def row_text(page: str) -> str:
    """The table of the rows."""
    return page.partition('id="rows-title"')[2].partition("</table>")[0]


def test_a_saved_report_begins_with_the_name_and_the_date_of_the_run() -> None:
    saved = evaluate.report_page(a_run(name="Mails", ended="2026-11-24T09:00:00.000Z"), REPORT)
    head = saved.partition("<main")[2].partition("<h1")[0]
    assert "Mails" in head and "Report" in head and "2026-11-24" in head


def test_a_report_on_validation_rows_says_why_its_loss_is_not_exactly_that_of_train() -> None:
    validation = REPORT.model_copy(update={"split": "validation", "confusion": None})
    assert "before merging" in evaluate.foot(a_run(), validation)
    assert "before merging" not in evaluate.foot(a_run(method="full"), validation)
    assert "before merging" not in evaluate.foot(a_run(), validation.model_copy(update={"split": "test"}))
