"""The model card: the Hub can read it, it states what it must, and it gives nothing away."""

from pathlib import Path
from typing import Any

import pytest

from studio.export import EXPORTS, ExportJob, export_named
from studio.export.base import TestResult
from studio.export.card import escape, license_fields, model_card
from studio.export.folder import check_clean, check_target, without_paths
from studio.export.hub import files_to_push
from studio.inference.model_cache import ModelCache
from studio.schema.config import TrainingConfig, settings_of
from studio.schema.dataset import DatasetSpec, SplitCounts, SplitSpec
from studio.schema.errors import StudioError
from studio.schema.fields import about
from studio.schema.host import CardFacts, RunRef
from studio.schema.models import ModelInfo
from studio.schema.report import Baseline, BaselineMetric, Metric, Report
from studio.schema.runs import RunSpec
from studio.training.methods import quantizes_base
from studio.training.planning.setting_scope import applicable_settings, applies

NOTE = "Its weights come from a package and were quantized to 4 bits before."
REPORT = Report(
    rows=40,
    split="test",
    metrics={"loss": Metric(base=3.0, tuned=2.0, low=1.8, high=2.2, title="Loss", higher_is_better=False)},
    verdict="Clearly better.",
)
FACTS = CardFacts(
    run="20261124-ab",
    name="tone",
    dataset="rows.csv",
    rows=100,
    splits=SplitCounts(train=85, validation=10, test=5),
    report=REPORT,
    seconds=120,
    steps=64,
    best_step=48,
)


def run_of(task: str = "chat", method: str = "lora", home: str = "/home/ann", **changes: Any) -> RunRef:
    info = ModelInfo(
        name="starter-chat",
        title="Small",
        source="starter",
        kind="causal",
        path=f"{home}/models/small",
        origin="owner/small, from the package small 1.0",
        hub_id="owner/small",
        revision="0a1b2c3d",
        licence="apache-2.0",
        languages=("en",),
        note=NOTE,
    )
    labels = ("bug", "praise") if task == "classification" else ()
    config = TrainingConfig(task=task, model="starter-chat", method=method, **changes)
    data = DatasetSpec(task=task, roles={}, label_names=labels)
    spec = RunSpec(config=config, dataset="d", dataset_version=1, data=data, splits=SplitSpec())
    return RunRef(info=info, spec=spec, folder=f"{home}/studio/runs/20261124-ab", quantized=quantizes_base(method))


def front_of(card: str, tmp_path: Path) -> dict[str, Any]:
    from huggingface_hub import metadata_load

    (tmp_path / "README.md").write_text(card, encoding="utf-8")
    found = metadata_load(tmp_path / "README.md")
    assert found is not None
    return found


@pytest.mark.parametrize("exporter", EXPORTS.values(), ids=EXPORTS)
@pytest.mark.parametrize("task", ["chat", "classification"])
def test_the_hub_reads_the_front_matter(exporter: Any, task: str, tmp_path: Path) -> None:
    from huggingface_hub import ModelCard

    front = front_of(model_card(exporter, run_of(task), FACTS), tmp_path)
    assert front["license"] == "apache-2.0"
    assert front["base_model"] == "owner/small"
    assert front["library_name"] == exporter.library
    assert front["pipeline_tag"] == {"chat": "text-generation", "classification": "text-classification"}[task]
    results = ModelCard.load(tmp_path / "README.md").data.eval_results
    assert [(each.metric_type, each.metric_value, each.dataset_split) for each in results] == [("loss", 2.0, "test")]


@pytest.mark.parametrize("exporter", EXPORTS.values(), ids=EXPORTS)
def test_each_export_names_its_base_model_with_the_revision_and_the_license(exporter: Any) -> None:
    job = ExportJob(run_of(), FACTS, ModelCache(), options={"hardware": "cpu", "precision": "q8_0"})
    card = exporter.card(job, TestResult("Tested."))
    assert "owner/small" in card and "revision `0a1b2c3d`" in card and "apache-2.0" in card and "Tested." in card


def test_it_states_base_data_splits_metrics_and_where_the_starter_came_from() -> None:
    card = model_card(export_named("adapter"), run_of(), FACTS)
    stated = (
        "owner/small",
        "package small 1.0",
        NOTE,
        "rows.csv: 100 usable rows",
        "The merged model contains the exact weights",
    )
    for said in (*stated, "Train 85, validation 10, test 5", "| Loss | 3.000 | 2.000 | 1.800 to 2.200 |"):
        assert said in card, said


def test_it_lists_every_setting_that_makes_a_difference() -> None:
    facts = FACTS.model_copy(update={"settings": tuple(applicable_settings("full", "chat"))})
    card = model_card(export_named("merged"), run_of(method="full"), facts)
    for name in settings_of():
        told = about(TrainingConfig, name)
        assert told is not None
        counts = applies(name, "full", "chat") and name != "system_prompt"
        assert (f"| {told.label} |" in card) == counts, name


