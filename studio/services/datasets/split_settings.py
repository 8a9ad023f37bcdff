"""Splits as settings of a run, and as saved with a dataset."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from studio.schema.dataset import DatasetSpec, SplitSpec
from studio.schema.settings_check import config_from


def split_spec(settings: Mapping[str, Any]) -> SplitSpec:
    """The split settings among the settings of a run."""
    given = {name: settings[name] for name in SplitSpec.model_fields if settings.get(name) is not None}
    config = config_from({"task": "-", "model": "-", **given})
    return SplitSpec(**{name: getattr(config, name) for name in SplitSpec.model_fields})


def saved_splits(spec: DatasetSpec, given: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Any]:
    """The split settings saved with a dataset. A given column replaces the saved one."""
    kept = spec.splits.model_dump(exclude_defaults=True) if spec.splits else {}
    ways = ("group_column", "time_column", "split_column")
    return {name: value for name, value in kept.items() if name not in ways or not any(given.get(way) for way in ways)}
