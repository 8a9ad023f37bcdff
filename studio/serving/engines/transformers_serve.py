"""`transformers serve`, one process for each model.

Continuous batching is used only where all replies are greedy: in transformers 5.23 all requests get the temperature of
the first one that the server ever got, and their own is ignored. Else requests are answered one after another.
"""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from studio.inference.base_and_tuned import precision_of
from studio.inference.heads import takes_conversations, variant_of
from studio.inference.load import mergeable
from studio.machine.facts import machine_facts
from studio.schema.serving import ServedModel
from studio.serving.engines.base import Engine, Launch

PINNED = "./model"
"""The folder with the model, relative to the working folder. The server accepts only this name."""

BATCHED = 16
"""Requests in a batch."""
BLOCK = 32
"""Tokens in a block of the cache of a batch."""
CACHED_TOKENS = 16_384
"""Tokens in the cache of a batch on a CPU, or two contexts if that is more. By default it would fill the memory."""


class TransformersServe(Engine):
    """The server that comes with transformers."""

    name = "transformers"
    title = "transformers serve"

    def slots(self, model: ServedModel) -> int:
        """Several where requests are batched, else one."""
        return BATCHED if model.greedy else 1

    def unavailable_reason(self, model: ServedModel) -> str:
        """It serves generative models that were trained on conversations, without code of their own."""
        run = model.run
        if model.classifies or run.info.kind != "causal":
            return "transformers serve runs generative (decoder) models only."
        formats = model.who == "tuned" and not takes_conversations(run.spec.data)
        if formats or not variant_of(run.info, run.spec.data).templated:
            return "transformers serve does not format prompts as this task does."
        adapter = Path(run.folder) / "adapter"
        if model.who == "tuned" and adapter.exists() and not mergeable(adapter):
            return "transformers serve needs merged weights, and virtual tokens can't be merged."
        if run.trusted and run.info.needs_trust:
            return "transformers serve is not given models that need code of their own or pickled weights."
        if not all(find_spec(each) for each in ("openai", "fastapi", "uvicorn")):
            return "transformers serve needs the package openai: pip install 'finetune-studio[serve]'"
        return ""

    def reason(self, model: ServedModel) -> str:
        """It is the default."""
        if model.greedy:
            return "The default for generative models. It uses the merged weights, and batches requests: --greedy."
        return "The default for generative models. It uses the merged weights, and answers one request at a time."

    def launch(self, models: Sequence[ServedModel], folders: Mapping[str, Path], port: int, secret: str) -> Launch:
        """Serve one folder. The server takes no key, so it listens on loopback only."""
        [model] = models
        arguments = ["serve", PINNED, "--host", "127.0.0.1", "--port", str(port), "--device", "auto"]
        arguments += ["--dtype", precision_of(model.run), "--log-level", "error", *_batching(model)]
        offline = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
        return Launch("transformers.cli.transformers:main", arguments, folders[model.name].parent, offline)

    def model_name(self, model: ServedModel) -> str:
        """The pinned folder."""
        return PINNED


def _batching(model: ServedModel) -> list[str]:
    """The flags for continuous batching."""
    if not model.greedy:
        return ["--no-continuous-batching"]
    if machine_facts().gpus:
        return ["--continuous-batching"]
    tokens = max(CACHED_TOKENS, min(2 * (model.run.info.context or 0), 4 * CACHED_TOKENS))
    return ["--continuous-batching", "--cb-block-size", str(BLOCK), "--cb-num-blocks", str(tokens // BLOCK)]