def test_it_says_that_qlora_is_used_on_the_base_unquantized() -> None:
    four = model_card(export_named("merged"), run_of(method="qlora"), FACTS)
    assert "trained on a 4-bit (NF4) quantized copy of the base model" in four and "without quantization" in four
    eight = model_card(export_named("merged"), run_of(method="qlora", quantization="8-bit"), FACTS)
    assert (
        "trained on a 8-bit" not in eight
        and "an 8-bit quantized copy of the base model" in eight
        and "NF4" not in eight
    )
    assert "quantization" not in model_card(export_named("merged"), run_of(), FACTS)


def test_a_system_prompt_is_told_and_stands_in_the_snippet() -> None:
    card = model_card(export_named("merged"), run_of(system_prompt="Be short."), FACTS)
    assert "> Be short." in card and "'content': 'Be short.'" in card


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "a | b\n# c", "![x](http://y)", "`code`"])
def test_a_users_words_do_not_become_markup(text: str) -> None:
    from markdown_it import MarkdownIt

    shown = MarkdownIt("commonmark").enable("table").render(f"- {escape(text)}: 3 rows")
    assert shown.count("<") == 4, shown  # a list and one item, opened and closed


def test_a_base_with_no_hub_name_is_not_given_one(tmp_path: Path) -> None:
    run = run_of()
    info = run.info.model_copy(
        update={"source": "folder", "hub_id": None, "licence": "Our own", "origin": run.info.path}
    )
    front = front_of(model_card(export_named("merged"), run.model_copy(update={"info": info}), FACTS), tmp_path)
    assert "base_model" not in front
    assert (front["license"], front["license_name"]) == ("other", "our own")
    assert str(run.info.path) not in (tmp_path / "README.md").read_text()


def test_a_path_of_the_machine_is_taken_out_of_the_card_and_refused_elsewhere(tmp_path: Path) -> None:
    run = run_of()
    assert without_paths(f"see {run.folder}/x and {run.info.path}", run) == "see …/x and …"
    (tmp_path / "config.json").write_text('{"_name_or_path": "/home/ann/models/small"}')
    with pytest.raises(ValueError, match=r"config\.json contains a path"):
        check_clean(tmp_path, run)


@pytest.mark.parametrize("name", ["training_args.bin", "optimizer.pt", "rng_state.pth", "notes.py"])
def test_a_pickle_or_anything_else_that_does_not_belong_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(ValueError, match="must not contain"):
        check_clean(tmp_path, run_of())


