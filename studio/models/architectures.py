"""Which kind of model a config describes, and how long its inputs may be: small tables, no library."""

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
"""Their positions start at two, so two fewer can be used than the table has."""
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
"""The Hub's word for what a model is made for → its kind, when its config says nothing."""
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
"""What a class of the model's own code may be called as → its kind."""
NO_LIMIT = 1_000_000
"""Tokenizers that know no limit name a far larger number."""


def kind_of(config: dict[str, Any], pipeline: str = "") -> ModelKind:
    """The kind by architecture and model type; `pipeline` is what the Hub says of it, if anything."""
    architecture = architecture_of(config)
    model_type = str(config.get("model_type") or "")
    if "vision_config" in config or "audio_config" in config:
        return "other"
    if model_type in SEQ2SEQ and architecture.endswith("EncoderModel"):
        return "other"  # a reader alone: what writes would be made anew, at random
    if model_type in ENCODERS and not (config.get("is_decoder") or config.get("causal")):
        return "encoder"  # whatever its class is called: each word sees those behind it
    if model_type in SEQ2SEQ or (config.get("is_encoder_decoder") and "ForConditionalGeneration" in architecture):
        return "seq2seq"
    if architecture.endswith(CAUSAL_ENDS):
        return "causal"
    if model_type in ENCODERS or architecture.endswith(ENCODER_ENDS):
        return "encoder"
    own = config.get("auto_map")
    for called, kind in OWN_CODE.items():
        if isinstance(own, dict) and called in own:
            return kind
    return PIPELINES.get(pipeline, "other") if not architecture else "other"


def architecture_of(config: dict[str, Any]) -> str:
    """The class that the config names first, or an empty string."""
    names = config.get("architectures")
    return str(names[0]) if isinstance(names, list) and names else ""


def context_of(config: dict[str, Any], tokenizer_config: dict[str, Any]) -> int:
    """Longest input in tokens; 0 when neither file says."""
    config = _with_parts(config)
    names = ("max_position_embeddings", "n_positions", "n_ctx", "max_sequence_length", "seq_length", "max_seq_len")
    limit = next((_number(config[name]) for name in names if _number(config.get(name))), 0)
    if limit and config.get("model_type") in SHIFTED_POSITIONS:
        limit -= 2
    told = _number(tokenizer_config.get("model_max_length"))
    if 0 < told < NO_LIMIT:
        return min(limit, told) if limit else told
    return limit


def size_of(config: dict[str, Any]) -> dict[str, int]:
    """Layers, hidden, intermediate and vocabulary, by the names that families use; 0 where nothing is said."""
    config = _with_parts(config)

    def first(*names: str) -> int:
        return next((_number(config[name]) for name in names if _number(config.get(name))), 0)

    hidden = first("hidden_size", "n_embd", "d_model", "dim")
    return {
        "layers": first("num_hidden_layers", "n_layer", "n_layers", "num_layers"),
        "hidden": hidden,
        "intermediate": first("intermediate_size", "n_inner", "d_ff", "hidden_dim", "ffn_dim") or 4 * hidden,
        "vocabulary": first("vocab_size"),
    }


def _with_parts(config: dict[str, Any]) -> dict[str, Any]:
    """With what a part's own config says where the whole's says nothing: T5Gemma's sizes are its writer's."""
    parts = [part for name in ("text_config", "decoder") if isinstance(part := config.get(name), dict)]
    return {**parts[0], **config} if parts else config


def _number(value: object) -> int:
    """A whole number that makes sense, or 0."""
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 2**53 else 0
