"""NEFTune: noise on the embeddings while a model learns, by the length of each row, and none when it answers."""

from typing import Any

import torch

from studio.training.batching import packed_attention


def add_noise(model: Any, alpha: float) -> None:
    """Let the embeddings be noisy in training. `alpha` is NEFTune's own; 0 does nothing."""
    if not alpha:
        return

    def noisy(module: Any, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        if not model.training:
            return output
        lengths = packed_attention.rows_now()
        if lengths is None:
            width = torch.full((output.shape[1],), float(output.shape[1]), device=output.device)
        else:  # rows laid end to end: each has the noise that it would have alone
            width = torch.cat([torch.full((length,), float(length), device=output.device) for length in lengths])
        most = (alpha / (width * output.shape[-1]).sqrt()).to(output.dtype)
        return output + torch.empty_like(output).uniform_(-1, 1) * most[None, :, None]

    model.get_input_embeddings().register_forward_hook(noisy)
