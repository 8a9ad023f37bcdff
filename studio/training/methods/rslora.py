"""rsLoRA: LoRA scaled by the square root of the rank, so that large ranks train at full strength."""

import math
from typing import Any

from studio.schema.config import TrainingConfig
from studio.training.methods.lora import LoRA


class RsLoRA(LoRA):
    """LoRA for large ranks."""

    name = "rslora"
    title = "rsLoRA"
    sentence = (
        "Like LoRA, scaled so that an adapter with a high rank trains at full strength. Choose it for many rows with "
        "much new content, with a rank of 32 or more."
    )
    term = "rank-stabilized low-rank adaptation"
    rank_factor = 4
    rank_reason = "rsLoRA is made for high ranks"

    def usual_alpha(self, rank: int) -> int:
        """The square root of the rank, twice."""
        return max(1, round(2 * math.sqrt(rank)))

    def variant(self, model: Any, config: TrainingConfig) -> dict[str, Any]:
        """Enables rsLoRA in PEFT."""
        return {"use_rslora": True}
