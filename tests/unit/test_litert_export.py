"""The LiteRT (TensorFlow Lite) export without a model: what is refused and why, and the code that uses the files."""

from pathlib import Path
from typing import Any

import pytest
from test_onnx_exports import LABELED, QUESTIONS, run_of

from studio.export import EXPORTS, ExportJob, export_named, litert
from studio.export.base import STEPS, Phase
from studio.export.browser import Browser
from studio.inference.model_cache import ModelCache
from studio.schema.errors import StudioError
from studio.schema.host import CardFacts, RunRef

FACTS = CardFacts(run="r", name="tone", dataset="rows.csv", rows=100)


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (run_of("encoder", "classification", LABELED), ""),
        (run_of("encoder", "question-answering", QUESTIONS), ""),
        (run_of("encoder", "classification", LABELED, 500_000_000), "2 GB"),
        (run_of("causal", "classification", LABELED), "Only encoders"),
        (run_of("causal", "chat", {"q": "prompt", "a": "reply"}), "Only encoders"),
        (run_of("seq2seq", "summarization", {"t": "text", "s": "summary"}), "Only encoders"),
    ],
)
def test_only_encoders_can_be_exported_and_others_are_told_why(run: RunRef, words: str) -> None:
    reason = export_named("tflite").unavailable_reason(run)
    assert words in reason and bool(words) == bool(reason)


def test_without_the_converter_the_export_says_how_to_install_it(tmp_path: Path) -> None:
    job = ExportJob(run_of("encoder", "classification", LABELED), FACTS, ModelCache(), tools=tmp_path)
    with pytest.raises(StudioError, match="LiteRT converter is not installed") as refused:
        export_named("tflite").write(job, tmp_path)
    assert "--install-tools" in refused.value.hint


def test_a_model_that_can_not_be_converted_is_refused_with_the_layer_that_is_the_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[int, int, str]] = []

    def step(function: str, task: dict[str, Any], failure: str, python: Path, progress: Any) -> dict[str, str]:
        assert task["lengths"] == [32, 128, 512]
        progress("trace")
        return {"layer": "fnet.encoder.layer.0.fourier.self", "type": "Fourier", "cause": "torch.complex64"}

    monkeypatch.setattr(litert, "run_step", step)
    monkeypatch.setattr(litert.LiteRt, "python", lambda *_: Path("python"))
    monkeypatch.setattr("studio.export.onnx.Merged.write", lambda *_: None)
    monkeypatch.setattr("studio.export.onnx.copy_tokenizer", lambda *_: None)
    run = run_of("encoder", "classification", LABELED)
    job = ExportJob(run, FACTS, ModelCache(), progress=lambda *values: told.append(values))
    with pytest.raises(StudioError) as refused:
        export_named("tflite").write(job, tmp_path)
    error = refused.value
    assert error.what == "LiteRT's converter can't convert the layer fnet.encoder.layer.0.fourier.self (Fourier)."
    assert error.given == "the converter says: torch.complex64" and "whole model" in error.hint
    assert told == [(Phase.CONVERTING, STEPS, "Converting the model to LiteRT")]


def test_the_code_pads_each_text_to_a_length_of_the_file() -> None:
    code = export_named("tflite").snippet(run_of("encoder", "classification", LABELED), "here")
    assert "from ai_edge_litert.interpreter import Interpreter" in code and 'f"{folder}/model.tflite"' in code
    compile(code, "snippet", "exec")


@pytest.mark.parametrize("dtype", ["q8", "fp32"])
def test_the_javascript_of_a_browser_export_names_the_file_that_is_there(dtype: str) -> None:
    run = run_of("encoder", "classification", LABELED)
    code = Browser().usages(run, "here", {"dtype": dtype})[1].code
    assert f'dtype: "{dtype}"' in code and code.count("dtype:") == 1


def test_each_format_says_when_to_choose_it_in_one_line() -> None:
    for exporter in EXPORTS.values():
        assert exporter.sentence.startswith("Choose this "), exporter.format
        assert len(exporter.sentence) <= 110, exporter.format
    said = " ".join(exporter.sentence for exporter in EXPORTS.values())
    for place in ("Ollama", "LM Studio", "laptop", "Hub", "API", "web page", "phone"):
        assert place in said, place
