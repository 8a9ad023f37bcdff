"""Tiny random models of Keras and TensorFlow, as their own libraries save them.

`run_in_process` calls these functions in the environments of the converters: they must not know the studio.
"""

import io
import json
import os
from pathlib import Path
from typing import Any

CORPUS = [
    "The quick brown fox jumps over the lazy dog.",
    "It was a bright cold day in April, and the clocks were striking thirteen.",
    "Please write a short reply: the order arrived, but a part is missing!",
    "Hello world, this is a text of many words, and the words are small.",
]
SIZES = {"num_layers": 2, "hidden_dim": 32, "intermediate_dim": 64}
GROUPED = {**SIZES, "num_query_heads": 4, "num_key_value_heads": 2}


def preset(kind: str, folder: str, dtype: str = "float32") -> None:
    """Save a tiny model of a kind as a preset of KerasHub."""
    os.environ.update(KERAS_BACKEND="torch", KERAS_HOME=str(Path(folder).parent))
    import keras
    import keras_hub

    keras.utils.set_random_seed(7)
    models = keras_hub.models
    if kind == "gpt2":
        tokenizer = models.GPT2Tokenizer(*byte_pairs("<|endoftext|>"))
        backbone = models.GPT2Backbone(len(tokenizer.vocabulary), num_heads=4, **SIZES, max_sequence_length=64)
        task = models.GPT2CausalLM(backbone, models.GPT2CausalLMPreprocessor(tokenizer))
    elif kind in ("llama3", "llama3-tied"):
        turns = ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
        tokenizer = models.Llama3Tokenizer(*byte_pairs("<|begin_of_text|>", "<|end_of_text|>", *turns))
        tied = {"tie_word_embeddings": kind == "llama3-tied"}
        backbone = models.Llama3Backbone(vocabulary_size=len(tokenizer.vocabulary), **GROUPED, **tied)
        task = models.Llama3CausalLM(backbone, models.Llama3CausalLMPreprocessor(tokenizer))
    elif kind == "qwen":
        tokenizer = models.QwenTokenizer(*byte_pairs("<|endoftext|>"))
        backbone = models.QwenBackbone(vocabulary_size=len(tokenizer.vocabulary), **GROUPED)
        task = models.QwenCausalLM(backbone, models.QwenCausalLMPreprocessor(tokenizer))
    elif kind == "mistral":
        tokenizer = models.MistralTokenizer(pieces("<unk>", "<s>", "</s>"))
        backbone = models.MistralBackbone(vocabulary_size=tokenizer.vocabulary_size(), **GROUPED)
        task = models.MistralCausalLM(backbone, models.MistralCausalLMPreprocessor(tokenizer))
    elif kind in ("gemma", "gemma2"):
        tokenizer = models.GemmaTokenizer(pieces("<unk>", "<bos>", "<eos>", "<pad>"))
        more = {"use_post_ffw_norm": True, "use_post_attention_norm": True} if kind == "gemma2" else {}
        sizes = {**GROUPED, "head_dim": 8, "num_key_value_heads": 1, "intermediate_dim": 128}
        backbone = models.GemmaBackbone(vocabulary_size=tokenizer.vocabulary_size(), **sizes, **more)
        task = models.GemmaCausalLM(backbone, models.GemmaCausalLMPreprocessor(tokenizer))
    else:
        assert kind == "gemma3"
        tokenizer = models.Gemma3Tokenizer(pieces("<unk>", "<bos>", "<eos>", "<pad>"), has_vision_tokens=False)
        backbone = models.Gemma3Backbone(
            vocabulary_size=tokenizer.vocabulary_size(),
            image_size=16,
            **GROUPED,
            head_dim=8,
            use_post_ffw_norm=True,
            use_post_attention_norm=True,
            use_sliding_window_attention=True,
        )
        task = models.Gemma3CausalLM(None, backbone)  # the preprocessor needs TensorFlow
    for each in backbone.weights:
        each.assign(each + 0.3 * keras.random.normal(each.shape))  # norms and biases are not all one and zero
    if dtype != "float32":
        backbone = type(backbone).from_config({**backbone.get_config(), "dtype": dtype})
        for new, old in zip(backbone.weights, task.backbone.weights, strict=True):
            new.assign(old)
        task = type(task)(backbone, task.preprocessor)
    task.save_to_preset(folder)
    tokenizer.save_to_preset(folder)


