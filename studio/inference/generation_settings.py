"""Generation settings of models: without those that have no effect, and for exports those of the chat."""

from typing import Any

from studio.inference.generate import NEUTRAL_GENERATION, end_tokens, plain_model

SAMPLING = ("temperature", "top_k", "top_p", "min_p", "top_h", "typical_p", "epsilon_cutoff", "eta_cutoff")
"""Generation settings that have an effect with sampling only."""
BEAMS = ("early_stopping", "length_penalty")
"""Those that have an effect with several beams only."""


def drop_idle_settings(model: Any) -> None:
    """Remove generation settings without an effect, for example a temperature of a model that does not sample.

    Many models on the Hub have such settings. transformers refuses to save them if other settings have changed, as by
    a trainer that aligns the special tokens.
    """
    config = getattr(model, "generation_config", None)
    if config is None:
        return
    idle = [
        *(SAMPLING if config.do_sample is not True else ()),
        *(BEAMS if config.num_beams in (None, 1) else ()),
        *(config.extra_output_flags if config.return_dict_in_generate is not True else ()),
        *(("pad_token_id",) if (config.pad_token_id or 0) < 0 else ()),
    ]
    for name in idle:
        setattr(config, name, None)


def generation_settings(model: Any, tokenizer: Any) -> dict[str, Any]:
    """Return what generation_config.json has to say, so that other programs generate as the chat does.

    These are the settings of the model, without its penalties and beams, which the chat does not use, and all tokens
    that end a reply.
    """
    settings = plain_model(model).generation_config.to_diff_dict()
    neutral = {name: NEUTRAL_GENERATION.get(name, value) for name, value in settings.items()}
    kept = {name: value for name, value in neutral.items() if name not in BEAMS and name[0] != "_"}
    return kept | {"eos_token_id": sorted(end_tokens(model, tokenizer))}
