"""Which layers a method takes hold of, found from the architecture: heads, linear layers, the stack of layers."""

from typing import Any

from studio.models.trainable_parameters import ATTENTION, STATES, layer_number

SAVED_BY_PEFT = ("classifier", "score", "qa_outputs")
"""Heads that peft trains and saves by itself."""
HEADED = ("ForSequenceClassification", "ForQuestionAnswering", "ForTokenClassification")
"""Ends of class names of models with a new head."""


def head_modules(model: Any) -> list[str]:
    """Names of a new head's layers, which learn whole; none in a model that writes text.

    So are layers below it that the base's files did not hold, BERT's pooler say: they are random, like the head, and an
    adapter that did not bring them would stand on others each time that it is loaded.
    """
    if not _class(model).endswith(HEADED):
        return []
    parts = [(name, part) for name, part in model.named_children() if part is not model.base_model]
    heads = [name for name, part in parts if any(True for _ in part.parameters())]
    own = tuple(f"{name}." for name in heads)
    return heads + [name for name in getattr(model, "made_anew", ()) if not f"{name}.".startswith(own)]


def _class(model: Any) -> str:
    """The name of its class; XLNet's and XLM's plain ones for answers have a word more."""
    return type(model).__name__.removesuffix("Simple")


def task_type(model: Any) -> str:
    """PEFT's own name for what the model does."""
    name = _class(model)
    known = {
        "ForSequenceClassification": "SEQ_CLS",
        "ForQuestionAnswering": "QUESTION_ANS",
        "ForTokenClassification": "TOKEN_CLS",
    }
    found = next((kind for ending, kind in known.items() if name.endswith(ending)), None)
    return found or ("SEQ_2_SEQ_LM" if getattr(model.config, "is_encoder_decoder", False) else "CAUSAL_LM")


def heads_to_save(model: Any) -> list[str] | None:
    """Heads that must be named for peft to train and save them."""
    return [head for head in head_modules(model) if head not in SAVED_BY_PEFT] or None


def linear_layers(model: Any, only_attention: bool = False, frozen: int = 0) -> list[str]:
    """Linear layers that get an adapter, found from the architecture: all but heads, and none in the frozen layers.

    Short names (`q_proj`) where they mean no other layer, whole paths otherwise.
    """
    from torch.nn import Linear
    from transformers.pytorch_utils import Conv1D

    output = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    heads = tuple(f"{name}." for name in head_modules(model))
    every = {name: layer for name, layer in model.named_modules() if isinstance(layer, Linear | Conv1D)}
    wanted = [name for name, layer in every.items() if layer is not output and not f"{name}.".startswith(heads or "\0")]
    if only_attention:
        wanted = [name for name in wanted if any(part in name.lower() for part in ATTENTION)] or wanted
    wanted = [name for name in wanted if (layer_number(name) or 0) >= frozen or layer_number(name) is None]
    wanted = [name for name in wanted if getattr(every[name], "out_features", 0) != 1]  # a gate: nothing to be narrower
    if _class(model).startswith(STATES):
        wanted = [name for name in wanted if not name.endswith(".out_proj")]
    others = [name for name in every if name not in wanted]
    short = {name.rsplit(".", 1)[-1] for name in wanted}
    if any(f".{name}".endswith(f".{ending}") for name in others for ending in short):
        return wanted
    return sorted(short)


def transposed(model: Any) -> bool:
    """Whether its layers keep weights the other way round, as GPT-2's do: peft must be told (`fan_in_fan_out`)."""
    from transformers.pytorch_utils import Conv1D

    # A layer held in fewer bits says what it was; the adapter will stand on the base as it is kept.
    return any(issubclass(getattr(layer, "source_cls", None) or type(layer), Conv1D) for layer in model.modules())


def layers_in(model: Any) -> int:
    """Layers of the model's stack (of the deeper one, where encoder and decoder differ)."""
    numbers = [layer_number(name) for name, _ in model.named_parameters()]
    return 1 + max((number for number in numbers if number is not None), default=-1)


def freeze(model: Any, below: int) -> None:
    """Stop the layers below that number from learning, and with them the embeddings that stand before them."""
    if below <= 0:
        return
    for name, weight in model.named_parameters():
        number = layer_number(name)
        if number is not None and number < below:
            weight.requires_grad_(False)
    for part in embeddings_of(model):
        part.requires_grad_(False)


def embeddings_of(model: Any) -> list[Any]:
    """What stands before the first layer: tables of tokens, positions and kinds, and their norm."""
    words = ("embed", "wte", "wpe")
    whole = [part for name, part in model.base_model.named_children() if any(word in name.lower() for word in words)]
    return whole or [model.get_input_embeddings()]
