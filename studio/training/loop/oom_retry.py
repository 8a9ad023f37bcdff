"""A retry after out-of-memory: half the batch size and more gradient accumulation, so that a step has as many rows."""

from studio.schema.runs import RunSpec
from studio.training.planning.memory_fit import divided_batch

TITLE = "Not enough memory: tried once more"


def with_half_batch(spec: RunSpec) -> RunSpec | None:
    """The spec for the retry, with half the batch size. None when a retry was made already or is impossible."""
    divided = None if spec.tried_again else divided_batch(spec.config)
    if divided is None:
        return None
    config = spec.config.model_copy(update=divided)
    message = retry_message(spec.config.batch_size, config.batch_size)
    return spec.model_copy(update={"config": config, "tried_again": True, "because": (*spec.because, message)})


def retry_message(before: int, smaller: int) -> str:
    """What was changed and why, for the run's reasons, events and log. `before` and `smaller` are batch sizes."""
    times = before // smaller
    return (
        f"There was not enough memory for batch size {before}, so it was tried once more with {smaller} and "
        f"{times} times the gradient accumulation. A step has as many rows as before, and training is "
        "slightly slower."
    )
