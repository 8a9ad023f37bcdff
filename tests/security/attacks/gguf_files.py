"""GGUF bombs: headers that declare more than the file holds, so that whoever reads them runs out of memory or time."""

import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

from studio.models.conversion.gguf_header import read_gguf_header
from studio.schema.errors import StudioError
from tests.gguf_files import gguf, llama_pairs, pair, tensor, text
from tests.security.attack import Outcome, attack, outcome
from tests.security.stage import Stage, time_call

HUGE = 2**63
ONE = [tensor("token_embd.weight", [8, 16])]


def listed(item: int, count: int, rest: bytes = b"") -> list[bytes]:
    """The keys of a llama, and a list that declares `count` items."""
    return [*llama_pairs(), pair("x", "list", struct.pack("<IQ", item, count) + rest)]


BOMBS: list[tuple[str, Callable[[], bytes]]] = [
    ("2^63 keys", lambda: gguf(llama_pairs(), ONE, keys=HUGE)),
    ("2^63 tensors", lambda: gguf(llama_pairs(), ONE, tensors_=HUGE)),
    ("90,000 tensors in 4 kB", lambda: gguf(llama_pairs(), ONE, tensors_=90_000)),
    ("a list of 2^63 numbers", lambda: gguf(listed(4, HUGE), ONE)),
    ("a list of 2^61 numbers of 8 bytes, which overflows", lambda: gguf(listed(10, 2**61), ONE)),
    ("a list of 3 million texts in 4 kB", lambda: gguf(listed(8, 3_000_000), ONE)),
    ("a list of lists, 10,000 deep", lambda: gguf(listed(9, 1, struct.pack("<IQ", 9, 1) * 10_000), ONE)),
    ("a text of 2^63 bytes", lambda: gguf([*llama_pairs(), text("x") + struct.pack("<IQ", 8, HUGE)], ONE)),
    ("a key of 2^63 bytes", lambda: gguf([*llama_pairs(), struct.pack("<Q", HUGE)], ONE)),
    ("a tensor of 2^63 × 2^63 weights", lambda: gguf(llama_pairs(), [tensor("a", [HUGE, HUGE])])),
    ("a tensor whose shape overflows to 0", lambda: gguf(llama_pairs(), [tensor("a", [2**32, 2**32])])),
    ("a tensor of 4 billion dimensions", lambda: gguf(llama_pairs(), [tensor("a", [8], dimensions=2**32 - 1)])),
    ("a tensor without weights", lambda: gguf(llama_pairs(), [tensor("a", [0, 8])])),
    ("a tensor that begins after the file", lambda: gguf(llama_pairs(), [tensor("a", [8], offset=2**62)])),
    ("a tensor of an unknown number format", lambda: gguf(llama_pairs(), [tensor("a", [8], kind=999)])),
    (
        "a thousand tensors that share the same bytes",
        lambda: gguf(llama_pairs(), [tensor(f"t{number}", [8, 16]) for number in range(1_000)]),
    ),
    ("two tensors of one name", lambda: gguf(llama_pairs(), [*ONE, tensor("token_embd.weight", [8], offset=512)])),
    ("two keys of one name", lambda: gguf([*llama_pairs(), *llama_pairs()], ONE)),
    ("a hidden size of 4 billion", lambda: gguf(llama_pairs(embedding_length=2**32 - 1), ONE)),
    ("4 billion layers", lambda: gguf(llama_pairs(block_count=2**32 - 1), ONE)),
    ("a feed-forward size of 4 billion", lambda: gguf(llama_pairs(feed_forward_length=2**32 - 1), ONE)),
    ("a context length of 4 billion", lambda: gguf(llama_pairs(context_length=2**32 - 1), ONE)),
    ("an alignment of 4 billion", lambda: gguf([*llama_pairs(), pair("general.alignment", "u32", 2**32 - 1)], ONE)),
    ("an alignment of 0", lambda: gguf([*llama_pairs(), pair("general.alignment", "u32", 0)], ONE)),
    ("version 99", lambda: gguf(llama_pairs(), ONE, version=99)),
    ("only its first 4 bytes", lambda: b"GGUF"),
    ("a header that is cut off", lambda: gguf(llama_pairs(), ONE)[:150]),
    ("a zip in its place", lambda: b"PK\3\4" + bytes(4096)),
    ("the name of an architecture that is a path", lambda: gguf([pair("general.architecture", "text", "../x")], ONE)),
]


@attack("gguf", "a GGUF file with {0}", BOMBS, quick=6)
def reads_a_bomb(stage: Stage, payload: tuple[str, Callable[[], bytes]]) -> Outcome:
    """The header is refused at once, before memory is taken for what it declares."""
    file = stage.folder / "bomb.gguf"
    file.write_bytes(payload[1]())
    tracemalloc.start()
    try:
        seconds, refusal = time_call(lambda: refusal_of(file))
        taken = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        file.unlink()
    was_read = not refusal or taken > 20_000_000 or seconds > 2
    return outcome(was_read, f"{refusal or 'it was read'}; {taken:,} bytes; {seconds:.2f} s")


def refusal_of(file: Path) -> str:
    """Why a file is refused; empty when it is read."""
    try:
        read_gguf_header(file)
    except StudioError as error:
        return error.message
    return ""
