"""Most of the rows is truncated by the maximum length."""

from studio.schema.events import Action, AdviceEvent, ReadEvent
from studio.training.coach.base import Rule, RunHistory, percent

MAX_SHARE = 0.4
"""Share of all tokens."""


def advise(history: RunHistory) -> AdviceEvent | None:
    """Advice before the first step."""
    read = history.read
    if read is None or max(_truncated_share(read), read.lost / max(1, read.learned + read.lost)) < MAX_SHARE:
        return None
    max_length = history.config.max_length
    longer = min(read.room or 131_072, max(2 * max_length, -(-read.longest // 64) * 64), 131_072)
    actions: tuple[Action, ...] = ()
    if longer > max_length:
        actions = (
            Action(kind="repeat", label=f"Run again with rows of {longer:,} tokens", changes={"max_length": longer}),
        )
    return AdviceEvent(
        rule="cut-off",
        severity="warn",
        step=history.step,
        title="Most of the rows is cut off",
        message=_message(read, max_length),
        why="What is beyond the cut is never learned, and most replies have no end.",
        action="Allow longer rows; they need more memory."
        if actions
        else "Shorten the rows, or take another base model: this one can't read longer ones.",
        actions=actions or (Action(kind="open", label="Look at the rows", tab="data"),),
    )


def _truncated_share(read: ReadEvent) -> float:
    return read.cut_tokens / read.tokens if read.tokens else 0.0


def _message(read: ReadEvent, max_length: int) -> str:
    lost = f" Of {read.lost:,} rows nothing is left to learn." if read.lost else ""
    return (
        f"{percent(_truncated_share(read))} of all tokens are not read: {read.cut:,} of {read.learned:,} rows are "
        "longer than "
        f"{max_length:,} tokens, the longest has {read.longest:,}.{lost}"
    )


RULE = Rule("cut-off", advise)
