"""ONNX, browser and OpenVINO exports without a model: what is refused, what agrees, and what a page holds."""

import gzip
import json
import re
from base64 import b64decode
from pathlib import Path

import pytest

from studio.export import ExportJob, export_named
from studio.export.agreement_check import ReferenceAnswers
from studio.export.browser import page
from studio.export.onnx import MODEL, lacking
from studio.export.onnx_agreement import agreeing, is_good, table
from studio.inference.model_cache import ModelCache
from studio.schema.config import TrainingConfig
from studio.schema.dataset import DatasetSpec, SplitSpec
from studio.schema.host import CardFacts, RunRef
from studio.schema.models import ModelInfo
from studio.schema.runs import RunSpec

HOSTILE = "</script><script>alert(1)</script>"


def run_of(kind: str, task: str, roles: dict[str, str], parameters: int = 1000, **changes: object) -> RunRef:
    info = ModelInfo(name="m", title="M", source="folder", kind=kind, path="/m", parameters=parameters)
    config = TrainingConfig(task=task, model="m", method="full", **changes)
    data = DatasetSpec(task=task, roles=roles, label_names=("bug", HOSTILE) if "label" in roles.values() else ())
    spec = RunSpec(config=config, dataset="d", dataset_version=1, data=data, splits=SplitSpec())
    return RunRef(info=info, spec=spec, folder="/runs/r")


LABELED = {"t": "text", "l": "label"}
QUESTIONS = {"q": "question", "c": "context", "a": "answer"}


@pytest.mark.parametrize(
    ("form", "run", "words"),
    [
        ("onnx", run_of("encoder", "classification", LABELED), ""),
        ("onnx", run_of("encoder", "question-answering", QUESTIONS), ""),
        ("onnx", run_of("causal", "chat", {"q": "prompt", "a": "reply"}), ""),
        ("onnx", run_of("seq2seq", "summarization", {"t": "text", "s": "summary"}), "an encoder and a decoder"),
        ("onnx", run_of("causal", "chat", {"q": "prompt", "a": "reply"}, 500_000_000), "2 GB"),
        ("openvino", run_of("seq2seq", "summarization", {"t": "text", "s": "summary"}), "an encoder and a decoder"),
        ("browser", run_of("encoder", "classification", LABELED), ""),
        ("browser", run_of("encoder", "question-answering", QUESTIONS), "Only classifiers with an encoder"),
        ("browser", run_of("causal", "classification", LABELED), "Only classifiers with an encoder"),
        ("browser", run_of("encoder", "classification", LABELED, 300_000_000), "150 million"),
    ],
)
def test_a_model_that_a_format_cannot_hold_is_refused_with_the_reason(form: str, run: RunRef, words: str) -> None:
    reason = export_named(form).unavailable_reason(run)
    assert words in reason and bool(words) == bool(reason)


def test_missing_packages_are_named_by_the_extra_that_installs_them() -> None:
    assert 'pip install "finetune-studio[openvino]"' in lacking(("json", "no_such_package"), "openvino")
    assert lacking(("json",), "onnx") == ""


def test_answers_agree_by_label_labels_score_place_or_first_words() -> None:
    labels = ReferenceAnswers(["a", "b"], [[0.9, 0.1], [0.4, 0.6]], ("x", "y"), [], 0)
    assert agreeing(labels, [[0.6, 0.4], [0.6, 0.4]], "") == 1
    several = ReferenceAnswers(["a"], [[0.9, 0.1]], ("x", "y"), [], 0)
    assert agreeing(several, [[0.6, 0.4]], "multi_label_classification") == 1
    assert agreeing(several, [[0.6, 0.6]], "multi_label_classification") == 0
    scores = ReferenceAnswers(["a", "b"], [[1.0], [5.0]], ("score",), [], 0)
    assert agreeing(scores, [[1.1], [4.0]], "regression") == 1
    spans = ReferenceAnswers(["a"], [[0.1, 0.9, 0.8, 0.2]], ("begin", "end"), [], 0)
    assert agreeing(spans, [[0.4, 0.6, 0.6, 0.4]], "") == 1 and agreeing(spans, [[0.6, 0.4, 0.6, 0.4]], "") == 0
    replies = ReferenceAnswers(["a"], [[1, 2, 3, 4, 5]], (), [9], 0)
    assert agreeing(replies, [[1, 2, 3, 4, 7]], "") == 1 and agreeing(replies, [[1, 2, 3, 5]], "") == 0


def test_an_8_bit_file_that_changes_two_of_ten_labels_is_not_good_enough() -> None:
    reference = ReferenceAnswers(["a"] * 10, [[0.9, 0.1]] * 10, ("x", "y"), [], 0)
    assert is_good(reference, [[0.8, 0.2]] * 9 + [[0.1, 0.9]], "")
    assert not is_good(reference, [[0.8, 0.2]] * 8 + [[0.1, 0.9]] * 2, "")


def test_the_table_has_size_speed_and_agreement_of_each_file() -> None:
    reference = ReferenceAnswers(["a", "b"], [[0.9, 0.1], [0.2, 0.8]], ("x", "y"), [], 0)
    results = {MODEL: {"answers": [[0.9, 0.1], [0.6, 0.4]], "speed": 41.6}}
    head, row = table(reference, results, {MODEL: 91_000_000}, "")
    assert head == ("File", "Size", "Speed", "Same labels", "Largest difference")
    assert row == (MODEL, "91 MB", "42 texts/s", "1 of 2", "0.4000")


def test_the_code_for_javascript_gives_scores_and_reads_two_texts() -> None:
    browser = export_named("browser")
    scores = browser.snippet(run_of("encoder", "classification", {"t": "text", "s": "score"}), "out")
    assert "const shares = logits;" in scores and "text_pair" not in scores
    pairs = browser.snippet(run_of("encoder", "classification", {"a": "text", "b": "second", "l": "label"}), "out")
    assert "Math.exp" in pairs and 'text_pair: ["It is closed at eight."]' in pairs


def test_a_page_holds_the_files_and_expected_answers_but_no_markup_of_a_label_and_no_prompt_of_the_user(
    tmp_path: Path,
) -> None:
    run = run_of("encoder", "classification", LABELED, test_prompts=("My secret order 77",))
    (tmp_path / "onnx").mkdir()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", MODEL):
        (tmp_path / name).write_text(f"content of {name}")
    reference = ReferenceAnswers(
        ["My secret order 77", "Hello"], [[0.5, 0.5], [0.123456789, 0.876543211]], ("bug", HOSTILE), [], 0
    )
    facts = CardFacts(run="r", name=f"tone {HOSTILE}", dataset="rows.csv", rows=10)
    text = page(ExportJob(run, facts, ModelCache()), tmp_path, MODEL, reference)
    assert HOSTILE not in text and "secret order" not in text and "{{" not in text.split("<script")[0]
    settings = json.loads(re.findall(r'id="settings">(.*?)</script>', text)[0])
    assert settings["labels"] == ["bug", HOSTILE]
    assert settings["checks"] == [{"texts": ["Hello"], "shares": [0.123457, 0.876543]}]
    files = dict(re.findall(r'<script type="text/plain" id="([\w-]+)">([\w+/=]+)</script>', text))
    unpacked = {name: gzip.decompress(b64decode(files[key])).decode() for name, key in settings["files"].items()}
    assert unpacked["model.onnx"] == "content of onnx/model.onnx" and len(unpacked) == 4
    assert gzip.decompress(b64decode(files["runtime-wasm"]))[:4] == b"\0asm"
    assert "default-src 'none'" in text and not re.search(r'(src|href)="', text)
