"""Hub models that suit a small machine, available without a network request.

Figures as of November 2026. The Hub's own values replace them when it is reachable.
"""

from dataclasses import dataclass
from typing import Any

from studio.models.starters import Starter
from studio.schema.models import ModelInfo, ModelKind


def starter_info(starter: Starter) -> ModelInfo:
    """Return the declared description of a starter model that is not downloaded yet."""
    return ModelInfo(
        name=starter.name,
        title=starter.title,
        source="starter",
        kind=starter.kind,
        hub_id=starter.hub_id,
        revision=starter.revision,
        parameters=starter.parameters,
        bytes=starter.hub_bytes,
        licence=starter.licence,
        languages=starter.languages,
        context=starter.context,
        has_chat_template=starter.kind == "causal",
        note=f"Not downloaded yet. Run `make setup` or `studio download {starter.name}`.",
        **starter.size,
    )


@dataclass(frozen=True)
class CatalogEntry:
    """A Hub model and its description."""

    info: ModelInfo
    sentences: dict[str, str]
    """`sentence`, `good_for` and `not_for`, shown on the page."""

    @property
    def name(self) -> str:
        """The model's name on the Hub."""
        return self.info.name


def _entry(
    name: str,
    kind: ModelKind,
    sentences: tuple[str, str, str],
    parameters: int,
    size: tuple[int, int, int, int],
    **fields: Any,
) -> CatalogEntry:
    layers, hidden, intermediate, vocabulary = size
    info = ModelInfo(
        name=name,
        title=name.rpartition("/")[2],
        source="hub",
        kind=kind,
        hub_id=name,
        parameters=parameters,
        layers=layers,
        hidden=hidden,
        intermediate=intermediate,
        vocabulary=vocabulary,
        **fields,
    )
    return CatalogEntry(info, dict(zip(("sentence", "good_for", "not_for"), sentences, strict=True)))


CATALOG: tuple[CatalogEntry, ...] = (
    _entry(
        "HuggingFaceTB/SmolLM2-360M-Instruct",
        "causal",
        (
            "The starter's larger version: the same style, better English.",
            "Replies in your own style, short instructions",
            "Hard reasoning, languages other than English",
        ),
        361_821_120,
        (32, 960, 2560, 49_152),
        bytes=723_674_912,
        licence="apache-2.0",
        languages=("en",),
        context=8192,
        has_chat_template=True,
        architecture="LlamaForCausalLM",
    ),
    _entry(
        "Qwen/Qwen3-0.6B",
        "causal",
        (
            "Small, speaks a hundred languages, follows instructions well.",
            "Several languages, longer conversations",
            "A machine with less than 8 GB",
        ),
        596_049_920,
        (28, 1024, 3072, 151_936),
        bytes=1_503_300_328,
        licence="apache-2.0",
        context=40_960,
        has_chat_template=True,
        architecture="Qwen3ForCausalLM",
    ),
    _entry(
        "google/gemma-3-270m-it",
        "causal",
        (
            "Made to be fine-tuned for one narrow task. You must accept its terms on the Hub first.",
            "One narrow task done very well",
            "Free conversation without fine-tuning",
        ),
        268_098_176,
        (18, 640, 2048, 262_144),
        bytes=536_223_056,
        licence="gemma",
        context=32_768,
        has_chat_template=True,
        gated=True,
        architecture="Gemma3ForCausalLM",
    ),
    _entry(
        "distilbert/distilbert-base-uncased",
        "encoder",
        (
            "The usual first choice for classifying English text: small, fast, well known.",
            "Mood, topic and intent of English text",
            "Writing replies",
        ),
        66_362_880,
        (6, 768, 3072, 30_522),
        bytes=267_954_768,
        licence="apache-2.0",
        languages=("en",),
        context=512,
        architecture="DistilBertForMaskedLM",
    ),
    _entry(
        "FacebookAI/roberta-base",
        "encoder",
        (
            "A strong classifier for English text, at twice DistilBERT's cost.",
            "Fine differences between labels",
            "Writing replies, slow machines",
        ),
        124_645_632,
        (12, 768, 3072, 50_265),
        bytes=498_818_054,
        licence="mit",
        languages=("en",),
        context=512,
        architecture="RobertaForMaskedLM",
    ),
    _entry(
        "google-bert/bert-base-uncased",
        "encoder",
        (
            "The classic model that most published results compare with.",
            "Comparing with published results",
            "Writing replies",
        ),
        109_482_240,
        (12, 768, 3072, 30_522),
        bytes=440_449_768,
        licence="apache-2.0",
        languages=("en",),
        context=512,
        architecture="BertForMaskedLM",
    ),
)
