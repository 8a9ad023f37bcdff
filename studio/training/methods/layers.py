"""Finds the layers that a method changes from the architecture: heads, linear layers, the stack of layers."""

from typing import Any

from studio.models.trainable_parameters import ATTENTION, STATES, layer_number

PEFT_HEADS = ("classifier", "score", "qa_outputs")
"""Heads that peft trains and saves by itself."""
HEAD_SUFFIXES = ("ForSequenceClassification", "ForQuestionAnswering", "ForTokenClassification")
"""Suffixes of class names of models with a new head."""


def head_modules(model: Any) -> list[str]:
    """Names of the layers of a new head, which are trained fully. Empty for a model that generates text.

    Includes layers below the head that are missing in the base model's files, for example BERT's pooler. They are
    initialized randomly like the head, so an adapter without them would be loaded on other weights each time.
    """
    if not _class(model).endswith(HEAD_SUFFIXES):
        return []
    children = [(name, part) for name, part in model.named_children() if part is not model.base_model]
    heads = [name for name, part in children if any(True for _ in part.parameters())]
    prefixes = tuple(f"{name}." for name in heads)
    return heads + [name for name in getattr(model, "new_modules", ()) if not f"{name}.".startswith(prefixes)]


def _class(model: Any) -> str:
    """The name of the model's class, without the suffix "Simple" of XLNet's and XLM's question-answering classes."""
    return type(model).__name__.removesuffix("Simple")


def task_type(model: Any) -> str:
    """The task type of PEFT for a model."""
    name = _class(model)
    known = {
        "ForSequenceClassification": "SEQ_CLS",
        "ForQuestionAnswering": "QUESTION_ANS",
        "ForTokenClassification": "TOKEN_CLS",
    }
    task = next((kind for ending, kind in known.items() if name.endswith(ending)), None)
    return task or ("SEQ_2_SEQ_LM" if getattr(model.config, "is_encoder_decoder", False) else "CAUSAL_LM")


def heads_to_save(model: Any) -> list[str] | None:
    """Heads that must be named for peft to train and save them."""
    return [head for head in head_modules(model) if head not in PEFT_HEADS] or None


def linear_layers(model: Any, only_attention: bool = False, frozen: int = 0) -> list[str]:
    """Linear layers that get an adapter: all except heads and frozen layers.

    Short names (`q_proj`) if they match no other layer, otherwise full paths.
    """
    from torch.nn import Linear
    from transformers.pytorch_utils import Conv1D

    output = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    heads = tuple(f"{name}." for name in head_modules(model))
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, Linear | Conv1D)}
    names = [name for name, layer in layers.items() if layer is not output and not f"{name}.".startswith(heads or "\0")]
    if only_attention:
        names = [name for name in names if any(part in name.lower() for part in ATTENTION)] or names
    names = [name for name in names if (layer_number(name) or 0) >= frozen or layer_number(name) is None]
    # A gate with one output has no smaller rank.
    names = [name for name in names if getattr(layers[name], "out_features", 0) != 1]
    if _class(model).startswith(STATES):
        names = [name for name in names if not name.endswith(".out_proj")]
    others = [name for name in layers if name not in names]
    short = {name.rsplit(".", 1)[-1] for name in names}
    if any(f".{name}".endswith(f".{ending}") for name in others for ending in short):
        return names
    return sorted(short)


def transposed(model: Any) -> bool:
    """Whether layers store transposed weights, as GPT-2's do. PEFT needs to know (`fan_in_fan_out`)."""
    from transformers.pytorch_utils import Conv1D

    # A quantized layer records its original class. The adapter is later loaded on the base model as saved.
    return any(issubclass(getattr(layer, "source_cls", None) or type(layer), Conv1D) for layer in model.modules())


def layers_in(model: Any) -> int:
    """Number of layers of the model's stack. For an encoder–decoder, of the deeper one."""
    numbers = [layer_number(name) for name, _ in model.named_parameters()]
    return 1 + max((number for number in numbers if number is not None), default=-1)


def freeze(model: Any, below: int) -> None:
    """Freeze the layers below this number, and the embeddings before them."""
    if below <= 0:
        return
    for name, weight in model.named_parameters():
        number = layer_number(name)
        if number is not None and number < below:
            weight.requires_grad_(False)
    for part in embeddings_of(model):
        part.requires_grad_(False)


def embeddings_of(model: Any) -> list[Any]:
    """The modules before the first layer: embeddings of tokens, positions and types, and their norm."""
    parts = ("embed", "wte", "wpe")
    embeddings = [
        part for name, part in model.base_model.named_children() if any(word in name.lower() for word in parts)
    ]
    return embeddings or [model.get_input_embeddings()]
