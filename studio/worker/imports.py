"""The imports that training needs, and the function that trains."""

import os
from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING

from studio.machine.facts import machine_facts
from studio.machine.garbage import paused_garbage_collection

if TYPE_CHECKING:
    from studio.training.loop.callbacks import Emit, ShouldStop
    from studio.training.loop.loading import TrainingJob
    from studio.training.loop.outcome import Outcome


def import_heavy() -> None:
    """Import everything that a run needs and that takes seconds to import. Computes nothing."""
    use_one_gpu()
    with paused_garbage_collection():
        import datasets
        import peft  # noqa: F401
        import transformers
        from trl.chat_template_utils import get_training_chat_template  # noqa: F401

        import studio.training.trainers.classification
        import studio.training.trainers.sft  # noqa: F401

        if find_spec("deepspeed"):  # accelerate would import it during training, with a warning about the missing GPU
            if not machine_facts().gpus:
                os.environ.setdefault("DS_ACCELERATOR", "cpu")
            import deepspeed  # noqa: F401

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    datasets.disable_progress_bars()


def use_one_gpu() -> None:
    """Let a process that trains alone see one GPU: the first of those that it may use. TRL refuses several."""
    if "LOCAL_RANK" not in os.environ:
        os.environ["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0]


def train_function(processes: int) -> "Callable[[TrainingJob, Emit, ShouldStop], Outcome]":
    """The function that trains: in this process, after all imports, or in several processes that import by
    themselves."""
    if processes > 1:
        from studio.worker import launcher

        return launcher.train
    import_heavy()
    from studio.training.loop.run import train

    return train
