"""The model card: base, data, settings, metrics and use of a model, with the Hub's front matter."""

import math
import re
from collections.abc import Sequence
from typing import Any, Protocol

from studio.export.folder import TAG
from studio.export.hub import CONDITIONS, FREE
from studio.export.snippets import without_own_input
from studio.inference.base_and_tuned import precision_of
from studio.models.adapters import HUB_ID
from studio.schema.config import TrainingConfig
from studio.schema.fields import about
from studio.schema.host import CardFacts, RunRef
from studio.schema.numbers import rows as rows_words
from studio.schema.report import Metric, Report, Usage
from studio.tasks import task_named

METRIC_NAMES = {
    "macro_f1": "f1",
    "micro_f1": "f1",
    "pearson": "pearsonr",
    "spearman": "spearmanr",
    "rouge1": "rouge",
    "rouge2": "rouge",
    "rougeL": "rouge",
    "bleu": "sacrebleu",
    "thumbs_told_apart": "roc_auc",
}
"""Metric → its name on the Hub. Other metrics have the same name there, or none."""
OTHER_LICENSES = frozenset(
    "apple-amlr c-uda cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nd-4.0 deepfloyd-if-license "
    "fair-noncommercial-research-license h-research intel-research lppl-1.3c other unknown".split()
)
"""Licenses with a name on the Hub besides those that hub.py sorts by what they allow."""


class ExportInfo(Protocol):
    """What a card needs from an `Exporter`."""

    format: str
    library: str
    saved_as: str
    needs_base: bool

    def usages(self, run: RunRef, place: str, options: dict[str, str]) -> tuple[Usage, ...]: ...


class Tested(Protocol):
    """What a card needs from the test of an export."""

    @property
    def tested(self) -> str: ...

    @property
    def comparison(self) -> tuple[tuple[str, ...], ...]: ...


def model_card(
    exporter: ExportInfo,
    run: RunRef,
    facts: CardFacts,
    options: dict[str, str] | None = None,
    result: Tested | None = None,
) -> str:
    """Return README.md: front matter and text. `result` is the test of the export, if there was one."""
    import yaml

    front = yaml.safe_dump(front_matter(exporter, run, facts), sort_keys=False, allow_unicode=True)
    parts = [
        f"# {escape(facts.name or facts.run)}",
        _summary(exporter, run, (options or {}).get("precision", precision_of(run))),
        _base_section(exporter, run),
        _data_section(run, facts),
        _metrics_section(facts),
        _usage_section(exporter.usages(without_own_input(run), "path/to/this/folder", options or {})),
        _test_section(result),
        _system_prompt_section(run),
        _settings_section(run, facts),
        "## Limits\n\nThis model was fine-tuned on the rows named above only. On other subjects it can be worse than "
        "its base model, and its answers can be wrong. Test it on your own cases before others rely on it.",
    ]
    return f"---\n{front}---\n\n" + "\n\n".join(part for part in parts if part) + "\n"


def front_matter(exporter: ExportInfo, run: RunRef, facts: CardFacts) -> dict[str, Any]:
    """Return the Hub's metadata. It contains only names that exist on the Hub."""
    info, config = run.info, run.spec.config
    fields: dict[str, Any] = license_fields(info.licence)
    if languages := [facts.language] if facts.language else list(info.languages):
        fields["language"] = languages
    fields["library_name"] = exporter.library
    if tag := task_named(config.task).pipeline_tag:
        fields["pipeline_tag"] = tag
    if info.hub_id:
        fields["base_model"] = info.hub_id
        fields["base_model_relation"] = "adapter" if exporter.needs_base else "finetune"
    if dataset := hub_dataset(facts):
        fields["datasets"] = [dataset]
    fields["tags"] = [TAG, config.method, config.task]
    if facts.report is not None and any(math.isfinite(each.tuned) for each in facts.report.metrics.values()):
        fields["model-index"] = [_model_index(facts, config.task)]
    return fields


