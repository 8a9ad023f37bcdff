"""The fine-tuned model answers as the base model does."""

from studio.schema.events import AdviceEvent
from studio.schema.numbers import plural
from studio.training.coach.base import Rule, RunHistory, format_number, percent, rerun_at_rate, retraction

MIN_CHANGE = 0.01
"""A smaller relative change of validation loss counts as none."""


def advise(history: RunHistory) -> AdviceEvent | None:
    """Advice at the end, since replies may change until then."""
    if not history.ended or not history.points:
        return None
    same = _same_replies(history)
    change = _change(history)
    if same == 0 or (change is not None and change > MIN_CHANGE) or (same is None and change is None):
        return None
    sentences = []
    if same:
        one = "The test prompt is answered as by the base model, or nearly."
        sentences.append(plural(same, one, "All {n} test prompts are answered as by the base model, or nearly."))
    if history.base and history.tuned:
        sentences.append(
            f"Validation loss went from {format_number(history.base.eval_loss)} to "
            f"{format_number(history.tuned[-1].eval_loss)}, "
            f"a change of {percent(change or 0.0)}."
        )
    return AdviceEvent(
        rule="no-change",
        severity="warn",
        step=history.step,
        title="The model has hardly changed",
        message=" ".join(sentences),
        why="Either the base model could do this already, or the model learned too little to notice.",
        action="Run again with more epochs or a higher learning rate, or use the base model as it is.",
        actions=(rerun_at_rate(history, 5.0),),
    )


def _same_replies(history: RunHistory) -> int | None:
    """The number of prompts if all are answered as by the base model, 0 if one is not, None if it is unknown."""
    if history.loss_of in ("labels", "spans"):
        return None  # the head of the base model is not trained
    base = {each.prompt: each.text for each in history.replies if each.who == "base"}
    tuned = {each.prompt: each.text for each in history.replies if each.who == "tuned"}
    both = [(base[prompt], tuned[prompt]) for prompt in base if prompt in tuned]
    if not both:
        return None
    return len(both) if all(_is_similar(one, other) for one, other in both) else 0


def _is_similar(one: str, other: str) -> bool:
    """Whether the first half of the shorter text is equal. One reply may be cut earlier, and in short number formats
    equal models diverge at some point."""
    half = -(-min(len(one), len(other)) // 2)
    return one[:half] == other[:half] if half else one == other


def _change(history: RunHistory) -> float | None:
    if not history.base or not history.tuned or not history.base.eval_loss:
        return None
    return max(abs(check.eval_loss / history.base.eval_loss - 1) for check in history.tuned)


def update(history: RunHistory, advice: AdviceEvent) -> AdviceEvent | None:
    """Retract the advice when the run is resumed."""
    if history.ended:
        return None
    return retraction(advice, history.step, "Training was resumed", "The result is not known yet.")


RULE = Rule("no-change", advise, update, unless=("rate-too-low",))
