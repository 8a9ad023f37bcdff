"""The summary at the end of a run: the result, whether it was still improving, and what to change if the result is not
good enough. What to do next depends on the evaluation: see services/runs/next_step.py."""

from studio.schema.events import Action, AdviceEvent
from studio.schema.report import rows_of_split
from studio.training.coach.base import (
    Rule,
    RunHistory,
    format_number,
    percent,
    retraction,
    twice_as_long,
    typical_loss,
)

STILL_IMPROVING = 0.01
"""Relative change between the last two validations that counts as an improvement."""
WINDOW = 5
SEVERITIES = {"error": 0, "warn": 1, "info": 2}
EVALUATE = Action(kind="open", label="Evaluate", tab="evaluate")


def advise(history: RunHistory) -> AdviceEvent | None:
    """The summary, when the run has ended."""
    if not history.ended or not history.points:
        return None
    action, actions = _next(history)
    return AdviceEvent(
        rule="summary",
        severity="info",
        step=history.step,
        title="Training has ended",
        message=_result(history),
        why=_trend(history),
        action=action,
        actions=actions,
    )


def update(history: RunHistory, advice: AdviceEvent) -> AdviceEvent | None:
    """Retract the summary when the run is resumed. Replace it at the next end."""
    if history.ended:
        return advise(history) if history.step > advice.step else None
    return retraction(advice, history.step, "Training was resumed", "The result is not known yet.")


def _result(history: RunHistory) -> str:
    best, base = history.result, history.base
    if best is None:
        first, last = (
            typical_loss([point.loss for point in part]) for part in (history.points[:WINDOW], history.points[-WINDOW:])
        )
        return f"Training loss went from {format_number(first)} to {format_number(last)}."
    before, sentences = base.eval_loss if base else None, []
    if before:
        first_loss, best_loss = format_number(before), format_number(best.eval_loss)
        change = percent(abs(1 - best.eval_loss / before))
        if best.eval_loss == before:
            sentences.append(f"Validation loss went from {first_loss} to {best_loss} (unchanged).")
        elif best.eval_loss < before:
            sentences.append(f"Validation loss went from {first_loss} to {best_loss} ({change} lower).")
        else:
            sentences.append(f"Validation loss went from {first_loss} to {best_loss} ({change} higher).")
    else:
        sentences.append(f"Validation loss is {format_number(best.eval_loss)}.")
    metric = history.metric
    if metric is not None and metric.name in best.metrics:
        value = best.metrics[metric.name]
        score = percent(value) if metric.as_share else format_number(value)
        on = rows_of_split("validation", history.read.held) if history.read else "the validation rows"
        sentences.append(f"{metric.title} on {on} is {score}.")
    return " ".join(sentences)


def _trend(history: RunHistory) -> str:
    best = history.best
    if best is None:
        return "Without validation rows, only an evaluation on test rows shows whether the model has improved."
    if len(history.tuned) == 1:
        return f"There was one validation, at step {best.step:,}."
    if best.step < history.tuned[-1].step:
        if not history.config.keep_best:
            return f"The best validation was at step {best.step:,}. The result is the last step."
        return f"The best validation was at step {best.step:,}. Later ones were not better."
    if _still_improving(history):
        return f"The last validation, at step {best.step:,}, was the best: the model was still improving."
    return f"The best validation was the last one, at step {best.step:,}, but only by little."


def _next(history: RunHistory) -> tuple[str, tuple[Action, ...]]:
    """One thing to try, in a sentence and as an action: what other advice proposes comes first."""
    others = [each for rule, each in history.current.items() if rule != "summary"]
    if others:
        first = min(others, key=lambda each: SEVERITIES[each.severity])
        return f"If the evaluation is not good enough: {first.action}", tuple(
            each for each in first.actions if each.kind != "stop"
        )[:1]
    if _still_improving(history):
        if history.step < history.total:
            return "If the evaluation is not good enough: resume the run and train it to the end.", ()
        return "If the evaluation is not good enough: train longer.", (twice_as_long(history),)
    return "Next: evaluate it.", (EVALUATE,)


def _still_improving(history: RunHistory) -> bool:
    """Whether the last validation was the best, and clearly better than the one before."""
    best = history.best
    if best is None or best.step < history.tuned[-1].step or len(history.tuned) < 2:
        return False
    before, last = history.tuned[-2], history.tuned[-1]
    metric = history.metric
    if metric is not None and metric.name in last.metrics and metric.name in before.metrics:
        gain = last.metrics[metric.name] - before.metrics[metric.name]
        return (gain if metric.higher_is_better else -gain) > STILL_IMPROVING
    return before.eval_loss - last.eval_loss > STILL_IMPROVING * before.eval_loss


RULE = Rule("summary", advise, update)
