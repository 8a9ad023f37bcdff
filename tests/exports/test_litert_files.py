"""LiteRT (TensorFlow Lite) exports with the interpreters of LiteRT and TensorFlow, and a model that is refused."""

import json
import subprocess
import zipfile
from pathlib import Path

import pytest
from conftest import installed
from made_runs import TEXTS, label_run, starter

from studio.export import ExportJob, export_named
from studio.export.agreement_check import NEAR
from studio.export.child_process import call_in_process
from studio.export.litert import CONVERTER
from studio.inference.classify import probabilities
from studio.inference.model_cache import ModelCache
from studio.models.conversion.converters import TENSORFLOW
from studio.models.starters.install import fetch_starter
from studio.schema.host import CardFacts
from tests.security.attacks.planted import SECRETS, content_of, leaked

pytestmark = pytest.mark.timeout(3600)  # the converter and TensorFlow are downloaded once, and graphs are traced
FACTS = CardFacts(run="r", name="tone", dataset="rows.csv", rows=100)
LITERT = "from ai_edge_litert.interpreter import Interpreter"
OF_TENSORFLOW = "import tensorflow; Interpreter = tensorflow.lite.Interpreter"
OTHERS = ["Is it open?", "Thanks!", "It broke.", "ok", "Ümlaut 😀", "a " * 50, "1", "?"]
STRANGER = """
import json, sys
import numpy as np
{interpreter}
from tokenizers import Tokenizer
folder, texts = json.loads(sys.argv[1])
tokenizer, answers = Tokenizer.from_file(folder + "/tokenizer.json"), {}
tokenizer.no_padding()
for name in ("model", "model_quantized"):
    model = Interpreter(f"{folder}/{name}.tflite")
    answers[name] = []
    for text in texts:
        read = tokenizer.encode(text)
        length = 32 if len(read.ids) <= 32 else 64
        run = model.get_signature_runner(f"tokens_{length}")
        feeds = {"input_ids": read.ids, "attention_mask": read.attention_mask, "token_type_ids": read.type_ids}
        feeds = {key: np.array([value + [0] * (length - len(value))], np.int32) for key, value in feeds.items()}
        powers = np.exp(run(**feeds)["logits"][0])
        answers[name].append((powers / powers.sum()).tolist())
assert not {"torch", "transformers", "studio"} & set(sys.modules)
print(json.dumps(answers))
"""


def test_litert_and_tensorflow_give_the_chats_probabilities_and_the_code_of_the_card_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = installed(CONVERTER)
    for name, secret in SECRETS.items():
        monkeypatch.setenv(name, secret)
    run, model_cache, phases = label_run(starter("starter-classify"), tmp_path / "run", max_length=64), ModelCache(), []
    job = ExportJob(run, FACTS, model_cache, tools=tools)
    done = export_named("tflite").export(job, tmp_path / "out", lambda step, _, title: phases.append((step, title)))
    assert "20 of 20 texts get the same labels as in the Chat tab" in done.tested
    _, plain, small = done.comparison
    assert plain[0] == "model.tflite" and plain[3] == small[3] == "20 of 20"
    sizes = [(Path(done.path) / row[0]).stat().st_size for row in (plain, small)]
    assert 3 < sizes[0] / sizes[1] < 4.1
    assert [step for step, _ in phases] == sorted(step for step, _ in phases)
    assert {"Converting the model to LiteRT", "Writing the 8-bit file"} < {title for _, title in phases}

    texts = [text for _, text in TEXTS] + OTHERS
    pair = model_cache.pair(run)
    shares = probabilities(pair, [pair.task.prompt_ids(text, pair.encoding()) for text in texts]).tolist()
    installed(TENSORFLOW)
    python = str(CONVERTER.python(tools))
    for program, interpreter in ((python, LITERT), (str(TENSORFLOW.python(tools)), OF_TENSORFLOW)):
        asked = [STRANGER.replace("{interpreter}", interpreter), json.dumps([done.path, texts])]
        said = subprocess.run([program, "-c", *asked], capture_output=True, text=True, check=False, cwd="/")
        assert said.returncode == 0, said.stderr
        answers = json.loads(said.stdout.splitlines()[-1])
        for name, least in (("model", 1e-4), ("model_quantized", NEAR)):
            pairs = zip(shares, answers[name], strict=True)
            assert max(abs(a - b) for ours, theirs in pairs for a, b in zip(ours, theirs, strict=True)) < least

    code = done.how_to_use.replace(repr("out"), repr(done.path))
    said = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False, cwd="/")
    assert said.returncode == 0 and "bug" in said.stdout, said.stderr
    for file in Path(done.path).iterdir():
        assert str(tmp_path).encode() not in file.read_bytes(), file.name
    content = content_of(Path(done.path))
    assert not leaked(content)
    with zipfile.ZipFile(str(done.zip_path)) as archive:
        assert archive.testzip() is None and "out/model_quantized.tflite" in archive.namelist()


def test_a_layer_that_can_not_be_converted_is_named(tmp_path: Path) -> None:
    """FNet computes with complex numbers, which LiteRT does not have."""
    from transformers import AutoTokenizer, FNetConfig, FNetForSequenceClassification

    tokenizer = AutoTokenizer.from_pretrained(fetch_starter("starter-classify"))
    small = FNetConfig(vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=1)
    FNetForSequenceClassification(small).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    task = {
        "folder": str(tmp_path / "model"),
        "kind": "AutoModelForSequenceClassification",
        "pair": False,
        "trusted": False,
        "lengths": [32],
        "to": str(tmp_path / "model.tflite"),
        "quantized": str(tmp_path / "small.tflite"),
    }
    python = CONVERTER.python(installed(CONVERTER))
    refused = call_in_process("litert_convert.py:convert", task, python, progress=lambda *_: None)
    assert refused["layer"] == "fnet.encoder.layer.0.fourier.self" and refused["type"] == "FNetBasicFourierTransform"
    assert "complex" in refused["cause"] and not (tmp_path / "model.tflite").exists()
