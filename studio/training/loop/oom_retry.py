"""After want of memory: once more at half the batch, which learns the same. What was asked in, what to ask out."""

from studio.schema.runs import RunSpec

MOST_GOES = 1024
TITLE = "Not enough memory: tried once more"


def at_half_the_batch(spec: RunSpec) -> RunSpec | None:
    """What to try instead, once: half the rows at once in twice the goes; None when that is no way out."""
    config = spec.config
    if spec.tried_again or config.batch_size < 2 or 2 * config.gradient_accumulation > MOST_GOES:
        return None
    smaller = config.model_copy(
        update={"batch_size": config.batch_size // 2, "gradient_accumulation": 2 * config.gradient_accumulation}
    )
    return spec.model_copy(
        update={"config": smaller, "tried_again": True, "because": (*spec.because, in_words(config.batch_size))}
    )


def in_words(before: int) -> str:
    """What is done and why, for the run's reasons, its events and its log."""
    return (
        f"There was not enough memory for {before} rows at once, so it was tried once more with {before // 2} in twice "
        "as many goes: it learns the same, a little slower."
    )