def license_fields(licence: str) -> dict[str, str]:
    """Return the metadata of a license. One that has no name on the Hub is `other`, with its own name."""
    name = one_line(licence.lower())
    if not name:
        return {}
    known = name in FREE or name in CONDITIONS or name in OTHER_LICENSES
    return {"license": name} if known else {"license": "other", "license_name": name}


def hub_dataset(facts: CardFacts) -> str:
    """Return the dataset's name on the Hub. Empty if it is not from there, or was given another name."""
    name = facts.dataset.removeprefix("hf:")
    return name if facts.dataset.startswith("hf:") and HUB_ID.fullmatch(name) else ""


def one_line(text: str) -> str:
    """Return a text on one line, so that nothing in it can end the metadata."""
    return " ".join(text.split())


def escape(text: str) -> str:
    """Return a user's text on one line, escaped so that it can't become markup."""
    return re.sub(r"([\\`*_{}\[\]<>#|])", r"\\\1", one_line(text)).replace("\\<", "&lt;").replace("\\>", "&gt;")


def _model_index(facts: CardFacts, task: str) -> dict[str, Any]:
    """Return the scores in the form that the Hub reads: each metric, the split and the number of its rows."""
    report = facts.report
    assert report is not None
    on_hub = hub_dataset(facts)
    return {
        "name": one_line(facts.name) or facts.run,
        "results": [
            {
                "task": {"type": task_named(task).pipeline_tag or task},
                "dataset": {
                    "type": on_hub or "private",
                    "name": on_hub or one_line(facts.dataset) or "own rows",
                    "split": report.split,
                    "args": {"rows": report.rows},
                },
                "metrics": [
                    {
                        "type": METRIC_NAMES.get(name, name),
                        "value": round(metric.tuned, 4),
                        "name": metric.title or name,
                    }
                    for name, metric in report.metrics.items()
                    if math.isfinite(metric.tuned)
                ],
            }
        ],
    }


def _summary(exporter: ExportInfo, run: RunRef, precision: str) -> str:
    task = task_named(run.spec.config.task)
    is_adapter = exporter.needs_base
    form = "An adapter for" if is_adapter else "A fine-tuned copy of"
    saved = exporter.saved_as or precision
    weights = f"Made for the base model in {precision}." if is_adapter else f"Saved in {saved}."
    return f"{form} {_base_name(run)}, made with Fine-tune Studio. Task: {task.title.lower()}, {task.term}. {weights}"


def _base_name(run: RunRef) -> str:
    info = run.info
    return f"[{info.hub_id}](https://huggingface.co/{info.hub_id})" if info.hub_id else escape(info.title)


def _base_section(exporter: ExportInfo, run: RunRef) -> str:
    info, lines = run.info, ["## Base model", ""]
    lines.append(f"- {_base_name(run)}" + (f", revision `{info.revision}`" if info.revision else ""))
    if info.source != "folder" and info.origin:
        lines.append(f"- Source of the weights: {escape(info.origin)}")
    if info.licence:
        lines.append(f"- License of the base model: {escape(info.licence)}")
    if info.note and info.hub_id:
        lines.append(f"- {escape(info.note)}")
        if exporter.needs_base:
            lines.append(
                "- With the weights from the Hub, replies differ slightly from those in the studio. "
                "The merged model contains the exact weights that the adapter was trained with."
            )
    if run.quantized:
        bits = {"4-bit": "a 4-bit (NF4)", "8-bit": "an 8-bit"}[run.spec.config.quantization]
        lines.append(f"- It was trained on {bits} quantized copy of the base model. It is used without quantization.")
    return "\n".join(lines)


