"""Learning rates by method and model size, each with its reason."""

from studio.schema.models import ModelInfo
from studio.training.methods import method_named

MANY_ROWS = 1500
"""Number of rows from which a small encoder takes enough steps at half the rate, and memorizes fewer label errors."""
SMALL_ENCODER = 50_000_000
NO_LIMIT = 10**15
RATES: dict[str, tuple[tuple[int, float, str], ...]] = {
    "low-rank": (
        (500_000_000, 5e-4, "the adapter of a small model stands a high rate"),
        (2_000_000_000, 3e-4, "an adapter of a model of this size"),
        (NO_LIMIT, 2e-4, "usual for the adapter of a large model"),
    ),
    "scales": (
        (2_000_000_000, 1e-2, "there are only factors near 1 to learn, and each must move far"),
        (NO_LIMIT, 5e-3, "there are only factors near 1 to learn, and each must move far"),
    ),
    "prompts": (
        (2_000_000_000, 3e-2, "virtual tokens are few, and learn at high rates only"),
        (NO_LIMIT, 1e-2, "virtual tokens are few, and learn at high rates only"),
    ),
    "last": (
        (500_000_000, 2e-4, "only the last layers learn, which stand more than all"),
        (NO_LIMIT, 5e-5, "only the last layers learn, which stand more than all"),
    ),
    "weights": (
        (500_000_000, 5e-5, "all weights of a small model learn"),
        (NO_LIMIT, 2e-5, "all weights of a model learn"),
    ),
}
"""Family of methods → (up to this many parameters, rate, reason)."""

TASK_FACTORS: dict[str, tuple[float, str]] = {
    "preference": (0.1, "a tenth of what is usual, since pairs move a model far"),
    "feedback": (0.1, "a tenth of what is usual, since thumbs move a model far"),
}
"""Task → factor of the usual rate, and the reason."""


def learning_rate(info: ModelInfo, method: str, has_labels: bool, rows: int) -> tuple[float, str]:
    """The learning rate and its reason.

    It is higher for adapters than for whole models, for small models than for large ones, and for few rows than for
    many.
    """
    family = method_named(method).family
    if family == "weights" and has_labels and info.parameters < SMALL_ENCODER:
        if rows > MANY_ROWS:
            return 1e-4, "a small encoder, and many rows to learn from"
        return 2e-4, "small encoders stand a higher rate than large ones"
    if family == "last" and has_labels and info.parameters < SMALL_ENCODER:
        return 5e-4, "a small encoder of which only the last layers learn"
    return next((rate, reason) for most, rate, reason in RATES[family] if info.parameters < most)
