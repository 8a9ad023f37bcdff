"""Most of what the rows say lies beyond the longest row that is allowed."""

from studio.schema.events import Action, AdviceEvent, ReadEvent
from studio.training.coach.base import Rule, Seen, percent

MOST = 0.4
"""Of all tokens."""


def look(seen: Seen) -> AdviceEvent | None:
    """Speak before the first step."""
    read = seen.read
    if read is None or max(_share(read), read.lost / max(1, read.learned + read.lost)) < MOST:
        return None
    kept = seen.config.max_length
    longer = min(read.room or 131_072, max(2 * kept, -(-read.longest // 64) * 64), 131_072)
    ways: tuple[Action, ...] = ()
    if longer > kept:
        ways = (
            Action(kind="repeat", label=f"Run again with rows of {longer:,} tokens", changes={"max_length": longer}),
        )
    return AdviceEvent(
        rule="cut-off",
        severity="warn",
        step=seen.step,
        title="Most of the rows is cut off",
        message=_seen(read, kept),
        why="What is beyond the cut is never learned, and most replies have no end.",
        action="Allow longer rows; they need more memory."
        if ways
        else "Shorten the rows, or take another base model: this one can't read longer ones.",
        actions=ways or (Action(kind="open", label="Look at the rows", tab="data"),),
    )


def _share(read: ReadEvent) -> float:
    return read.cut_tokens / read.tokens if read.tokens else 0.0


def _seen(read: ReadEvent, kept: int) -> str:
    lost = f" Of {read.lost:,} rows nothing is left to learn." if read.lost else ""
    return (
        f"{percent(_share(read))} of all tokens are not read: {read.cut:,} of {read.learned:,} rows are longer than "
        f"{kept:,} tokens, the longest has {read.longest:,}.{lost}"
    )


RULE = Rule("cut-off", look)