def test_a_home_at_the_root_of_the_disk_is_no_path_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a container, a user without an entry has the home /. Then each URL would have it."""
    monkeypatch.setenv("HOME", "/")
    text = "[owner/small](https://huggingface.co/owner/small)"
    assert without_paths(text, run_of()) == text
    (tmp_path / "README.md").write_text(text)
    check_clean(tmp_path, run_of())
    assert [each.path for each in files_to_push(tmp_path)] == ["README.md"]


def test_a_token_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"x": "hf_' + "a" * 30 + '"}')
    with pytest.raises(ValueError, match="token"):
        check_clean(tmp_path, run_of())
    (tmp_path / "config.json").unlink()
    for name in ("model.gguf", "model.safetensors"):
        (tmp_path / name).write_bytes(b"GGUF\xff\0name hf_" + b"a" * 30 + b"\0")
        with pytest.raises(ValueError, match=f"{name} contains a path or a token"):
            check_clean(tmp_path, run_of(), frozenset((".gguf",)))
        (tmp_path / name).unlink()


def test_an_export_is_not_written_over_something_else(tmp_path: Path) -> None:
    check_target(tmp_path / "new" / "place", "peft")
    check_target(tmp_path / "new", "peft")
    mine = tmp_path / "mine"
    mine.mkdir()
    check_target(mine, "peft")
    (mine / "thesis.txt").write_text("years of work")
    with pytest.raises(StudioError) as refused:
        check_target(mine, "peft")
    assert refused.value.code == "not-allowed"
    (mine / "README.md").write_text(model_card(export_named("adapter"), run_of(), FACTS))
    check_target(mine, "peft")
    with pytest.raises(StudioError):
        check_target(mine, "transformers")


def test_an_unknown_form_names_the_nearest_one() -> None:
    with pytest.raises(StudioError) as refused:
        export_named("merge")
    assert refused.value.code == "unknown-name" and "merged" in refused.value.hint


def test_sizes_and_reasons_are_known_without_torch() -> None:
    import subprocess
    import sys

    code = "import sys; from studio.export import EXPORTS; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_snippet_of_an_adapter_that_says_scores_makes_one_score() -> None:
    run = run_of("classification")
    data = run.spec.data.model_copy(update={"roles": {"text": "text", "stars": "score"}, "label_names": ()})
    run = run.model_copy(update={"spec": run.spec.model_copy(update={"data": data})})
    assert "num_labels=1, id2label=dict(enumerate(['score']))" in export_named("adapter").snippet(run, "here")


def test_a_card_names_the_rows_of_its_scores_and_the_baselines_of_a_classifier() -> None:
    report = REPORT.model_copy(
        update={
            "metrics": {"accuracy": Metric(base=None, tuned=0.9, low=0.8, high=1.0, title="Accuracy")},
            "baselines": (
                Baseline(
                    name="majority",
                    title="Majority class",
                    detail="Always the most frequent training label.",
                    answer="bug",
                    metrics={"accuracy": BaselineMetric(value=0.5)},
                ),
            ),
        }
    )
    card = model_card(export_named("adapter"), run_of("classification"), FACTS.model_copy(update={"report": report}))
    assert "Measured on: test, 40 rows." in card and "held-out" not in card
    assert "| | majority class | fine-tuned model | 95% interval |" in card
    assert "| Accuracy | 0.500 | 0.900 | 0.800 to 1.000 |" in card
    assert "- Majority class: Always the most frequent training label." in card
    trained = FACTS.model_copy(update={"report": None, "metrics": {"macro_f1": 0.8}})
    assert "measured on: validation, 10 rows." in model_card(export_named("adapter"), run_of(), trained)


def test_the_model_index_has_every_score_with_the_split_and_the_number_of_its_rows(tmp_path: Path) -> None:
    from huggingface_hub import ModelCard

    metrics = {
        "accuracy": Metric(base=None, tuned=0.91, title="Accuracy"),
        "macro_f1": Metric(base=None, tuned=0.88, title="Macro F1"),
        "loss": Metric(base=None, tuned=float("nan"), title="Loss"),
    }
    report = Report(rows=57, split="test", metrics=metrics, verdict="Better.")
    facts = FACTS.model_copy(update={"report": report, "dataset": "hf:ann/rows"})
    (tmp_path / "README.md").write_text(model_card(export_named("merged"), run_of("classification"), facts))
    results = ModelCard.load(tmp_path / "README.md").data.eval_results
    assert [(each.metric_type, each.metric_value) for each in results] == [("accuracy", 0.91), ("f1", 0.88)]
    assert all(each.dataset_type == "ann/rows" and each.dataset_split == "test" for each in results)
    assert all(each.dataset_args == {"rows": 57} and each.task_type == "text-classification" for each in results)


@pytest.mark.parametrize(
    "evil",
    [
        "x\n---\nlicense: mit",
        "x'\nlicense: mit",
        'x"}\n--- \nlicense: mit',
        "- &a *a !!python/object:os.system x",
        "hf:../../x",
    ],
)
def test_a_name_of_a_run_or_a_dataset_changes_no_other_metadata(evil: str, tmp_path: Path) -> None:
    facts = FACTS.model_copy(update={"name": evil, "dataset": evil})
    front = front_of(model_card(export_named("adapter"), run_of(), facts), tmp_path)
    usual = front_of(model_card(export_named("adapter"), run_of(), FACTS), tmp_path)
    assert set(front) == set(usual)
    assert {name: front[name] for name in front if name != "model-index"} == {
        name: usual[name] for name in usual if name != "model-index"
    }
    (index,) = front["model-index"]
    assert index["name"] == " ".join(evil.split()) and index["results"][0]["dataset"]["type"] == "private"


def test_an_earlier_export_of_a_run_with_dashes_in_its_name_is_replaced(tmp_path: Path) -> None:
    facts = FACTS.model_copy(update={"name": "one --- two"})
    (tmp_path / "README.md").write_text(model_card(export_named("adapter"), run_of(), facts))
    check_target(tmp_path, "peft")


@pytest.mark.parametrize(
    ("license", "expected"),
    [
        ("MIT", {"license": "mit"}),
        ("gemma", {"license": "gemma"}),
        ("our-own", {"license": "other", "license_name": "our-own"}),
    ],
)
def test_a_license_without_a_name_on_the_hub_is_other(license: str, expected: dict[str, str]) -> None:
    assert license_fields(license) == expected


def test_a_model_that_needs_its_own_code_can_not_become_a_space() -> None:
    space = export_named("space")
    assert space.unavailable_reason(run_of()) == ""
    assert "code of its own" in space.unavailable_reason(run_of().model_copy(update={"trusted": True}))


@pytest.mark.parametrize(("rows", "languages"), [("de", ["de"]), ("", ["en"])])
def test_the_language_of_the_card_is_that_of_the_rows_if_it_is_known(
    rows: str, languages: list[str], tmp_path: Path
) -> None:
    card = model_card(export_named("merged"), run_of(), FACTS.model_copy(update={"language": rows}))
    assert front_of(card, tmp_path)["language"] == languages
