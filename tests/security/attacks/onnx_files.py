"""ONNX bombs. The studio writes ONNX and reads none from elsewhere, so each way in has to refuse them at once."""

import io
import shutil
import zipfile
from collections.abc import Callable

from studio.models.starters.install import fetch_starter
from tests.security.attack import Outcome, attack, outcome
from tests.security.attacks.archives import good, zipped
from tests.security.stage import Stage, time_call


def field(number: int, content: bytes | int) -> bytes:
    """A field of a protobuf message: a length and bytes, or a number."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    out = bytearray()
    while True:
        out.append(value & 127 | (128 if value > 127 else 0))
        value >>= 7
        if not value:
            return bytes(out)


def tensor(dimensions: list[int], more: bytes = b"") -> bytes:
    """A TensorProto of floats."""
    return b"".join(field(1, each) for each in dimensions) + field(2, 1) + field(8, b"w") + more


def model(*tensors: bytes, graph: bytes = b"") -> bytes:
    """A ModelProto with a graph."""
    return field(1, 9) + field(7, field(2, b"g") + b"".join(field(5, each) for each in tensors) + graph)


def external(place: str) -> bytes:
    """Where a tensor's data is: another file."""
    return field(13, field(1, b"location") + field(2, place.encode())) + field(14, 1)


def nested(depth: int) -> bytes:
    """Graphs within the attributes of nodes, many levels deep."""
    content = b""
    for _ in range(depth):
        content = field(1, field(5, field(6, content)))
    return content


def deflated(content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.onnx", content)
    return out.getvalue()


BOMBS: list[tuple[str, Callable[[], bytes]]] = [
    ("a tensor of 2^62 weights and no data", lambda: model(tensor([2**31, 2**31]))),
    ("a tensor of a negative number of weights", lambda: model(tensor([2**64 - 1]))),
    ("100,000 tensors of no weights", lambda: model(*[tensor([0])] * 100_000)),
    ("weights in /etc/passwd", lambda: model(tensor([4], external("/etc/passwd")))),
    ("weights in ../../hub-token", lambda: model(tensor([4], external("../../hub-token")))),
    ("graphs that are 5,000 levels deep", lambda: model(graph=nested(5_000))),
    ("a length of 2^63 bytes", lambda: b"\x3a" + varint(2**63) + b"x"),
    ("4 MB of one repeated weight", lambda: model(tensor([1_000_000], field(9, b"\0" * 4_000_000)))),
]
NAMES = ["model.onnx", "rows.csv", "rows.parquet", "rows.xlsx", "rows.jsonl"]


@attack(
    "onnx",
    "{0}",
    [(f"{name} is ONNX with {what}, and is taken in", name, make) for what, make in BOMBS for name in NAMES],
    quick=1,
)
def as_rows(stage: Stage, payload: tuple[str, str, Callable[[], bytes]]) -> Outcome:
    """A file of weights is no table, whatever its name says."""
    _, name, make = payload
    who = stage.visitor()
    seconds, shown = time_call(lambda: who.bring(make(), name))
    leaked = "root:x:" in str(shown)
    rows = sum(each.rows for each in who.datasets())
    text_only = name in ("rows.csv",)  # bytes that are a text for a table of texts are rows, and nothing more
    taken = bool(who.datasets()) and not text_only
    return outcome(
        taken or leaked or seconds > 20 or "Something went wrong" in str(shown), f"{rows} rows, {seconds:.1f} s"
    )


@attack("onnx", "A zip of ONNX with {0} is taken in as rows", BOMBS)
def in_a_zip(stage: Stage, payload: tuple[str, Callable[[], bytes]]) -> Outcome:
    who = stage.visitor()
    seconds, shown = time_call(lambda: who.bring(deflated(payload[1]()), "rows.zip"))
    return outcome(bool(who.datasets()) or seconds > 20 or "Something went wrong" in str(shown), f"{seconds:.1f} s")


@attack("onnx", "A run is imported whose archive holds ONNX with {0}", BOMBS[:6])
def in_an_archive(stage: Stage, payload: tuple[str, Callable[[], bytes]]) -> Outcome:
    """Archives hold an adapter or a model in safetensors, and no other weights."""
    from studio.api import Studio
    from studio.schema.errors import StudioError

    file = stage.folder / "with-onnx.zip"
    file.write_bytes(zipped({**good(stage), "adapter/model.onnx": payload[1]()}))
    with Studio(stage.folder / "importing") as studio:
        try:
            record = studio.saved.import_archive(file)
        except StudioError as refusal:
            return outcome(False, refusal.message[:150])
        kept = [path for path in studio.context.workspace.runs.folder(record.id).root.rglob("*.onnx")]
    return outcome(bool(kept), f"imported; {len(kept)} ONNX files kept")


@attack("onnx", "A base model is a folder whose weights are ONNX with {0}", BOMBS[:6])
def as_a_model(stage: Stage, payload: tuple[str, Callable[[], bytes]]) -> Outcome:
    from studio.models import find_model
    from studio.schema.errors import StudioError

    folder = stage.folder / "onnx-model"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(fetch_starter("starter-classify"), folder)
    for weights in folder.glob("*.safetensors"):
        weights.unlink()
    (folder / "model.onnx").write_bytes(payload[1]())
    try:
        info = find_model(str(folder))
    except StudioError as refusal:
        return outcome(False, refusal.message[:150])
    return outcome(True, f"taken as {info.architecture}")
