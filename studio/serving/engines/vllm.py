"""vLLM, on a GPU: one process serves a base model and all adapters of it, unmerged."""

import json
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from studio.inference.base_and_tuned import precision_of, result_folder
from studio.inference.heads import takes_conversations, variant_of
from studio.inference.load import adapter_kind, weights_folder
from studio.machine.facts import machine_facts
from studio.schema.serving import Generation, ServedModel
from studio.serving.engines.base import Engine, Launch

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""Values that --max-lora-rank accepts."""
BASE = "base"
"""The base model's name in requests to vLLM."""


class Vllm(Engine):
    """vLLM with LoRA adapters."""

    name = "vllm"
    title = "vLLM"
    at_once = 64
    needs_weights = False
    serves_together = True
    own_defaults: Mapping[str, Any] = {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}
    """Else those of the base model's generation_config.json are used."""

    def unavailable_reason(self, model: ServedModel) -> str:
        """It must be installed beside the studio, with a GPU, and the adapter must be plain LoRA."""
        if find_spec("vllm") is None:
            return "vLLM is not installed: pip install vllm"
        if not machine_facts().gpus:
            return "vLLM needs a GPU."
        return unservable_by_vllm(model)

    def reason(self, model: ServedModel) -> str:
        """It is the fastest on a GPU."""
        return (
            "vLLM is installed and there is a GPU. It batches requests, and serves the adapters of one base unmerged."
        )

    def launch(self, models: Sequence[ServedModel], folders: Mapping[str, Path], port: int, secret: str) -> Launch:
        """Serve the base model with all adapters."""
        run = models[0].run
        tuned = [each for each in models if each.who == "tuned"]
        arguments = ["serve", weights_folder(run.info), "--served-model-name", BASE]
        arguments += ["--host", "127.0.0.1", "--port", str(port), "--dtype", precision_of(run)]
        if tuned:
            rank = max(_rank(result_folder(each.run)) for each in tuned)
            arguments += ["--enable-lora", "--max-lora-rank", str(next(each for each in RANKS if each >= rank))]
            arguments += ["--max-loras", str(len(tuned)), "--lora-modules"]
            arguments += [json.dumps(_module(each)) for each in tuned]
        secrets = {"VLLM_API_KEY": secret, "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
        return Launch("vllm.entrypoints.cli.main:main", arguments, Path(run.folder), secrets)

    def model_name(self, model: ServedModel) -> str:
        """The id of the run, or the base's own name here."""
        return BASE if model.who == "base" else model.name

    def body(self, model: ServedModel, generation: Generation) -> dict[str, Any]:
        """It counts the tokens of a stream only when asked to, and then in each event."""
        counted = {"include_usage": True, "continuous_usage_stats": True}
        return {**super().body(model, generation), "stream_options": counted}


def unservable_by_vllm(model: ServedModel) -> str:
    """Return why vLLM can't serve a model unmerged, whatever the machine is, or ""."""
    run = model.run
    if model.classifies or run.info.kind != "causal":
        return "vLLM serves generative (decoder) models here."
    if run.trusted and run.info.needs_trust:
        return "vLLM is not given models that need code of their own or pickled weights."
    if not run.info.has_chat_template or not variant_of(run.info, run.spec.data).templated:
        return "vLLM needs a base model with a chat template of its own."
    if model.who == "tuned" and not takes_conversations(run.spec.data):
        return "vLLM does not format prompts as this task does."
    return "" if model.who == "base" else _unservable_adapter(result_folder(run))


def _unservable_adapter(folder: Path) -> str:
    """Return why vLLM can't serve what a run has trained, or ""."""
    if folder.name != "adapter" or adapter_kind(folder) != "LORA":
        return "vLLM serves LoRA adapters unmerged. This run has none."
    config = _adapter_config(folder)
    if config.get("use_dora") or config.get("modules_to_save") or config.get("bias", "none") != "none":
        return "vLLM can't serve DoRA adapters, nor adapters with trained embeddings or biases, unmerged."
    if _rank(folder) > RANKS[-1]:
        return f"vLLM serves LoRA adapters up to rank {RANKS[-1]}."
    return ""


def _module(model: ServedModel) -> dict[str, str]:
    return {"name": model.name, "path": str(result_folder(model.run)), "base_model_name": BASE}


def _rank(folder: Path) -> int:
    """The highest rank in an adapter."""
    config = _adapter_config(folder)
    return max([int(config.get("r") or 1), *map(int, (config.get("rank_pattern") or {}).values())])


def _adapter_config(folder: Path) -> dict[str, Any]:
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    return config if isinstance(config, dict) else {}
