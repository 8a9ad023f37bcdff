"""The fastest computation of a model's loss on a CPU. Each candidate is tested on two rows and used if the results
agree."""

from typing import Any

import torch
from trl.trainer import utils as trl_utils

from studio.inference.generate import plain_model
from studio.training.batching.packed_attention import NAME, may_run_padding_free
from studio.training.batching.packing_check import supports_padding_free
from studio.training.losses.causal_lm import has_plain_head

TOLERANCE = 0.02
"""Relative difference that two computations may have. Rounding in bfloat16 is smaller."""


class FastPathMixin:
    """A mixin for TRL's trainers of causal models."""

    uses_fast_path = False
    """Whether the fast path is in use."""
    pads: bool
    model: Any
    args: Any
    train_dataset: Any
    data_collator: Any

    def install_fast_path(self, model: Any, padding_free: bool) -> None:
        """Replace the model's forward by the fast computation."""
        raise NotImplementedError

    def probe(self, rows: list[dict[str, Any]]) -> float:
        """A number that compares two computations."""
        raise NotImplementedError

    def select_fast_path(self, longest: int) -> None:
        """Select a padding-free computation, otherwise a padded one, otherwise TRL's own restricted to trained
        positions. On a GPU TRL's own is used unchanged."""
        if self.args.device.type != "cpu":
            return
        model = self.model
        base = plain_model(model)
        library, attention = base.forward, base.config._attn_implementation
        expected = self._probe_two_rows()
        virtual = getattr(getattr(model, "active_peft_config", None), "is_prompt_learning", False)
        for padding_free in (True, False) if not virtual and may_run_padding_free(base, longest) else (False,):
            if not has_plain_head(base):
                break
            if padding_free:
                base.set_attn_implementation(NAME)
            self.install_fast_path(base, padding_free)
            self.uses_fast_path, self.pads = True, not padding_free
            independent = not padding_free or supports_padding_free(base)
            if independent and abs(self._probe_two_rows() - expected) <= TOLERANCE * abs(expected):
                return
            self.uses_fast_path, self.pads, base.forward = False, True, library
            base.set_attn_implementation(attention)
        if hasattr(trl_utils, "_use_triton"):
            trl_utils._use_triton = lambda device: True

    def _probe_two_rows(self) -> float:
        """Probe the two shortest rows, without dropout."""
        rows = sorted(self.train_dataset, key=lambda row: len(row["input_ids"]))[:2]
        self.model.eval()
        with torch.no_grad():
            return self.probe(rows)
