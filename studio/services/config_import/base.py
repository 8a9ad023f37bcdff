"""What the conversions of all tools share: rules for entries, and the collection of what they give."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from reprlib import Repr
from typing import Any

from studio.schema.config import DEFAULT_METHOD, TrainingConfig, settings_of
from studio.schema.config_import import ImportedConfig, ImportedData, NotConverted
from studio.schema.settings_check import range_of, sifted
from studio.training.optimizers import OPTIMIZERS
from studio.training.planning.setting_scope import applies

MAX_VALUE = 120
"""Maximum number of characters of a value in a message."""
ATTENTION = frozenset(("q_proj", "k_proj", "v_proj", "o_proj", "query", "key", "value", "qkv_proj", "out_proj"))
"""Names of the linear layers of attention."""
OPTIMIZER_ALIASES = {
    "adamw_torch_fused": "adamw",
    "adamw_hf": "adamw",
    "adamw_bnb_8bit": "adamw-8bit",
    "adamw_torch_8bit": "adamw-8bit",
    "paged_adamw": "paged-adamw",
    "lion": "lion",
    "schedule_free_adamw": "schedule-free",
}
"""Other names of optimizers in transformers."""
_SHORT = Repr()
"""Writes the start of a value. Aliases in YAML can make a short text a value of any size."""
_SHORT.maxlevel, _SHORT.maxstring = 2, MAX_VALUE
UNKNOWN = "The studio has no such setting."
OWN_TEMPLATE = "The studio uses the model's own chat template."
USES_DEFAULT = "The studio has no such value, so it uses its default."


class Refused(Exception):
    """A rule can't convert a value. The text gives the reason."""


@dataclass
class Draft:
    """The conversion of one file while it is made."""

    tool: str
    entries: Mapping[str, Any]
    settings: dict[str, Any] = field(default_factory=dict)
    converted: dict[str, str] = field(default_factory=dict)
    not_converted: list[NotConverted] = field(default_factory=list)
    not_needed: list[str] = field(default_factory=list)
    data: list[ImportedData] = field(default_factory=list)
    used: set[str] = field(default_factory=set)

    def take(self, name: str) -> Any:
        """Return the value of an entry, and mark it as handled. None if it is missing or empty."""
        self.used.add(name)
        return self.entries.get(name)

    def put(self, name: str, setting: str, value: Any) -> None:
        """Set a setting from an entry. An invalid value is listed as not converted."""
        _, kept, problems = sifted({"task": "-", "model": "-", setting: value})
        if problems or setting not in kept:
            self.refuse(name, f"{USES_DEFAULT} Valid: {range_of(setting)}.")
            return
        self.settings[setting] = kept[setting]
        self.converted[name] = setting

    def note(self, name: str, what: str) -> None:
        """Mark an entry as converted into something other than one setting."""
        self.converted[name] = what

    def refuse(self, name: str, reason: str) -> None:
        """List an entry as not converted."""
        value = self.entries.get(name)
        text = value if isinstance(value, str) else _SHORT.repr(value)
        text = " ".join(text.split())
        shortened = text if len(text) <= MAX_VALUE else f"{text[: MAX_VALUE - 1]}…"
        self.not_converted.append(NotConverted(name=name, value=shortened, reason=reason))

    def apply(self, rules: Mapping[str, tuple[str, Callable[[Any], Any]]]) -> None:
        """Convert entries by rules: name → setting and a function of the value. None and "" are left out."""
        for name, (setting, convert) in rules.items():
            value = self.take(name)
            if value is None or value == "":
                continue
            try:
                self.put(name, setting, convert(value))
            except Refused as refused:
                self.refuse(name, str(refused))
            except (TypeError, ValueError):
                self.refuse(name, f"{USES_DEFAULT} Valid: {range_of(setting)}.")

    def _drop_without_effect(self) -> None:
        """Remove settings that the method and the task do not use. They are listed as not converted."""
        method, task = self.settings.get("method", DEFAULT_METHOD), self.settings.get("task")
        for name, setting in list(self.converted.items()):
            if setting in settings_of() and not applies(setting, method, task):
                del self.converted[name]
                if self.settings.pop(setting, None) is False:  # it is off without the setting too
                    self.not_needed.append(name)
                    continue
                self.refuse(name, "The studio does not use this setting with this method and task.")

    def finish(self, not_needed: frozenset[str], reasons: Mapping[str, str]) -> ImportedConfig:
        """Sort the entries that no rule handled, and return the result.

        `not_needed` are names of entries without an effect on the result, `reasons` why others are not converted.
        """
        self._drop_without_effect()
        for name, value in self.entries.items():
            if name in self.used:
                continue
            if name in not_needed:
                self.not_needed.append(name)
            elif value not in (None, "", False, [], {}):
                self.refuse(name, reasons.get(name, UNKNOWN))
        return ImportedConfig(
            tool=self.tool,
            settings=self.settings,
            converted=self.converted,
            data=tuple(self.data),
            not_converted=tuple(self.not_converted),
            not_needed=tuple(self.not_needed),
        )


