"""llama.cpp's server, from the package llama-cpp-python, for GGUF files that were exported from a run."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from studio.inference.heads import takes_conversations, variant_of
from studio.schema.serving import ServedModel
from studio.serving.engines.base import Engine, Launch


class LlamaCpp(Engine):
    """`python -m llama_cpp.server`."""

    name = "llama.cpp"
    title = "llama.cpp server"
    needs_weights = False
    serves_base = False
    own_defaults: Mapping[str, Any] = {"top_k": 0, "min_p": 0.0, "repeat_penalty": 1.0}

    def unavailable_reason(self, model: ServedModel) -> str:
        """It serves an existing GGUF export of a run."""
        if model.classifies:
            return "llama.cpp's server gives replies, and no labels."
        if model.who == "base" or not model.gguf:
            return "The folder of the run has no GGUF export. Make one with: studio export RUN --format gguf"
        data = model.run.spec.data
        if variant_of(model.run.info, data).templated and not takes_conversations(data):
            return "llama.cpp's server does not format prompts as this task does."
        if find_spec("llama_cpp") is None or find_spec("llama_cpp.server") is None:
            return "llama.cpp's server is not installed: pip install 'llama-cpp-python[server]'"
        return ""

    def reason(self, model: ServedModel) -> str:
        """It must be named with --engine where another engine can serve the model."""
        return "It serves the GGUF export of the run."

    def context(self, model: ServedModel) -> int:
        """The memory for a context is taken when the server starts."""
        return min(model.run.info.context or 4096, 8192)

    def launch(self, models: Sequence[ServedModel], folders: Mapping[str, Path], port: int, secret: str) -> Launch:
        """Serve one file, with its own chat template."""
        [model] = models
        arguments = ["--model", model.gguf, "--model_alias", model.name, "--host", "127.0.0.1", "--port", str(port)]
        arguments += ["--n_ctx", str(self.context(model)), "--verbose", "False"]
        return Launch("llama_cpp.server", arguments, Path(model.gguf).parent, {"API_KEY": secret}, "/v1/models")

    def model_name(self, model: ServedModel) -> str:
        """The alias."""
        return model.name
