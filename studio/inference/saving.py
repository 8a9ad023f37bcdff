"""Saving of models for other programs: weights, config, and settings with which they generate as the chat does."""

from pathlib import Path
from typing import Any

from studio.inference.generate import NEUTRAL_GENERATION, end_tokens, plain_model

BEAM_SETTINGS = frozenset(("early_stopping", "length_penalty", "num_beam_groups", "diversity_penalty"))
"""Generation settings that have an effect with several beams only."""


def save_model(model: Any, to: Path, **options: Any) -> None:
    """Save weights and config to a folder, without the generation settings.

    transformers refuses to save settings without an effect, for example a temperature of a model that does not sample.
    Many models on the Hub have such settings.
    """
    from transformers import GenerationConfig

    own = getattr(model, "generation_config", None)
    try:
        if own is not None:
            model.generation_config = GenerationConfig()
        model.save_pretrained(str(to), **options)
    finally:
        if own is not None:
            model.generation_config = own
    (to / "generation_config.json").unlink(missing_ok=True)


def generation_settings(model: Any, tokenizer: Any) -> dict[str, Any]:
    """Return what generation_config.json has to say, so that other programs generate as the chat does.

    These are the settings of the model, without its penalties and beams, which the chat does not use, and all tokens
    that end a reply.
    """
    settings = plain_model(model).generation_config.to_diff_dict()
    neutral = {name: NEUTRAL_GENERATION.get(name, value) for name, value in settings.items()}
    kept = {name: value for name, value in neutral.items() if name not in BEAM_SETTINGS and name[0] != "_"}
    return kept | {"eos_token_id": sorted(end_tokens(model, tokenizer))}
