"""Options of export formats, packages that must be installed first, and the templates for Ollama."""

import json
from pathlib import Path

import pytest
from test_ui_run_pages import a_run

from studio.data.formats import read_text
from studio.data.parquet_store import write_parquet
from studio.export import EXPORTS, export_named
from studio.export.agreement_check import ReferenceAnswers, require_fine_tuned
from studio.export.base import chosen_options
from studio.export.folder import ROWS
from studio.export.gguf import QUANTIZER, Gguf
from studio.export.ollama_templates import CONVERSATIONS, KNOWN, can_hold, modelfile
from studio.schema.config import TrainingConfig
from studio.schema.dataset import DatasetSpec, SplitSpec
from studio.schema.errors import StudioError
from studio.schema.exports import ExportView
from studio.schema.host import RowsRef, RunRef
from studio.schema.models import ModelInfo
from studio.schema.numbers import size
from studio.schema.report import ExportResult, Usage
from studio.schema.runs import RunSpec
from studio.schema.tools import ExtraTools
from studio.ui.jobs import Job
from studio.ui.tabs import export


def run_of(kind: str = "causal", task: str = "chat", precision: str = "bfloat16", system: str = "") -> RunRef:
    info = ModelInfo(
        name="m",
        title="M",
        source="folder",
        kind=kind,
        architecture="LlamaForCausalLM",
        parameters=10**8,
        tasks=(task,),
    )  # type: ignore[arg-type]
    config = TrainingConfig(task=task, model="m", method="lora", precision=precision, system_prompt=system)
    data = DatasetSpec(task=task, roles={}, label_names=("a", "b") if task == "classification" else ())
    spec = RunSpec(config=config, dataset="d", dataset_version=1, data=data, splits=SplitSpec())
    return RunRef(info=info, spec=spec, folder="/tmp/no-such-run")


def view_of(ready: bool, done: ExportResult | None = None) -> ExportView:
    run, gguf = run_of(), Gguf()
    tools = tuple(
        ExtraTools(name=each.name, title=each.title, sentence=each.sentence, ready=ready) for each in gguf.environments
    )
    return ExportView(
        format="gguf",
        title="GGUF",
        sentence="s",
        bytes=gguf.size(run),
        options=gguf.options(run),
        tools=tools,
        done=done,
    )


def test_an_option_that_is_not_given_gets_its_default_and_a_wrong_one_is_refused() -> None:
    assert chosen_options(Gguf(), run_of(), {}) == {"precision": "q8_0"}
    assert chosen_options(Gguf(), run_of(), {"precision": "q4_k_m"}) == {"precision": "q4_k_m"}
    for given in ({"precision": "q99"}, {"bits": "4"}):
        with pytest.raises(StudioError) as refused:
            chosen_options(Gguf(), run_of(), given)
        assert refused.value.code == "bad-setting" and "Expected" in refused.value.message
    with pytest.raises(StudioError, match="no option with this name"):
        chosen_options(export_named("adapter"), run_of(), {"precision": "q8_0"})


def test_the_page_says_whether_an_export_includes_your_rows() -> None:
    assert {name for name, each in EXPORTS.items() if ROWS in each.extra_files} == {"script", "notebook"}
    done = ExportResult(format="gguf", path="/p", bytes=1, tested="Tested.", how_to_use="code", zip_path=None)
    for view in (view_of(True), view_of(True, done)):
        assert "Left out" in str(export.detail(a_run(), view, view.chosen({})))
        with_rows = str(export.detail(a_run(), view.model_copy(update={"has_rows": True}), view.chosen({})))
        assert "<dt>Included</dt><dd>your rows</dd>" in with_rows and "Left out" not in with_rows


def test_gguf_is_for_models_that_write_text() -> None:
    assert not Gguf().unavailable_reason(run_of())
    assert "without an encoder" in Gguf().unavailable_reason(run_of("seq2seq", "summarization"))
    assert "writes text" in Gguf().unavailable_reason(run_of("causal", "classification"))
    assert "writes text" in Gguf().unavailable_reason(run_of("encoder", "classification"))


def test_a_modelfile_can_not_hold_three_quotes_and_says_so() -> None:
    assert "three quotes" in export_named("ollama").unavailable_reason(run_of(system='Say """yes""".'))
    assert can_hold('Say "yes".') and not can_hold('"""')


def test_only_what_the_chosen_option_needs_must_be_installed() -> None:
    view = view_of(ready=False)
    assert [each.name for each in view.tools_to_install({})] == ["gguf"]
    assert [each.name for each in view.tools_to_install({"precision": "q4_k_m"})] == ["gguf", QUANTIZER.name]
    assert not view_of(ready=True).tools_to_install({"precision": "q4_k_m"})
    assert (
        view.bytes_with({"precision": "q4_k_m"})
        < view.bytes_with({"precision": "q8_0"})
        < view.bytes_with({"precision": "bf16"})
    )


def test_who_may_not_install_gets_the_reason_in_place_of_a_button() -> None:
    view = view_of(ready=False).without_installing()
    assert "Only the owner of this studio can install it" in view.unavailable_reason
    assert 'data-act="install"' not in export.bar(a_run(), view, None, {"precision": "q8_0"})
    ready = view_of(ready=True).without_installing()
    assert not ready.unavailable_reason and not any(each.unavailable_reason for each in ready.options[0].choices)


