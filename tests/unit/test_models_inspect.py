"""A model is read by its own files before anything is loaded."""

import json
import struct
from pathlib import Path

import pytest

from studio.models import inspect
from studio.models.architectures import context_of, kind_of
from studio.models.inspect import inspect_folder, read_card
from studio.models.loading_rules import check_trust, loading_arguments
from studio.models.weights import Weights, read_weights
from studio.schema.errors import StudioError
from tests.hubserver import tiny_folder, tiny_weights

TINY_PARAMETERS = 1000 * 64 + 64 + 4 * (2 * 64 * 64 + 2 * 32 * 64 + 3 * 64 * 128 + 2 * 64)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_folder(tmp_path / "tiny")


def change(folder: Path, file: str, **values: object) -> None:
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_a_whole_folder_tells_all_that_a_person_asks(folder: Path) -> None:
    info = inspect_folder(folder)
    assert (info.kind, info.architecture, info.source) == ("causal", "LlamaForCausalLM", "folder")
    assert info.parameters == TINY_PARAMETERS
    assert info.bytes == (folder / "model.safetensors").stat().st_size
    assert (info.licence, info.languages, info.context) == ("apache-2.0", ("en",), 512)
    assert info.has_chat_template and info.here and info.needs_trust == ""
    assert info.path == str(folder) and info.title == "tiny"


def test_nothing_heavy_is_imported_to_look_at_a_folder(folder: Path) -> None:
    import subprocess
    import sys

    program = (
        "import sys; from studio.models import inspect_folder; inspect_folder(sys.argv[1]); "
        "print([name for name in ('torch', 'transformers', 'safetensors') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program, str(folder)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ("config.json", "config.json is missing"),
        ("model.safetensors", "no weights"),
        ("tokenizer.json", "no tokenizer"),
    ],
)
def test_what_is_missing_is_named(folder: Path, missing: str, words: str) -> None:
    (folder / missing).unlink()
    with pytest.raises(StudioError, match=words) as refused:
        inspect_folder(folder)
    assert refused.value.code == "broken-model" and refused.value.given == folder


def test_a_config_that_is_no_json_is_said(folder: Path) -> None:
    (folder / "config.json").write_text("{not json")
    with pytest.raises(StudioError, match="can't be read"):
        inspect_folder(folder)


def test_an_adapter_is_no_base_model(folder: Path) -> None:
    (folder / "config.json").unlink()
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(StudioError, match="adapter, not a base model"):
        inspect_folder(folder)


def test_cut_weights_are_noticed_before_they_are_loaded(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(StudioError, match="weights are incomplete"):
        inspect_folder(folder)


@pytest.mark.parametrize("data", [b"", b"short", struct.pack("<Q", 1 << 60) + b"{}", struct.pack("<Q", 4) + b"[{}]"])
def test_weights_that_are_no_safetensors_are_noticed(folder: Path, data: bytes) -> None:
    (folder / "model.safetensors").write_bytes(data)
    with pytest.raises(StudioError, match="damaged"):
        inspect_folder(folder)


def test_shards_are_counted_together_and_a_missing_one_is_named(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"model.embed_tokens.weight": names[0], "other": names[1]}})
    )
    (folder / names[0]).write_bytes(tiny_weights())
    with pytest.raises(StudioError, match="missing") as refused:
        inspect_folder(folder)
    assert refused.value.given == names[1]
    (folder / names[1]).write_bytes(tiny_weights())
    assert inspect_folder(folder).parameters == TINY_PARAMETERS


def test_an_index_can_not_point_out_of_the_folder(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder.parent / "model.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../model.safetensors"}}))
    with pytest.raises(StudioError, match="missing"):
        inspect_folder(folder)


def test_an_output_layer_that_is_the_embedding_again_is_counted_once(folder: Path) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    tensors = {
        "model.embed_tokens.weight": np.zeros((1000, 64), np.float32),
        "lm_head.weight": np.zeros((1000, 64), np.float32),
        "model.layers.0.self_attn.rotary_emb.inv_freq": np.zeros(8, np.float32),
        "embeddings.position_ids": np.zeros((1, 512), np.int64),
        "transformer.h.0.attn.bias": np.zeros((1, 1, 32, 32), np.float32),
    }
    save_file(tensors, folder / "model.safetensors")
    assert inspect_folder(folder).parameters == 64_000
    change(folder, "config.json", tie_word_embeddings=False)
    assert inspect_folder(folder).parameters == 128_000


def test_code_of_its_own_and_pickles_need_trust(folder: Path) -> None:
    change(folder, "config.json", auto_map={"AutoModel": "x.Y"})
    info = inspect_folder(folder)
    assert "Python code" in info.needs_trust and "pickle" not in info.needs_trust
    (folder / "model.safetensors").unlink()
    (folder / "training_args.bin").write_bytes(b"left over")
    with pytest.raises(StudioError, match="no weights"):
        inspect_folder(folder)
    (folder / "pytorch_model.bin").write_bytes(b"x" * 4000)
    info = inspect_folder(folder)
    assert "pickle" in info.needs_trust and info.parameters == 1000
    with pytest.raises(StudioError) as refused:
        check_trust(info, trusted=False)
    assert refused.value.code == "unsafe-model"
    check_trust(info, trusted=True)