def _data_section(run: RunRef, facts: CardFacts) -> str:
    lines = ["## Data", "", f"- {escape(facts.dataset) or 'Own rows'}: {facts.rows:,} usable rows"]
    if facts.splits is not None:
        parts = facts.splits
        lines.append(
            f"- Train {parts.train:,}, validation {parts.validation:,}, test {parts.test:,} (seed "
            f"{run.spec.splits.seed})"
        )
    if run.spec.data.label_names:
        lines.append("- Labels: " + ", ".join(escape(label) for label in run.spec.data.label_names))
    lines.append("- The rows themselves are not in this folder.")
    return "\n".join(lines)


def _metrics_section(facts: CardFacts) -> str:
    if facts.report is not None:
        return _report_section(facts.report)
    if not facts.metrics:
        return ""
    rows = [f"| {escape(name)} | {value:.4g} |" for name, value in facts.metrics.items()]
    where = f"validation, {rows_words(facts.splits.validation)}" if facts.splits else "the validation rows"
    return "\n".join(
        ["## Metrics", "", f"At the end of training, measured on: {where}.", "", "| | |", "|---|---|", *rows]
    )


def _report_section(report: Report) -> str:
    lines = [
        "## Metrics",
        "",
        f"Measured on: {report.measured_on}. {escape(report.verdict)}",
        "",
    ]
    others = [each.title.lower() for each in report.baselines] or ["base model"]
    lines += [f"| | {' | '.join(others)} | fine-tuned model | 95% interval |", "|---" * (len(others) + 3) + "|"]
    for name, metric in report.metrics.items():
        values = [each.metrics[name].value if name in each.metrics else None for each in report.baselines]
        compared = " | ".join(_number(value) for value in values or [metric.base])
        lines.append(f"| {metric.title or name} | {compared} | {_number(metric.tuned)} | {_interval(metric)} |")
    lines += [""] if report.baselines else []
    lines += [f"- {each.title}: {escape(each.detail)}" for each in report.baselines]
    if report.note:
        lines += ["", escape(report.note)]
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _interval(metric: Metric) -> str:
    return "" if metric.low is None else f"{_number(metric.low)} to {_number(metric.high)}"


def _usage_section(usages: Sequence[Usage]) -> str:
    lines = ["## How to use it"]
    for usage in usages:
        title = [f"### {usage.title}"] if len(usages) > 1 else []
        lines += [*title, f"```{usage.language}\n{usage.code.strip()}\n```"]
    return "\n\n".join(lines)


def _test_section(result: Tested | None) -> str:
    if result is None:
        return ""
    lines = ["## Test of this export", "", result.tested]
    if result.comparison:
        lines += ["", markdown_table(result.comparison)]
    return "\n".join(lines)


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as a table in Markdown. The first one is its head."""
    head, *others = rows
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *others))


def _system_prompt_section(run: RunRef) -> str:
    system = run.spec.config.system_prompt
    if not system:
        return ""
    return f"The model was trained with this system prompt. Use it for best results:\n\n> {escape(system)}"


def _settings_section(run: RunRef, facts: CardFacts) -> str:
    """Return all settings that matter for this method and task, with the library's names."""
    config = run.spec.config
    lines = [
        "## Settings",
        "",
        "| setting | value | in the library |",
        "|---|---|---|",
        f"| Method | {config.method} | |",
    ]
    for name in TrainingConfig.model_fields:
        info = about(TrainingConfig, name)
        if info is None or name not in facts.settings or name == "system_prompt":
            continue
        value = getattr(config, name)
        library = f"`{info.library}`" if info.library else ""
        lines.append(f"| {info.label} | {'depends on the rows' if value is None else escape(str(value))} | {library} |")
    facts_ = [f"{facts.steps:,} steps"] if facts.steps else []
    facts_ += [f"the checkpoint of step {facts.best_step:,} is the result"] if facts.best_step else []
    facts_ += [f"{facts.seconds / 60:.1f} minutes"] if facts.seconds else []
    facts_ += [f"started {facts.created}"] if facts.created else []
    return "\n".join([*lines, *(["", "The run: " + ", ".join(facts_) + "."] if facts_ else [])])