def test_the_page_asks_before_it_installs_and_says_what_and_how_large() -> None:
    view, options = view_of(ready=False), {"precision": "q8_0"}
    bar = export.bar(a_run(), view, None, options)
    assert 'data-act="install"' in bar and "Install the GGUF converter" in bar and "40 MB to download" in bar
    assert 'data-act="export"' not in bar
    body = export.body(a_run(), [view], view, {}, options)
    assert 'data-act="option"' in body and "Q4_K_M" in body and "xllamacpp" in body
    running = export.bar(a_run(), view, None, options, Job(title="Installing"))
    assert 'data-act="cancel-install"' in running and "disabled" in running


def test_another_option_than_that_of_the_export_is_exported_again() -> None:
    usages = (Usage(title="Ollama", language="sh", code="ollama create"), Usage(title="Jan", language="text", code="x"))
    done = ExportResult(
        format="gguf",
        path="/x",
        bytes=5,
        tested="Tested.",
        options={"precision": "q8_0"},
        usages=usages,
        comparison=(("Measured", "Q8_0"), ("Replies that are the same", "7 of 20")),
    )
    view = view_of(ready=True, done=done)
    assert 'data-download="gguf"' in export.bar(a_run(), view, None, {"precision": "q8_0"})
    again = export.bar(a_run(), view, None, {"precision": "bf16"})
    assert 'data-act="export"' in again and "Export again" in again
    body = export.body(a_run(), [view], view, {}, {"precision": "q8_0"})
    for shown in ("ollama create", "Jan", "7 of 20", "Q8_0"):
        assert shown in body, shown


def test_an_export_that_follows_the_base_model_is_refused() -> None:
    reference = ReferenceAnswers(["a", "b"], [[1, 2, 3], [4, 5]], (), [9], 9, base_tokens=[(1, 7), (0, 8)])
    assert reference.differing_prompts == 2
    require_fine_tuned(reference, [[1, 2, 9], [4, 4]])
    with pytest.raises(StudioError, match="replies like the base model"):
        require_fine_tuned(reference, [[1, 7, 3], [8, 5]])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("qwen2_5.jinja", "Qwen2.5"),
        ("qwen3.jinja", "ChatML"),
        ("llama3.jinja", "Llama 3"),
        ("gemma.jinja", "Gemma"),
        ("phi3.jinja", "Phi-3"),
        ("gptoss.jinja", None),
        ("llama3_1.jinja", None),  # it writes today's date
    ],
)
def test_real_chat_templates_are_recognized_by_what_they_write(file: str, name: str | None) -> None:
    import trl
    from transformers import AutoTokenizer

    from studio.export.ollama_templates import matching
    from studio.models.starters.install import fetch_starter

    tokenizer = AutoTokenizer.from_pretrained(fetch_starter("starter-chat"))
    tokenizer.bos_token = "<bos>" if "gemma" in file else "<|begin_of_text|>"
    known = matching(tokenizer, (Path(trl.__file__).parent / "chat_templates" / file).read_text())
    assert (known and known.name) == name


def test_a_modelfile_names_the_file_the_template_and_the_stop() -> None:
    text = modelfile("m.gguf", KNOWN[0].template, KNOWN[0].stop, "Be brief.")
    assert text.startswith('FROM ./m.gguf\nTEMPLATE """{{- range .Messages }}')
    assert 'PARAMETER stop "<|im_end|>"' in text and 'SYSTEM "Be brief."' in text
    assert "PARAMETER temperature 0\nPARAMETER repeat_penalty 1\n" in text, "Ollama's own penalty is 1.1"
    assert KNOWN[0].written(CONVERSATIONS[0]).endswith("<|im_start|>assistant\n")


def test_the_command_line_reads_options_and_refuses_one_without_a_value() -> None:
    from studio.cli.run_outputs import _options

    assert _options(["precision=q8_0", "a = b=c"]) == {"precision": "q8_0", "a": "b=c"}
    with pytest.raises(StudioError, match="NAME=VALUE"):
        _options(["precision"])


def test_the_list_of_formats_shows_the_size_of_the_default_option_as_the_panel_does() -> None:
    view = view_of(ready=True)
    default = next(each.bytes for each in view.options[0].choices if each.value == "q8_0")
    body = export.body(a_run(), [view], view, {}, view.chosen({}))
    assert default and f'c-size">{size(default)}<' in body
    assert f"about {size(default)}" in body


def test_an_adapter_whose_base_on_the_hub_has_other_weights_warns_and_is_not_preselected() -> None:
    adapter = ExportView(format="adapter", title="Adapter", sentence="s", bytes=1, warning="Export the whole model.")
    merged = ExportView(format="merged", title="Whole model", sentence="s", bytes=2)
    assert export.chosen_view([adapter, merged], "") is merged
    assert export.chosen_view([adapter, merged], "adapter") is adapter
    assert export.chosen_view([adapter], "") is adapter
    assert "Export the whole model." in export.body(a_run(), [adapter, merged], adapter, {})


def test_the_size_of_a_script_is_estimated_from_its_rows(tmp_path: Path) -> None:
    row = json.dumps({"text": "x" * 100, "label": "a"})
    write_parquet(read_text("\n".join([row] * 50)), tmp_path / "rows.parquet")
    rows = RowsRef(path=str(tmp_path / "rows.parquet"), numbers=tuple(range(1, 41)))
    run = run_of("encoder", "classification").model_copy(update={"learned_from": rows})
    assert export_named("script").size(run) == 22_000 + 40 * len(row)
    assert export_named("notebook").size(run) > export_named("script").size(run)


def test_the_size_of_a_page_includes_the_32_bit_weights_that_it_may_have() -> None:
    run = run_of("encoder", "classification")
    assert export_named("browser").size(run) >= 10 * run.info.parameters
