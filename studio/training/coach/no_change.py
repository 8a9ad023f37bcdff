"""The tuned model answers as the base does."""

from studio.schema.events import AdviceEvent
from studio.training.coach.base import LABELING, Rule, Seen, at_rate, figure, percent

LEAST = 0.01
"""A smaller change of validation loss is as good as none."""


def look(seen: Seen) -> AdviceEvent | None:
    """Speak at the end: until then the replies may still change."""
    if not seen.ended or not seen.points:
        return None
    same = _same_replies(seen)
    change = _change(seen)
    if same == 0 or (change is not None and change > LEAST) or (same is None and change is None):
        return None
    parts = []
    if same:
        words = "The test prompt is" if same == 1 else f"All {same} test prompts are"
        parts.append(f"{words} answered as before, or nearly.")
    if seen.base and seen.tuned:
        parts.append(
            f"Validation loss went from {figure(seen.base.eval_loss)} to {figure(seen.tuned[-1].eval_loss)}, "
            f"a change of {percent(change or 0.0)}."
        )
    return AdviceEvent(
        rule="no-change",
        severity="warn",
        step=seen.step,
        title="The model is as it was",
        message=" ".join(parts),
        why="Either the base could do this already, or too little was learned to be seen.",
        action="Run again with more passes or at a higher rate; or keep the base.",
        actions=(at_rate(5 * seen.config.learning_rate, "five times the rate"),),
    )


def _same_replies(seen: Seen) -> int | None:
    """How many prompts are answered as by the base, when all are; 0 when one is not; None when that can't be told."""
    if seen.trainer in (*LABELING, "spans"):
        return None  # such a base has learned no labels to answer with
    base = {each.prompt: each.text for each in seen.replies if each.who == "base"}
    tuned = {each.prompt: each.text for each in seen.replies if each.who == "tuned"}
    both = [(base[prompt], tuned[prompt]) for prompt in base if prompt in tuned]
    if not both:
        return None
    return len(both) if all(_alike(one, other) for one, other in both) else 0


def _alike(one: str, other: str) -> bool:
    """Word for word for half of the shorter one: one may have had less room, and in short number formats two equal
    models part somewhere."""
    half = -(-min(len(one), len(other)) // 2)
    return one[:half] == other[:half] if half else one == other


def _change(seen: Seen) -> float | None:
    if not seen.base or not seen.tuned or not seen.base.eval_loss:
        return None
    return max(abs(check.eval_loss / seen.base.eval_loss - 1) for check in seen.tuned)


RULE = Rule("no-change", look, unless=("rate-too-low",))