def test_a_folder_that_has_changed_is_read_again_and_its_code_each_time(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []

    def counted(place: Path) -> Weights:
        read.append(place)
        return read_weights(place)

    monkeypatch.setattr(inspect, "read_weights", counted)
    before = inspect_folder(folder)
    assert inspect_folder(folder) == before and len(read) == 1
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "code.Model"}}))
    (folder / "parts").mkdir()
    (folder / "parts" / "code.py").write_text("one = 1")
    trusted = inspect_folder(folder)
    assert trusted.needs_trust and trusted.fingerprint and not before.needs_trust
    (folder / "parts" / "code.py").write_text("one = 2, 3")
    assert inspect_folder(folder).fingerprint != trusted.fingerprint
    (folder / "model.safetensors").unlink()
    with pytest.raises(StudioError):
        inspect_folder(folder)


def test_loading_never_leaves_trust_to_a_default() -> None:
    assert loading_arguments() == {"trust_remote_code": False, "use_safetensors": True}
    assert loading_arguments(trusted=True) == {"trust_remote_code": True, "use_safetensors": None}


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        ({"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3"}, "causal"),
        ({"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2"}, "causal"),
        ({"architectures": ["BertModel"], "model_type": "bert"}, "encoder"),
        ({"architectures": ["ModernBertForMaskedLM"], "model_type": "modernbert"}, "encoder"),
        ({"architectures": ["LlamaForSequenceClassification"], "model_type": "llama"}, "encoder"),
        ({"architectures": ["T5ForConditionalGeneration"], "model_type": "t5"}, "seq2seq"),
        (
            {"architectures": ["Qwen2VLForConditionalGeneration"], "model_type": "qwen2_vl", "vision_config": {}},
            "other",
        ),
        ({"architectures": ["ViTForImageClassification"], "model_type": "vit"}, "other"),
        ({}, "other"),
    ],
)
def test_the_kind_is_told_by_the_config(config: dict[str, object], kind: str) -> None:
    assert kind_of(config) == kind


@pytest.mark.parametrize(
    ("config", "tokenizer", "context"),
    [
        ({"max_position_embeddings": 8192}, {"model_max_length": 10**30}, 8192),
        ({"max_position_embeddings": 514, "model_type": "roberta"}, {}, 512),
        ({"n_positions": 1024}, {"model_max_length": 512}, 512),
        ({}, {"model_max_length": 77}, 77),
        ({"max_position_embeddings": True}, {}, 0),
    ],
)
def test_the_longest_input_is_told(config: dict[str, object], tokenizer: dict[str, object], context: int) -> None:
    assert context_of(config, tokenizer) == context


@pytest.mark.parametrize(
    ("text", "licence", "languages"),
    [
        ("---\nlicense: mit\nlanguage: [en, de]\n---\n", "mit", ("en", "de")),
        ("---\nlicense: other\nlicense_name: house\n---\nText", "house", ()),
        ("---\nlicense: [a: b\n---\n", "", ()),
        ("# No front matter", "", ()),
        ("---\n- a list\n---\n", "", ()),
    ],
)
def test_a_card_gives_licence_and_languages(
    tmp_path: Path, text: str, licence: str, languages: tuple[str, ...]
) -> None:
    (tmp_path / "README.md").write_text(text)
    assert read_card(tmp_path / "README.md") == {"licence": licence, "languages": languages}


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (("config.json", "tf_model.h5", "vocab.txt"), r"tf_model\.h5 can't be used.*names the model's class"),
        (
            ("bert_config.json", "bert_model.ckpt.index", "bert_model.ckpt.data-00000-of-00001"),
            r"bert_model\.ckpt\.index can't be used.*TensorFlow 1 checkpoint.*from_tf=True",
        ),
        (("model.ckpt-1000.index", "config.json"), r"model\.ckpt-1000\.index can't be used.*TensorFlow 1 checkpoint"),
        (("saved_model.pb",), r"saved_model\.pb can't be used.*SavedModel.*Look for the same model"),
        (("config.json", "flax_model.msgpack"), r"flax_model\.msgpack can't be used.*Flax weights.*from_flax=True"),
        (("config.json", "model.weights.h5", "tokenizer.json"), r"model\.weights\.h5 can't be used.*save_to_preset"),
        (("whole.keras",), r"whole\.keras can't be used.*one archive.*save_to_preset"),
    ],
)
def test_weights_of_another_library_are_named_with_the_way_out(
    tmp_path: Path, files: tuple[str, ...], words: str
) -> None:
    for name in files:
        (tmp_path / name).write_text("{}")
    with pytest.raises(StudioError, match=words) as refused:
        inspect_folder(tmp_path)
    assert refused.value.code == "broken-model"


def test_a_folder_with_safetensors_beside_tensorflow_weights_is_used(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "model")
    (folder / "tf_model.h5").touch()
    assert inspect_folder(folder).here
