"""Rules for runs of a demo's visitors. Services and workers both enforce them, whatever the page allowed."""

from studio.schema.config import TrainingConfig
from studio.schema.errors import StudioError, raise_all
from studio.schema.limits import Limits
from studio.schema.runs import RunSpec
from studio.schema.settings_check import gathered
from studio.store.home import Workspace
from studio.store.run_folder_import import ID
from studio.store.run_rows import dataset_versions

MOST_ROWS_A_STEP = 256
ONE_VALUE: dict[str, tuple[object, str]] = {
    "mirror": ("none", "Experiment trackers are not available in a public demo."),
    "processes": (1, "Several processes for one run are not available in a public demo."),
    "offload": ("none", "Offloading is not available in a public demo."),
    "zero": (0, "ZeRO is not available in a public demo."),
    "fsdp": (False, "FSDP is not available in a public demo."),
}
"""Setting → the only value allowed for a visitor, and what is not possible."""


def require_allowed(workspace: Workspace, spec: RunSpec) -> None:
    """Refuse a run that refers to anything outside its workspace, or uses a setting that a demo does not offer."""
    problems: list[StudioError] = []
    config = spec.config
    if config.start_from and not ID.fullmatch(config.start_from):
        problems.append(
            StudioError(
                "no-such-run",
                "There is no run with this id to start from.",
                given=config.start_from,
                hint="See all runs with: studio runs",
                field="start_from",
            )
        )
    for dataset, version in dataset_versions(spec):
        with gathered(problems):
            workspace.datasets.get(dataset, version)
    if workspace.is_visitors:
        with gathered(problems):
            workspace.find_model(config.model)
        problems += not_offered(config)
    raise_all(problems)


def not_offered(config: TrainingConfig) -> list[StudioError]:
    """An error for each setting that a demo does not offer."""
    return [
        StudioError(
            "not-allowed",
            what,
            given=getattr(config, name),
            valid=value,
            hint="Install the studio to use it on your own machine.",
            field=name,
        )
        for name, (value, what) in ONE_VALUE.items()
        if getattr(config, name) != value
    ] + too_large_steps(config)


def too_large_steps(config: TrainingConfig) -> list[StudioError]:
    """An error when a step has too many rows. Limits on time are checked between steps, so a step must not take too
    long."""
    if config.rows_a_step <= MOST_ROWS_A_STEP:
        return []
    return [
        StudioError(
            "limit-reached",
            "A training step has more rows than this demo allows.",
            given=config.rows_a_step,
            valid=f"up to {MOST_ROWS_A_STEP} rows: batch size × gradient accumulation",
            hint="Lower the batch size or the gradient accumulation.",
            field="gradient_accumulation",
        )
    ]


def limited(config: TrainingConfig, limits: Limits) -> TrainingConfig:
    """The settings with at most as many steps as the limits allow."""
    if limits.run_steps and not 0 < config.max_steps <= limits.run_steps:
        return config.model_copy(update={"max_steps": limits.run_steps})
    return config
