"""NEFTune: noise on the embeddings during training, scaled by the length of each row.

Source: Jain et al. 2023, https://arxiv.org/abs/2310.05914.
"""

from typing import Any

import torch

from studio.training.batching import packed_attention


def add_noise(model: Any, alpha: float) -> None:
    """Add uniform noise to the embeddings in training mode. `alpha` is the noise scale of NEFTune; 0 adds none."""
    if not alpha:
        return

    def noisy(module: Any, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        if not model.training:
            return output
        lengths = packed_attention.current_row_lengths()
        if lengths is None:
            width = torch.full((output.shape[1],), float(output.shape[1]), device=output.device)
        else:  # concatenated rows: each has the noise that it would have alone
            width = torch.cat([torch.full((length,), float(length), device=output.device) for length in lengths])
        limit = (alpha / (width * output.shape[-1]).sqrt()).to(output.dtype)
        return output + torch.empty_like(output).uniform_(-1, 1) * limit[None, :, None]

    model.get_input_embeddings().register_forward_hook(noisy)
