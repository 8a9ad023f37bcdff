"""The header of a GGUF file, read with limits. Each count and size is compared with the file before it is used.

A GGUF file starts with counts, then come key-value pairs, then the name, shape, number format and place of each tensor.
Reading keeps a few short values and no weights, so that a wrong header can't fill the memory.
"""

import math
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from studio.schema.errors import StudioError

ARCHITECTURES = {
    "llama": "LlamaForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "phi3": "Phi3ForCausalLM",
    "gemma2": "Gemma2ForCausalLM",
    "gemma3": "Gemma3ForCausalLM",
    "gpt2": "GPT2LMHeadModel",
    "stablelm": "StableLmForCausalLM",
    "starcoder2": "Starcoder2ForCausalLM",
    "nemotron": "NemotronForCausalLM",
    "falcon": "FalconForCausalLM",
    "bloom": "BloomForCausalLM",
}
"""Architecture in a GGUF file that transformers converts → its class."""
MOST_TENSORS = 100_000
MOST_KEYS = 10_000
MOST_ITEMS = 4_000_000
"""Maximum length of a list. The largest vocabularies have about 300,000 tokens."""
LONGEST_NAME = 65_535
LONGEST_TEXT = 10_000_000
LONGEST_HEADER = 200_000_000
MOST_LAYERS = 1_000
MOST_WIDTH = 1_000_000
"""Maximum of a size that config.json would get: hidden size, feed-forward size, context length divided by 100."""
KEPT_TEXT = 1_000
"""Maximum characters of a text that is kept, such as the architecture or the license."""
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "B", 10: "Q", 11: "q", 12: "d"}
"""Type of a value → its format for `struct`."""
TEXT, LIST = 8, 9


@dataclass(frozen=True)
class GgufHeader:
    """What a GGUF file declares, checked against its size."""

    values: Mapping[str, Any]
    """Numbers and short texts. A list is represented by its length."""
    parameters: int
    quantization: str
    """The number format of most weights, for example `Q4_K`."""

    @property
    def architecture(self) -> str:
        return str(self.values.get("general.architecture", ""))

    @property
    def license(self) -> str:
        return str(self.values.get("general.license", ""))

    def size(self, name: str) -> int:
        """Return a size of the architecture, for example `block_count`. 0 if the file has none."""
        value = self.values.get(f"{self.architecture}.{name}", 0)
        return int(value) if isinstance(value, int | float) and math.isfinite(value) else 0


def read_gguf_header(file: Path) -> GgufHeader:
    """Return the header of a GGUF file. Raise `StudioError` for one that is damaged, a bomb, or not supported."""
    try:
        with file.open("rb") as stream:
            header = _Reader(stream, file.stat().st_size).header()
    except OSError as error:
        raise _broken(f"{file}: {error.strerror}", "The GGUF file can't be read.") from error
    except (ValueError, struct.error) as error:
        raise _broken(f"{file}: {error}", "The GGUF file is damaged.") from error
    _check_supported(file, header)
    return header


