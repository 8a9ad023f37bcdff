"""What a run of a demo's visitor may use, whatever the page has let through. Services and workers both ask here."""

from studio.schema.config import TrainingConfig
from studio.schema.errors import StudioError, raise_all
from studio.schema.limits import Limits
from studio.schema.runs import RunSpec
from studio.schema.settings_check import gathered
from studio.store.home import Workspace
from studio.store.run_folder_import import ID
from studio.store.run_rows import rows_of

MOST_ROWS_A_STEP = 256
ONE_VALUE: dict[str, tuple[object, str]] = {
    "mirror": ("none", "Experiment trackers are"),
    "processes": (1, "Several processes for one run are"),
    "offload": ("none", "Memory outside the GPU is"),
    "zero": (0, "ZeRO is"),
    "fsdp": (False, "FSDP is"),
}
"""Setting → the only value that a visitor's run may have, and the subject of the refusal."""


def require_allowed(workspace: Workspace, spec: RunSpec) -> None:
    """Refuse a run that names anything outside of its workspace, and of a visitor what only the owner may use."""
    problems: list[StudioError] = []
    config = spec.config
    if config.start_from and not ID.fullmatch(config.start_from):
        problems.append(
            StudioError(
                "no-such-run",
                "There is no such run to start from.",
                given=config.start_from,
                hint="See all runs with: studio runs",
                field="start_from",
            )
        )
    for dataset, version in rows_of(spec):
        with gathered(problems):
            workspace.datasets.get(dataset, version)
    if workspace.is_visitors:
        with gathered(problems):
            workspace.find_model(config.model)
        problems += not_offered(config)
    raise_all(problems)


def not_offered(config: TrainingConfig) -> list[StudioError]:
    """Settings that a demo does not offer."""
    return [
        StudioError(
            "not-allowed",
            f"{subject} not offered in a public demo.",
            given=getattr(config, name),
            valid=value,
            hint="Install the studio to use it on your own machine.",
            field=name,
        )
        for name, (value, subject) in ONE_VALUE.items()
        if getattr(config, name) != value
    ] + too_large_steps(config)


def too_large_steps(config: TrainingConfig) -> list[StudioError]:
    """Time is looked at between two steps, so that one step may not take for ever."""
    if config.rows_a_step <= MOST_ROWS_A_STEP:
        return []
    return [
        StudioError(
            "limit-reached",
            "A training step has more rows than this demo allows.",
            given=config.rows_a_step,
            valid=f"up to {MOST_ROWS_A_STEP} rows: batch size × gradient accumulation",
            hint="Choose a smaller batch size or fewer accumulated batches.",
            field="gradient_accumulation",
        )
    ]


def limited(config: TrainingConfig, limits: Limits) -> TrainingConfig:
    """The settings with no more steps than the limits allow."""
    if limits.run_steps and not 0 < config.max_steps <= limits.run_steps:
        return config.model_copy(update={"max_steps": limits.run_steps})
    return config
