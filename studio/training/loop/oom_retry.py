"""A retry after out-of-memory: half the batch size and twice the gradient accumulation, which train the same."""

from studio.schema.runs import RunSpec

MAX_ACCUMULATION = 1024
TITLE = "Not enough memory: tried once more"


def with_half_batch(spec: RunSpec) -> RunSpec | None:
    """The spec for the retry, with half the batch size. None when a retry was made already or is impossible."""
    config = spec.config
    if spec.tried_again or config.batch_size < 2 or 2 * config.gradient_accumulation > MAX_ACCUMULATION:
        return None
    smaller = config.model_copy(
        update={"batch_size": config.batch_size // 2, "gradient_accumulation": 2 * config.gradient_accumulation}
    )
    return spec.model_copy(
        update={"config": smaller, "tried_again": True, "because": (*spec.because, retry_message(config.batch_size))}
    )


def retry_message(before: int) -> str:
    """What was changed and why, for the run's reasons, events and log."""
    smaller = before // 2
    return (
        f"There was not enough memory for batch size {before}, so it was tried once more with {smaller} and "
        "twice the gradient accumulation. The result is the same, and training is slightly slower."
    )
