"""The kind, context length and size of a model from its config. Uses small tables and no library."""

from typing import Any

from studio.schema.models import ModelKind

ENCODERS = frozenset(
    "albert bert big_bird camembert convbert deberta deberta-v2 distilbert electra ernie eurobert flaubert funnel "
    "ibert longformer luke megatron-bert mobilebert modernbert mpnet mra nezha nomic_bert nystromformer roberta "
    "roberta-prelayernorm roformer squeezebert xlm xlm-roberta xlm-roberta-xl xlnet xmod yoso".split()
)
SEQ2SEQ = frozenset(
    "bart bigbird_pegasus blenderbot blenderbot-small fsmt led longt5 m2m_100 marian mbart mt5 mvp nllb-moe pegasus "
    "pegasus_x plbart prophetnet switch_transformers t5 t5gemma umt5".split()
)
SHIFTED_POSITIONS = frozenset(
    "camembert ibert longformer luke mpnet roberta roberta-prelayernorm xlm-roberta xlm-roberta-xl xmod".split()
)
"""Their position ids start at two, so two fewer positions can be used than the table has."""
PIPELINES: dict[str, ModelKind] = {
    "text-generation": "causal",
    "fill-mask": "encoder",
    "feature-extraction": "encoder",
    "sentence-similarity": "encoder",
    "text-classification": "encoder",
    "token-classification": "encoder",
    "zero-shot-classification": "encoder",
    "text2text-generation": "seq2seq",
    "summarization": "seq2seq",
    "translation": "seq2seq",
}
"""The Hub's pipeline tag → kind, for models whose config names no architecture."""
CAUSAL_ENDS = ("ForCausalLM", "LMHeadModel")
ENCODER_ENDS = (
    "ForMaskedLM",
    "ForQuestionAnswering",
    "ForSequenceClassification",
    "ForTokenClassification",
    "ForPreTraining",
)
OWN_CODE: dict[str, ModelKind] = {
    "AutoModelForCausalLM": "causal",
    "AutoModelForSeq2SeqLM": "seq2seq",
    "AutoModelForMaskedLM": "encoder",
    "AutoModelForSequenceClassification": "encoder",
}
"""Auto class of a model's own code → kind."""
NO_LIMIT = 1_000_000
"""Tokenizers without a limit have a far larger number."""


def kind_of(config: dict[str, Any], pipeline: str = "") -> ModelKind:
    """Return the kind by architecture and model type. `pipeline` is the Hub's pipeline tag, if any."""
    if "vision_config" in config or "audio_config" in config:
        return "other"
    kind = _kind_of_architecture(config)
    if kind is not None:
        return kind
    auto_map = config.get("auto_map")
    for class_name, own_kind in OWN_CODE.items():
        if isinstance(auto_map, dict) and class_name in auto_map:
            return own_kind
    return PIPELINES.get(pipeline, "other") if not architecture_of(config) else "other"


def _kind_of_architecture(config: dict[str, Any]) -> ModelKind | None:
    """Return the kind by architecture and model type. None if these are unknown."""
    architecture = architecture_of(config)
    model_type = str(config.get("model_type") or "")
    if model_type in SEQ2SEQ and architecture.endswith("EncoderModel"):
        return "other"  # an encoder alone: a decoder would have random weights
    if model_type in ENCODERS and not (config.get("is_decoder") or config.get("causal")):
        return "encoder"  # whatever the class: its attention is bidirectional
    if model_type in SEQ2SEQ or (config.get("is_encoder_decoder") and "ForConditionalGeneration" in architecture):
        return "seq2seq"
    if architecture.endswith(CAUSAL_ENDS):
        return "causal"
    if model_type in ENCODERS or architecture.endswith(ENCODER_ENDS):
        return "encoder"
    return None


def architecture_of(config: dict[str, Any]) -> str:
    """Return the first class in the config, or ""."""
    names = config.get("architectures")
    return str(names[0]) if isinstance(names, list) and names else ""


def context_of(config: dict[str, Any], tokenizer_config: dict[str, Any]) -> int:
    """Return the maximum input length in tokens. 0 if neither file has it."""
    config = _with_text_config(config)
    names = ("max_position_embeddings", "n_positions", "n_ctx", "max_sequence_length", "seq_length", "max_seq_len")
    limit = next((_number(config[name]) for name in names if _number(config.get(name))), 0)
    if limit and config.get("model_type") in SHIFTED_POSITIONS:
        limit -= 2
    tokenizer_limit = _number(tokenizer_config.get("model_max_length"))
    if 0 < tokenizer_limit < NO_LIMIT:
        return min(limit, tokenizer_limit) if limit else tokenizer_limit
    return limit


def size_of(config: dict[str, Any]) -> dict[str, int]:
    """Return layers, hidden, intermediate and vocabulary sizes. 0 for sizes that the config lacks."""
    config = _with_text_config(config)

    def first(*names: str) -> int:
        return next((_number(config[name]) for name in names if _number(config.get(name))), 0)

    hidden = first("hidden_size", "n_embd", "d_model", "dim")
    return {
        "layers": first("num_hidden_layers", "n_layer", "n_layers", "num_layers"),
        "hidden": hidden,
        "intermediate": first("intermediate_size", "n_inner", "d_ff", "hidden_dim", "ffn_dim") or 4 * hidden,
        "vocabulary": first("vocab_size"),
    }


def _with_text_config(config: dict[str, Any]) -> dict[str, Any]:
    """Return the config with missing values from its text or decoder config, as T5Gemma needs."""
    nested = [config_ for name in ("text_config", "decoder") if isinstance(config_ := config.get(name), dict)]
    return {**nested[0], **config} if nested else config


def _number(value: object) -> int:
    """Return a positive integer below 2**53, or 0."""
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 2**53 else 0
