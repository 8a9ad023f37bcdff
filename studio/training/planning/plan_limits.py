"""Limits of a demo's visitor in a plan, and the errors for settings above them."""

from collections.abc import Mapping
from typing import Any

from studio.schema.errors import StudioError
from studio.schema.limits import Limits
from studio.training.planning.eval_schedule import total_steps
from studio.training.planning.plan_builder import PlanDraft


def over_limits(by_hand: Mapping[str, Any], limits: Limits) -> list[StudioError]:
    """An error for each setting above the limits, independent of the rows."""
    limited = (
        ("max_steps", limits.run_steps, "A run in this demo can take at most {limit} steps."),
        ("max_minutes", limits.run_minutes, "A run in this demo can take at most {limit} minutes."),
    )
    return [
        StudioError(
            "limit-reached",
            what.format(limit=f"{limit:,.10g}"),
            given=f"{by_hand[name]:,.10g}",
            valid=f"up to {limit:,.10g}",
            hint="Install the studio to train longer.",
            field=name,
        )
        for name, limit, what in limited
        if limit and name in by_hand and by_hand[name] > limit
    ]


def too_many_steps(draft: PlanDraft) -> list[StudioError]:
    """An error when epochs set by the user need more steps than the limits allow."""
    steps = total_steps(draft.learned.train_rows, draft.config())
    if not draft.limits.over("run_steps", steps) or draft.values.get("max_steps"):
        return []
    return [
        StudioError(
            "limit-reached",
            f"A run in this demo can take at most {draft.limits.run_steps:,} steps.",
            given=f"{draft.config().epochs:g} epochs are {steps:,} steps",
            valid=f"up to {draft.limits.run_steps:,} steps",
            hint="Choose fewer epochs or a larger batch size.",
            field="epochs",
        )
    ]


def within_limits(draft: PlanDraft) -> None:
    """Reduce values to the limits, so that a plan without settings of the user can start."""
    limits, facts = draft.limits, draft.facts
    if limits.run_minutes and not draft.values.get("max_minutes"):
        draft.values["max_minutes"] = limits.run_minutes
        draft.because.append(
            f"Training stops after {limits.run_minutes:g} minutes (limit of this demo) and keeps the best checkpoint."
        )
    if facts.sampled_from:
        draft.because.append(
            f"Trained on {facts.train_rows:,} of {facts.sampled_from:,} training rows, a random sample, because of the "
            "limit of this demo."
        )
    steps = total_steps(draft.learned.train_rows, draft.config())
    if limits.over("run_steps", steps) and "epochs" not in draft.fixed:
        words = f"Training ends after {limits.run_steps:,} steps, the limit of this demo."
        draft.put("max_steps", limits.run_steps, words)