def same(value: Any) -> Any:
    """Return a value unchanged."""
    return value


def number(value: Any) -> float:
    """Return a number. YAML reads 1e-4 as text."""
    if isinstance(value, bool):
        raise ValueError(value)
    return float(value)


def whole(value: Any) -> int:
    """Return a whole number."""
    if isinstance(value, bool) or float(value) != int(float(value)):
        raise ValueError(value)
    return int(float(value))


def truth(value: Any) -> bool:
    """Return a yes or no."""
    if isinstance(value, bool):
        return value
    if str(value).lower() in ("true", "yes", "1", "unsloth", "offload", "offload_disk"):
        return True
    if str(value).lower() in ("false", "no", "0"):
        return False
    raise ValueError(value)


def share_of_rows(value: Any) -> float:
    """Return a share for validation. A number of rows is refused."""
    share = number(value)
    if share >= 1:
        raise Refused("The studio takes a share of the rows, not their number. Use --validation-share.")
    return share


def share_of_steps(value: Any) -> float:
    """Return a share of the steps for warmup. A number of steps is refused."""
    share = number(value)
    if share >= 1:
        raise Refused("The studio takes a share of the steps. Use --warmup-share.")
    return share


def schedule(value: Any) -> str:
    """Return a learning-rate schedule that the studio has."""
    known = TrainingConfig.model_fields["scheduler"].annotation.__args__  # type: ignore[union-attr]
    if value not in known:
        raise Refused(f"The studio has no such schedule, so it uses its default. Valid: {', '.join(known)}.")
    return str(value)


def optimizer(value: Any) -> str:
    """Return the studio's name of an optimizer of transformers."""
    names = {each.library: name for name, each in OPTIMIZERS.items()} | OPTIMIZER_ALIASES
    if str(value) not in names:
        raise Refused("The studio has no such optimizer, so it uses its default, adamw.")
    return names[str(value)]


def tracker(value: Any) -> str:
    """Return an experiment tracker that the studio has."""
    names = value if isinstance(value, list) else [value]
    if len(names) != 1 or names[0] not in ("none", "tensorboard", "trackio", "wandb", "mlflow"):
        raise Refused("The studio has no such experiment tracker. Valid: tensorboard, trackio, wandb, mlflow.")
    return str(names[0])


def hub_place(name: str, config: Any, split: Any) -> str:
    """Return where a dataset on the Hub is, with its config and its split if an entry names them."""
    parts = [name, *(each if isinstance(each, str) else "" for each in (config, split))]
    return f"hf:{':'.join(parts).rstrip(':')}"


def lora_variant(draft: Draft, method: str, variants: Mapping[str, str]) -> str:
    """Return the method, or the variant of LoRA that an entry chooses. `variants`: name of an entry → method.

    A variant of another method, or of another variant, is listed as not converted.
    """
    for name, variant in variants.items():
        if not draft.take(name):
            continue
        if method == "lora":
            method = variant
            draft.note(name, "method")
        else:
            draft.refuse(name, f"The studio does not combine it with the method {method}.")
    return method


def targets(value: Any) -> str:
    """Return which linear layers get an adapter: all, or those of attention."""
    names = [each.strip() for each in value.split(",")] if isinstance(value, str) else [str(each) for each in value]
    if names in (["all"], ["all-linear"]) or (
        {"gate_proj", "up_proj", "down_proj"} <= set(names) and ATTENTION.intersection(names)
    ):
        return "all-linear"
    if names and set(names) <= ATTENTION:
        return "attention"
    raise Refused("The studio trains adapters on all linear layers or on those of attention, not on single layers.")
