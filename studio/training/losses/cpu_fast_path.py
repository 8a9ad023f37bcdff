"""The quickest way on a CPU that gives a model's own numbers: tried on two rows, kept where they come out alike."""

from typing import Any

import torch
from trl.trainer import utils as trl_utils

from studio.inference.generate import plain_model
from studio.training.batching.packed_attention import NAME, can_lay_end_to_end
from studio.training.batching.packing_check import lies_end_to_end
from studio.training.losses.causal_lm import has_plain_head

TOLERANCE = 0.02
"""By which two ways to compute a loss may differ: bfloat16 rounds by less."""


class Quick:
    """A mixin for one of TRL's trainers of causal models."""

    quick = False
    """Computed our way."""
    pads: bool
    model: Any
    args: Any
    train_dataset: Any
    data_collator: Any

    def add_quick_way(self, model: Any, end_to_end: bool) -> None:
        """Let the model's forward answer what the loss needs in the quick way."""
        raise NotImplementedError

    def probe(self, rows: list[dict[str, Any]]) -> float:
        """A number by which two ways are compared."""
        raise NotImplementedError

    def find_quickest(self, longest: int) -> None:
        """Rows end to end, else padded; else TRL's own head, at learned positions alone. On a GPU TRL's way is good."""
        if self.args.device.type != "cpu":
            return
        model = self.model
        plain = plain_model(model)
        library, attention = plain.forward, plain.config._attn_implementation
        expected = self._of_two_rows()
        virtual = getattr(getattr(model, "active_peft_config", None), "is_prompt_learning", False)
        for end_to_end in (True, False) if not virtual and can_lay_end_to_end(plain, longest) else (False,):
            if not has_plain_head(plain):
                break
            if end_to_end:
                plain.set_attn_implementation(NAME)
            self.add_quick_way(plain, end_to_end)
            self.quick, self.pads = True, not end_to_end
            apart = not end_to_end or lies_end_to_end(plain)
            if apart and abs(self._of_two_rows() - expected) <= TOLERANCE * abs(expected):
                return
            self.quick, self.pads, plain.forward = False, True, library
            plain.set_attn_implementation(attention)
        if hasattr(trl_utils, "_use_triton"):
            trl_utils._use_triton = lambda device: True

    def _of_two_rows(self) -> float:
        """Of the two shortest rows, without any dropout."""
        rows = sorted(self.train_dataset, key=lambda row: len(row["input_ids"]))[:2]
        self.model.eval()
        with torch.no_grad():
            return self.probe(rows)
