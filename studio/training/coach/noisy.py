"""Validation loss jumps about by more than there is to see: its rows are too few to choose a step by."""

from studio.schema.events import Action, AdviceEvent
from studio.training.coach.base import Rule, Seen, figure, mean, noise

CHECKS = 8
"""Fewer checks can't tell noise from a course."""
FEW = 24
"""With more validation rows their loss is steady, and what jumps is the model."""
VISIBLE = 0.01
"""Noise below this share of the loss is none."""


def look(seen: Seen) -> AdviceEvent | None:
    """Speak when the last checks scatter by more than they went anywhere."""
    losses = [check.eval_loss for check in seen.tuned[-CHECKS:]]
    held = seen.read.held if seen.read else 0
    if len(losses) < CHECKS or not 0 < held <= FEW:
        return None
    half = CHECKS // 2
    jumps, went = noise(losses), abs(mean(losses[half:]) - mean(losses[:half]))
    if jumps < VISIBLE * mean(losses) or jumps < went:
        return None
    share = min(0.5, max(0.2, 2 * (seen.config.validation_share or 0.1)))
    percents = f"{100 * share:.0f} %"
    return AdviceEvent(
        rule="noisy-validation",
        severity="info",
        step=seen.step,
        title="Too few validation rows to tell",
        message=f"In the last {CHECKS} checks validation loss jumped by about {figure(jumps)} from one to the next, "
        f"and went {figure(went)} in all. It is measured on {held} {'row' if held == 1 else 'rows'}.",
        why="Which step is the best is then chance, and early stopping may end the run for nothing.",
        action=f"Run again with {percents} of the rows kept for validation.",
        actions=(
            Action(
                kind="repeat", label=f"Run again with {percents} for validation", changes={"validation_share": share}
            ),
        ),
    )


RULE = Rule("noisy-validation", look, unless=("rate-too-high",))
