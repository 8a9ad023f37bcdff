"""Folders with weights of Keras or TensorFlow before their conversion: what is recognized, refused and offered."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from studio.api import Studio
from studio.machine.tool_environment import MARK
from studio.models import find_model
from studio.models.conversion.converters import CONVERTERS, KERAS, TENSORFLOW, Conversion, convert, sentence
from studio.models.conversion.keras_preset import ARCHITECTURES, MAX_ASSET_BYTES, read_preset
from studio.models.conversion.tensorflow_checkpoint import MAX_FILE_BYTES
from studio.models.sources import SOURCES, Fetching
from studio.models.sources.conversions import conversion_folder
from studio.models.sources.converted_folder import RECORD
from studio.schema.errors import StudioError
from studio.ui.tabs.model import tab as model_tab
from studio.ui.visitors.session import Visit
from tests.hubserver import tiny_folder
from tests.keras_files import DTYPE, SETTINGS, described, preset_bytes, preset_folder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STUDIO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def tensorflow_folder(folder: Path, **config: Any) -> Path:
    """A folder as transformers 4 writes it with TensorFlow, without real weights."""
    folder.mkdir()
    usual = {"architectures": ["BertForMaskedLM"], "model_type": "bert", "num_hidden_layers": 2, "hidden_size": 32}
    (folder / "config.json").write_text(json.dumps({**usual, "max_position_embeddings": 512, **config}))
    (folder / "tf_model.h5").write_bytes(bytes(8000))
    (folder / "vocab.txt").write_text("[PAD]")
    return folder


def refusal(folder: Path) -> StudioError:
    with pytest.raises(StudioError) as refused:
        find_model(str(folder))
    return refused.value


def test_a_preset_is_described_by_its_settings_before_it_is_converted(tmp_path: Path) -> None:
    info = find_model(str(preset_folder(tmp_path / "tiny")))
    assert (info.source, info.kind, info.architecture, info.here) == ("keras", "causal", "GPT2LMHeadModel", False)
    assert (info.layers, info.hidden, info.intermediate, info.context, info.vocabulary) == (2, 32, 64, 128, 300)
    assert info.bytes == 20_000 and info.parameters == 5_000 and info.path is None and info.is_converted
    assert info.tools == "keras" and "Keras" in info.note and str(tmp_path) not in info.origin


def test_each_backbone_of_the_table_is_accepted_and_has_a_class_in_transformers(tmp_path: Path) -> None:
    import transformers

    for backbone, architecture in ARCHITECTURES.items():
        assert find_model(str(preset_folder(tmp_path / backbone, backbone))).architecture == architecture
        assert hasattr(transformers, architecture)


def test_weights_of_16_bits_are_counted_as_such(tmp_path: Path) -> None:
    policy = {**DTYPE, "config": {"name": "bfloat16"}}
    assert find_model(str(preset_folder(tmp_path / "half", dtype=policy))).parameters == 10_000


@pytest.mark.parametrize(
    ("backbone", "settings", "words"),
    [
        ("BertBackbone", {}, "BertBackbone"),
        ("GemmaBackbone", {"use_post_ffw_norm": True}, "Gemma 2"),
        ("Gemma3Backbone", {"vision_encoder": described("VisionEncoder")}, "Gemma 3 with images"),
        ("QwenBackbone", {"use_sliding_window_attention": True}, "sliding window"),
    ],
)
def test_a_model_that_keras_hub_can_not_export_is_refused_by_its_name(
    tmp_path: Path, backbone: str, settings: dict[str, Any], words: str
) -> None:
    error = refusal(preset_folder(tmp_path / "x", backbone, **settings))
    assert error.code == "wrong-model" and words in error.message and "Llama 3" in error.message


def test_a_quantized_preset_is_refused_with_the_reason(tmp_path: Path) -> None:
    policy = {**DTYPE, "class_name": "DTypePolicyMap", "config": {"default_policy": "int8"}}
    error = refusal(preset_folder(tmp_path / "x", dtype=policy))
    assert error.code == "wrong-model" and "quantized" in error.message


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("config.json", {**described("GPT2Backbone"), "class_name": "Lambda"}, "outside of KerasHub"),
        ("config.json", {**described("GPT2Backbone"), "module": "os"}, "outside of KerasHub"),
        ("config.json", described("GPT2Backbone", x=[{"class_name": "__lambda__", "config": {}}]), "unexpected class"),
        ("config.json", described("GPT2Backbone", x={"module": "builtins", "class_name": "eval"}), "unexpected class"),
        ("config.json", described("GPT2Backbone", x={"registered_name": "my>Layer"}), "unexpected class"),
        ("tokenizer.json", described("GPT2Backbone"), "does not describe the tokenizer"),
        ("tokenizer.json", {"model": {"type": "BPE"}}, "does not describe an object"),
        ("tokenizer.json", described("GPT2Tokenizer", vocabulary="/etc/passwd"), "vocabulary outside"),
        ("tokenizer.json", described("GPT2Tokenizer", proto="/etc/passwd"), "vocabulary outside"),
        ("tokenizer.json", described("WhisperTokenizer", special_tokens="/x"), "does not describe the tokenizer"),
        (
            "config.json",
            described("GPT2Backbone", dtype={**DTYPE, "registered_name": "keras_hub>X"}),
            "unexpected class",
        ),
        ("config.json", {**described("GPT2Backbone"), "compile_config": {"loss": "x"}}, "more than the settings"),
        ("config.json", described("GPT2Backbone", **{**SETTINGS, "num_layers": 10**9}), "another size"),
        ("config.json", described("GPT2Backbone", **{**SETTINGS, "hidden_dim": "64"}), "another size"),
        ("tokenizer.json", described("GPT2Tokenizer", config_file="../../x.json"), "names another file"),
        ("tokenizer.json", described("GPT2Tokenizer", x={"class_name": "function", "config": "y"}), "unexpected class"),
    ],
)
def test_json_that_names_other_classes_or_files_is_refused_before_keras_reads_it(
    tmp_path: Path, file: str, content: dict[str, Any], words: str
) -> None:
    folder = preset_folder(tmp_path / "x")
    (folder / file).write_text(json.dumps(content))
    error = refusal(folder)
    assert error.code == "broken-model" and words in error.message


@pytest.mark.parametrize(
    ("place", "is_valid"),
    [("model_00000.weights.h5", True), ("../model_00000.weights.h5", False), ("model_00009.weights.h5", False)],
)
def test_a_preset_in_several_files_has_only_files_of_its_own(tmp_path: Path, place: str, is_valid: bool) -> None:
    folder = preset_folder(tmp_path / "x")
    (folder / "model.weights.h5").rename(folder / "model_00000.weights.h5")
    (folder / "model.weights.json").write_text(json.dumps({"weight_map": {"/layers/a": [place]}}))
    if is_valid:
        assert find_model(str(folder)).bytes == 20_000
    else:
        assert "names a file that is missing" in refusal(folder).message


@pytest.mark.parametrize("missing", ["model.weights.h5", "assets/tokenizer/vocabulary.json"])
def test_a_preset_that_lacks_files_is_refused(tmp_path: Path, missing: str) -> None:
    folder = preset_folder(tmp_path / "x")
    (folder / missing).unlink()
    (folder / "assets/tokenizer/merges.txt").unlink()
    assert refusal(folder).code == "broken-model"


def test_a_vocabulary_that_is_too_large_is_refused(tmp_path: Path) -> None:
    files = dict.fromkeys(preset_bytes(), 100) | {"assets/tokenizer/vocabulary.json": MAX_ASSET_BYTES + 1}
    with pytest.raises(StudioError, match="too large"):
        read_preset(lambda name: json.loads(preset_bytes()[name]), files, "x")
    folder = tensorflow_folder(tmp_path / "tf")
    with (folder / "vocab.txt").open("wb") as out:
        out.truncate(MAX_FILE_BYTES + 1)
    assert refusal(folder).code == "too-large"


def test_tensorflow_weights_with_a_config_are_described_before_they_are_converted(tmp_path: Path) -> None:
    info = find_model(str(tensorflow_folder(tmp_path / "bert")))
    assert (info.source, info.kind, info.architecture, info.here) == ("tensorflow", "encoder", "BertForMaskedLM", False)
    assert info.bytes == 8000 and info.parameters == 2000 and info.context == 512 and info.tools == "tensorflow"


def test_tensorflow_weights_in_several_files_are_counted_and_their_names_checked(tmp_path: Path) -> None:
    folder = tensorflow_folder(tmp_path / "bert")
    (folder / "tf_model.h5").rename(folder / "tf_model-00001-of-00001.h5")
    index = folder / "tf_model.h5.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "tf_model-00001-of-00001.h5"}}))
    assert find_model(str(folder)).bytes == 8000
    index.write_text(json.dumps({"weight_map": {"a": "../tf_model-00001-of-00001.h5"}}))
    assert "names a file that is missing" in refusal(folder).message


def test_a_tensorflow_model_with_its_own_code_is_refused(tmp_path: Path) -> None:
    error = refusal(tensorflow_folder(tmp_path / "own", auto_map={"TFAutoModel": "own.Model"}))
    assert error.code == "unsafe-model" and "own Python code" in error.message


def test_pytorch_weights_beside_those_of_keras_or_tensorflow_are_used(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "both")
    (folder / "tf_model.h5").write_bytes(b"x")
    (folder / "model.weights.h5").write_bytes(b"x")
    assert find_model(str(folder)).source == "folder"


def test_without_the_converter_the_message_says_how_to_install_it(
    tmp_path: Path, studio: Studio, call: Callable[..., tuple[int, Any, str]]
) -> None:
    for folder, title in ((preset_folder(tmp_path / "k"), "Keras"), (tensorflow_folder(tmp_path / "t"), "TensorFlow")):
        with pytest.raises(StudioError, match=f"The {title} converter is not installed yet") as refused:
            studio.models.download(str(folder), lambda done, total: None)
        assert "--install-tools" in refused.value.hint and "PyPI" in refused.value.what
        status, _, words = call("download", str(folder))
        assert status and f"The {title} converter is not installed yet" in words
        with pytest.raises(StudioError, match="not converted yet"):
            studio.models.ready(str(folder))


def test_a_starter_needs_nothing_installed(studio: Studio, tmp_path: Path) -> None:
    assert studio.models.install_tools(str(tiny_folder(tmp_path / "llama"))) == []


def test_the_page_offers_to_install_the_converter_and_then_to_convert_the_folder(
    tmp_path: Path, visit: Callable[..., Visit]
) -> None:
    folder = preset_folder(tmp_path / "tiny")
    visit().choose(task="chat")
    model_tab.use_folder(visit(value=str(folder)))
    parts = model_tab.Components(*("body", "actions"))  # type: ignore[arg-type]
    drawn = "".join(map(str, model_tab._models(visit(), parts).values()))
    assert "Install the Keras converter" in drawn and KERAS.sentence in drawn and "Keras folder" in drawn
    environment = KERAS.folder(tmp_path / "home" / "tools")
    KERAS.python(tmp_path / "home" / "tools").parent.mkdir(parents=True)
    KERAS.python(tmp_path / "home" / "tools").touch()
    (environment / MARK).write_text(KERAS._mark())
    drawn = "".join(map(str, model_tab._models(visit(), parts).values()))
    assert "Convert folder" in drawn and "Install the" not in drawn and "must be converted once" in drawn


def test_a_converted_model_is_found_until_its_folder_changes(tmp_path: Path) -> None:
    import shutil

    folder = preset_folder(tmp_path / "tiny")
    converted = tiny_folder(conversion_folder("keras", folder.resolve()))
    facts = [(folder / name).stat() for name in sorted(preset_bytes()) if name != "metadata.json"]
    note = sentence("keras", 1.26e-6, 4)
    record = {"folder": str(folder), "version": [[each.st_size, each.st_mtime_ns] for each in facts], "note": note}
    (converted / RECORD).write_text(json.dumps(record))
    info = find_model(str(folder))
    assert info.here and info.note == note and "1.3e-06" in note and info.origin == "tiny, converted from Keras"
    source = SOURCES["keras"]
    assert source.known() == [info] == source.search("TINY", 5) and source.search("large", 5) == []
    (folder / "model.weights.h5").write_bytes(bytes(20_004))
    assert not find_model(str(folder)).here
    shutil.rmtree(folder)
    assert find_model(str(folder)).here


def test_a_conversion_that_needs_more_disk_or_memory_than_there_is_says_how_much(tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    KERAS.python(tools).parent.mkdir(parents=True)
    KERAS.python(tools).touch()
    (KERAS.folder(tools) / MARK).write_text(KERAS._mark())
    huge = Conversion("keras", "x", "x", {}, "GPT2LMHeadModel", 10**14, "float32")
    with pytest.raises(StudioError) as refused:
        convert(huge, tmp_path / "new", Fetching(tools=tools))
    assert refused.value.code == "disk-full" and "800,000 GB" in refused.value.message
    assert not (tmp_path / "new").exists()


def test_the_converters_have_exact_versions_that_their_sentences_name() -> None:
    for environment in CONVERTERS.values():
        lines = [line for line in environment.requirements.read_text().splitlines() if not line.startswith("#")]
        assert all("==" in line for line in lines)
    assert "keras-hub==0.32.0" in KERAS.requirements.read_text() and "keras-hub 0.32.0" in KERAS.sentence
    assert "transformers==4.57.6" in TENSORFLOW.requirements.read_text() and "4.57.6" in TENSORFLOW.sentence
