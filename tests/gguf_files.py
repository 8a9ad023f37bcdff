"""GGUF files: small ones that are whole, and headers that lie."""

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

KEY = {"text": 8, "list": 9, "u32": 4, "f32": 6}


def add_metadata(writer: Any, tokens: list[str], heads_kv: int) -> None:
    """Write sizes and tokenizer of a llama of one layer into a GGUF file. `heads_kv`: heads of keys and values."""
    writer.add_block_count(1)
    writer.add_context_length(128)
    writer.add_embedding_length(32)
    writer.add_feed_forward_length(64)
    writer.add_head_count(4)
    writer.add_head_count_kv(heads_kv)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10_000.0)
    writer.add_vocab_size(len(tokens))
    writer.add_rope_dimension_count(8)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3, 3, 3] + [1] * (len(tokens) - 3))
    writer.add_token_merges(["Ċ Ċ", "Ġ a"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_chat_template("{% for m in messages %}<|im_start|>{{ m['content'] }}<|im_end|>{% endfor %}")


def tiny_gguf(file: Path, architecture: str = "llama", without: Sequence[str] = (), split: int = 0) -> Path:
    """A llama of one layer with a byte-level tokenizer, quantized to Q8_0. `without`: tensors that are left out."""
    import numpy as np
    from gguf import GGMLQuantizationType, GGUFWriter
    from gguf.quants import quantize

    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *sorted(byte_letters()), "ĊĊ", "Ġa"]
    writer = GGUFWriter(file, architecture)
    writer.add_license("apache-2.0")
    add_metadata(writer, tokens, heads_kv=4)
    if split:
        writer.add_uint16("split.count", split)
    random = np.random.default_rng(0)
    shapes = {
        "token_embd": (len(tokens), 32),
        "output_norm": (32,),
        "blk.0.attn_norm": (32,),
        "blk.0.ffn_norm": (32,),
        **{f"blk.0.attn_{each}": (32, 32) for each in ("q", "k", "v", "output")},
        "blk.0.ffn_gate": (64, 32),
        "blk.0.ffn_up": (64, 32),
        "blk.0.ffn_down": (32, 64),
    }
    for name, shape in shapes.items():
        weights = random.normal(size=shape).astype(np.float32)
        if name in without:
            continue
        if len(shape) == 1:
            writer.add_tensor(f"{name}.weight", weights)
        else:
            kind = GGMLQuantizationType.Q8_0
            writer.add_tensor(f"{name}.weight", quantize(weights, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def byte_letters() -> list[str]:
    """The alphabet of byte-level BPE: every byte as a printable character."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [chr(byte) for byte in plain] + [chr(256 + at) for at in range(256 - len(plain))]


def text(value: str) -> bytes:
    """A text as GGUF has it."""
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def pair(key: str, kind: str, value: Any) -> bytes:
    """A key with its value. A list is given as its bytes."""
    begin = text(key) + struct.pack("<I", KEY[kind])
    if kind == "text":
        return begin + text(value)
    return begin + (value if kind == "list" else struct.pack("<I" if kind == "u32" else "<f", value))


def tensor(name: str, shape: Sequence[int], kind: int = 0, offset: int = 0, dimensions: int | None = None) -> bytes:
    """The declaration of a tensor. `kind` 0: 32-bit floats."""
    count = len(shape) if dimensions is None else dimensions
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", count, *shape, kind, offset)


def gguf(pairs: Sequence[bytes], tensors: Sequence[bytes], data: int = 4096, **lies: int) -> bytes:
    """A file of these parts. `lies`: `keys`, `tensors_` or `version` in place of the true ones."""
    begin = struct.pack(
        "<4sIQQ", b"GGUF", lies.get("version", 3), lies.get("tensors_", len(tensors)), lies.get("keys", len(pairs))
    )
    header = begin + b"".join(pairs) + b"".join(tensors)
    return header + bytes(-len(header) % 32) + bytes(data)


def llama_pairs(**changed: int) -> list[bytes]:
    """The keys of a small llama; `changed`: other sizes, by the end of their key."""
    sizes = {"block_count": 1, "embedding_length": 8, "feed_forward_length": 16, "context_length": 64, **changed}
    tokens = struct.pack("<IQ", 8, 2) + text("a") + text("b")
    return [
        pair("general.architecture", "text", "llama"),
        pair("tokenizer.ggml.tokens", "list", tokens),
        *[pair(f"llama.{name}", "u32", value) for name, value in sizes.items()],
    ]