def byte_pairs(*special: str) -> tuple[dict[str, int], list[str]]:
    """Vocabulary and merges of a byte-level tokenizer, with special tokens at the end."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=320, initial_alphabet=alphabet))
    model = json.loads(tokenizer.to_str())["model"]
    vocabulary: dict[str, int] = model["vocab"]
    vocabulary.update({token: len(vocabulary) + number for number, token in enumerate(special)})
    return vocabulary, [" ".join(merge) for merge in model["merges"]]


def pieces(unk: str, bos: str, eos: str, pad: str = "") -> bytes:
    """A model of SentencePiece with single bytes as a last resort."""
    import sentencepiece

    written = io.BytesIO()
    places = {"pad_id": 0, "eos_id": 1, "bos_id": 2, "unk_id": 3, "pad_piece": pad} if pad else {}
    turns = ["<start_of_turn>", "<end_of_turn>"] if pad else []
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS * 20),
        model_writer=written,
        vocab_size=360,
        model_type="BPE",
        byte_fallback=True,
        hard_vocab_limit=False,
        add_dummy_prefix=not pad,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        unk_piece=unk,
        bos_piece=bos,
        eos_piece=eos,
        user_defined_symbols=turns,
        **places,
    )
    return written.getvalue()


def vision_preset(folder: str) -> None:
    """Change a preset of Gemma 3 to one that has a vision encoder."""
    file = Path(folder) / "config.json"
    config = json.loads(file.read_text())
    config["config"]["vision_encoder"] = {"module": "keras_hub.src.models", "class_name": "V", "config": {}}
    file.write_text(json.dumps(config))


def tensorflow(folder: str, kind: str, config: dict[str, Any], tokenizer: str, frozen: bool = False) -> None:
    """Save a tiny random TensorFlow model of transformers 4. `kind`: its class without "TF". `frozen`: what training
    does not change is random too."""
    os.environ.update(TF_USE_LEGACY_KERAS="1", TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1")
    import numpy as np
    import transformers

    model = getattr(transformers, f"TF{kind}")(getattr(transformers, f"{config.pop('family')}Config")(**config))
    model.build_in_name_scope()
    random = np.random.default_rng(7)
    for each in model.weights if frozen else model.trainable_weights:
        each.assign(each.numpy() + 0.05 * random.normal(size=each.shape).astype("float32"))
    model.save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(tokenizer).save_pretrained(folder)


def without_layer(file: str, layer: str) -> None:
    """Remove a layer from a file with TensorFlow weights."""
    import h5py

    with h5py.File(file, "a") as opened:
        (name,) = [each for each in opened if each == layer]
        del opened[name]
        names = [each for each in opened.attrs["layer_names"] if each != layer]
        opened.attrs["layer_names"] = names


def hdf5(file: str, kind: str) -> None:
    """Write an HDF5 file that is whole, or one that must not be read."""
    import h5py
    import numpy as np

    with h5py.File(file, "w") as out:
        out["layers/a/vars/0"] = np.ones((1000, 1000), np.float32)  # as much as the preset declares
        if kind == "bomb":
            out.create_dataset("layers/b", (1 << 20, 1 << 20), np.float32, compression="gzip")
        elif kind == "external link":
            out["layers/b"] = h5py.ExternalLink("/etc/passwd", "/a")
        elif kind == "soft link":
            out["layers/b"] = h5py.SoftLink("/layers/a")
        elif kind == "external array":
            out.create_dataset("layers/b", (8,), np.uint8, external=[("/etc/hostname", 0, 8)])
        elif kind == "virtual array":
            layout = h5py.VirtualLayout((8,), np.uint8)
            layout[:] = h5py.VirtualSource("/etc/hostname", "a", (8,))
            out.create_virtual_dataset("layers/b", layout)
        elif kind == "objects":
            out.create_dataset("layers/b", (2,), h5py.string_dtype())
        elif kind == "shared array":
            out["layers/b"] = np.ones(100_000, np.float64)
            for number in range(20):
                out[f"layers/c{number}"] = out["layers/b"]
        elif kind == "deep groups":
            out.create_group("/".join("g" * 60))
        else:
            assert kind == "whole"