class _Reader:
    """Reads a header from a stream. Raises ValueError with the reason."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self.stream, self.size = stream, size

    def header(self) -> GgufHeader:
        magic, version = self._take(4), self._number("I")
        if magic != b"GGUF":
            raise ValueError("it does not start with GGUF")
        if version not in (2, 3):
            raise ValueError(f"its version is {version}, expected 2 or 3")
        tensor_count, key_count = self._number("Q"), self._number("Q")
        # A key takes at least 13 bytes, a tensor 32: a name's length, its type, and the rest.
        self._check_count(key_count, MOST_KEYS, 13, "keys")
        self._check_count(tensor_count, MOST_TENSORS, 32, "tensors")
        values: dict[str, Any] = {}
        for _ in range(key_count):
            key = self._text(LONGEST_NAME)
            if key in values:
                raise ValueError(f"the key {key[:80]} occurs twice")
            values[key] = self._value(self._number("I"))
        return self._with_tensors(values, tensor_count)

    def _with_tensors(self, values: dict[str, Any], tensor_count: int) -> GgufHeader:
        """Read the declarations of the tensors, and check that the file contains each of them once."""
        names: set[str] = set()
        spans: list[tuple[int, int]] = []
        weights: Counter[str] = Counter()
        alignment = values.get("general.alignment", 32)
        if not isinstance(alignment, int) or not 8 <= alignment <= 65_536 or alignment & (alignment - 1):
            raise ValueError("its alignment is not a power of two between 8 and 65,536")
        for _ in range(tensor_count):
            name = self._text(LONGEST_NAME)
            if name in names:
                raise ValueError(f"the tensor {name[:80]} occurs twice")
            names.add(name)
            count, kind, length = self._tensor_size(name)
            start = self._number("Q")
            if start % alignment:
                raise ValueError(f"the tensor {name[:80]} has a wrong place")
            spans.append((start, start + length))
            weights[kind] += count
        begin = -(-self.stream.tell() // alignment) * alignment
        end = 0
        for start, stop in sorted(spans):
            if start < end or begin + stop > self.size:
                raise ValueError("its tensors overlap or are longer than the file")
            end = stop
        return GgufHeader(values, sum(weights.values()), weights.most_common(1)[0][0] if weights else "")

    def _tensor_size(self, name: str) -> tuple[int, str, int]:
        """Read shape and number format of a tensor. Return (weights, number format, bytes)."""
        from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

        dimensions = self._number("I")
        if not 1 <= dimensions <= 4:
            raise ValueError(f"the tensor {name[:80]} has {dimensions} dimensions, expected 1 to 4")
        shape = [self._number("Q") for _ in range(dimensions)]
        kind = self._number("I")
        if kind not in GGML_QUANT_SIZES:
            raise ValueError(f"the tensor {name[:80]} has the unknown number format {kind}")
        block, block_bytes = GGML_QUANT_SIZES[GGMLQuantizationType(kind)]
        count = math.prod(shape)
        if min(shape) < 1 or shape[0] % block or count // block * block_bytes > self.size:
            raise ValueError(f"the tensor {name[:80]} has a wrong shape")
        return count, GGMLQuantizationType(kind).name, count // block * block_bytes

    def _value(self, kind: int) -> Any:
        """Read a value. Return a number, a short text, or the length of a list, which is skipped."""
        if kind in SCALARS:
            return self._number(SCALARS[kind])
        if kind == TEXT:
            return self._text(LONGEST_TEXT)[:KEPT_TEXT]
        if kind != LIST:
            raise ValueError(f"a value has the unknown type {kind}")
        item, count = self._number("I"), self._number("Q")
        if item in SCALARS:
            width = struct.calcsize(SCALARS[item])
            self._check_count(count, MOST_ITEMS, width, "items in a list")
            self._skip(count * width)
        elif item == TEXT:
            self._check_count(count, MOST_ITEMS, 8, "items in a list")
            for _ in range(count):
                self._skip(self._length(LONGEST_NAME))
        else:
            raise ValueError("a list contains lists")
        return count

    def _check_count(self, count: int, most: int, width: int, what: str) -> None:
        if count > most or count * width > self.size - self.stream.tell():
            raise ValueError(f"it declares {count:,} {what}, which is more than the file can contain")

    def _length(self, most: int) -> int:
        """Read the length of a text, and check it."""
        length = self._number("Q")
        if length > most or length > self.size - self.stream.tell():
            raise ValueError(f"a text declares {length:,} bytes")
        return length

    def _text(self, most: int) -> str:
        return self._take(self._length(most)).decode("utf-8", "replace")

    def _number(self, form: str) -> Any:
        return struct.unpack(f"<{form}", self._take(struct.calcsize(form)))[0]

    def _skip(self, length: int) -> None:
        self.stream.seek(length, 1)
        self._check_place()

    def _take(self, length: int) -> bytes:
        data = self.stream.read(length)
        if len(data) < length:
            raise ValueError("it is shorter than its header")
        self._check_place()
        return data

    def _check_place(self) -> None:
        if self.stream.tell() > LONGEST_HEADER:
            raise ValueError("its header is too long")


def _check_supported(file: Path, header: GgufHeader) -> None:
    """Raise `StudioError` for a file that can't be converted, or whose sizes contradict its weights."""
    name = header.architecture
    if name not in ARCHITECTURES:
        raise StudioError(
            "wrong-model",
            f"A GGUF file of the architecture {name[:80] or 'unknown'} can't be converted.",
            given=file,
            valid=sorted(ARCHITECTURES),
            hint="Choose the original model in place of the GGUF file.",
            field="model",
        )
    if header.values.get("split.count", 0) not in (0, 1):
        raise StudioError(
            "wrong-model",
            "This GGUF file is one part of several.",
            given=file,
            valid="one complete file",
            hint="Join the parts with: llama-gguf-split --merge FIRST_PART OUTPUT",
            field="model",
        )
    if "tokenizer.ggml.tokens" not in header.values:
        raise _broken(file, "The GGUF file has no tokenizer.")
    wide = (header.size("embedding_length"), header.size("feed_forward_length"), header.size("context_length") // 100)
    layers = header.size("block_count")
    too_wide = not all(0 <= each <= MOST_WIDTH for each in wide)
    if not 1 <= layers <= MOST_LAYERS or not wide[0] or too_wide or layers * wide[0] > header.parameters:
        raise _broken(file, "The sizes in the GGUF file's header do not agree with its weights.")


def _broken(given: Path | str, what: str) -> StudioError:
    return StudioError(
        "broken-model", what, given=given, hint="Download the file again, or choose the original model.", field="model"
    )
