"""Most of the rows is truncated by the maximum length."""

from studio.schema.events import Action, AdviceEvent, ReadEvent
from studio.schema.numbers import plural
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
            Action(
                kind="repeat",
                label=f"Run again with a maximum length of {longer:,} tokens",
                changes={"max_length": longer},
            ),
        )
    return AdviceEvent(
        rule="cut-off",
        severity="warn",
        step=history.step,
        title="Much of the data is truncated",
        message=_message(read, max_length),
        why="The model never sees what comes after the maximum length, and most replies have no end.",
        action="Raise the maximum length. Longer rows need more memory."
        if actions
        else "Shorten the rows, or choose a base model with a longer context.",
        actions=actions or (Action(kind="open", label="Look at the rows", tab="data"),),
    )


def _truncated_share(read: ReadEvent) -> float:
    return read.cut_tokens / read.tokens if read.tokens else 0.0


def _message(read: ReadEvent, max_length: int) -> str:
    sentences = [
        f"{percent(_truncated_share(read))} of all tokens are left out. {read.cut:,} of {read.learned:,} rows "
        f"are longer than the maximum length of {max_length:,} tokens. The longest has {read.longest:,}."
    ]
    if read.lost:
        one, more = "{n} row has no reply left to learn from.", "{n} rows have no reply left to learn from."
        sentences.append(plural(read.lost, one, more))
    return " ".join(sentences)


RULE = Rule("cut-off", advise)
