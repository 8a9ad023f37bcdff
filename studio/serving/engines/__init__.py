"""The registry of engines, in the order in which they are chosen. Add one as one file and one line here."""

from studio.schema.errors import StudioError, named
from studio.schema.serving import ServedModel
from studio.serving.engines.base import Engine, Launch
from studio.serving.engines.llama_cpp import LlamaCpp
from studio.serving.engines.own import Own
from studio.serving.engines.transformers_serve import TransformersServe
from studio.serving.engines.vllm import Vllm

ENGINES: dict[str, Engine] = {each.name: each for each in (Vllm(), TransformersServe(), LlamaCpp(), Own())}


def choose_engine(model: ServedModel, requested: str = "") -> Engine:
    """Return the requested engine for a generative model, else the first that can serve it.

    Raises:
        StudioError: `unknown-name` for an unknown engine, `wrong-model` when it can't serve the model here.
    """
    engine = named(ENGINES, requested, "engine", field="engine") if requested and not model.classifies else None
    if engine is not None and model.who == "base" and not engine.serves_base:
        engine = None
    if engine is None:
        engine = next((each for each in ENGINES.values() if not each.unavailable_reason(model)), ENGINES[Own.name])
    if reason := engine.unavailable_reason(model):
        raise StudioError(
            "wrong-model",
            f"The model {model.name} can't be served by {engine.title}. {reason}",
            valid=[name for name, each in ENGINES.items() if not each.unavailable_reason(model)] or None,
            hint="Leave out --engine to let the studio choose." if requested else "Export the model instead.",
            field="engine",
        )
    return engine


__all__ = ["ENGINES", "Engine", "Launch", "choose_engine"]
