"""Today's trainer classes beside a single Accelerate loop: losses, speed and resume, on the same run.

The loop owns sampling, validation and checkpoints. Both take model, rows, collator, loss and optimizer from the run as
the worker builds it, so that they differ in the loop alone.

    .venv/bin/python benchmarks/accelerate_loop.py [--rounds 3]
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from rows import long_rows

from studio.schema.config import TrainingConfig
from studio.schema.dataset import DatasetSpec
from studio.schema.events import EvaluationEvent, StepEvent

STEPS, BATCH, EVERY = 12, 4, 6
CASES = ("chat", "classification")


class Loop:
    """Trains what a run has built: steps, validations and checkpoints, on one process."""

    def __init__(self, trainer: Any, config: TrainingConfig, folder: Path) -> None:
        from accelerate import Accelerator
        from transformers import get_scheduler

        self.trainer, self.config, self.folder = trainer, config, folder
        self.accelerator = Accelerator(cpu=True, gradient_accumulation_steps=config.gradient_accumulation)
        optimizer = trainer.create_optimizer()
        warmup = round(config.warmup_share * STEPS + 0.499)
        scheduler = get_scheduler(config.scheduler, optimizer, warmup, STEPS)
        self.model, self.optimizer, self.scheduler = self.accelerator.prepare(trainer.model, optimizer, scheduler)
        self.step = self.epoch = self.batch = 0
        self.losses: list[float] = []
        self.validations: list[float] = []

    def batches(self) -> Any:
        """Batches of the current epoch from the current position on."""
        from studio.training.batching.sampler import row_order

        rows, size = self.trainer.train_dataset, self.config.batch_size
        lengths = [len(ids) for ids in rows["input_ids"]]
        grouped = self.trainer.pads and self.config.group_by_length
        order = row_order(lengths, size, self.config.seed, self.epoch, grouped)
        for at in range(self.batch * size, len(order), size):
            yield self.trainer.data_collator([rows[index] for index in order[at : at + size]])

    def train(self, until: int) -> None:
        """Take steps up to a number."""
        if not self.step:
            self.validate()
        while self.step < until:
            for inputs in self.batches():
                self.batch += 1
                self.take(inputs)
                if self.step % EVERY == 0:
                    self.validate()
                    self.save()
                if self.step >= until:
                    return
            self.epoch, self.batch = self.epoch + 1, 0

    def take(self, inputs: Any) -> None:
        """One step."""
        self.model.train()
        count = self.trainer.weight_of(inputs) if self.config.task == "chat" else None
        loss = self.trainer.loss_of(self.model, inputs, num_items_in_batch=count)
        self.accelerator.backward(loss)
        self.accelerator.clip_grad_norm_(self.model.parameters(), self.config.max_grad_norm)
        self.optimizer.step()
        self.scheduler.step()
        self.optimizer.zero_grad()
        self.step += 1
        self.losses.append(float(loss))

    def validate(self) -> None:
        """The loss of the validation rows, weighted as in training."""
        import torch

        self.model.eval()
        rows, size, total, weights = self.trainer.eval_dataset, 2 * self.config.batch_size, 0.0, 0.0
        with torch.no_grad():
            for at in range(0, len(rows), size):
                inputs = self.trainer.data_collator([rows[i] for i in range(at, min(at + size, len(rows)))])
                weight = float(self.trainer.weight_of(inputs))
                total += float(self.trainer.loss_of(self.model, inputs)) * weight
                weights += weight
        self.validations.append(total / weights)

    def save(self) -> None:
        """A checkpoint: trained weights, optimizer, schedule, random numbers and the position."""
        import torch

        trained = {name: each.detach() for name, each in self.model.named_parameters() if each.requires_grad}
        state = {
            "weights": trained,
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "rng": torch.get_rng_state(),
            "at": (self.step, self.epoch, self.batch),
        }
        torch.save(state, self.folder / f"loop-{self.step}.pt")

    def load(self, step: int) -> None:
        """Continue from a checkpoint."""
        import torch

        state = torch.load(self.folder / f"loop-{step}.pt", weights_only=True)
        self.model.load_state_dict(state["weights"], strict=False)
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        torch.set_rng_state(state["rng"])
        self.step, self.epoch, self.batch = state["at"]


def job(case: str, folder: Path) -> Any:
    """A run of the worker: starter-chat by LoRA, or starter-classify whole."""
    from studio.machine.facts import usable_cores
    from studio.models import find_model
    from studio.training.loop.run import TrainingJob

    common: dict[str, Any] = {
        "batch_size": BATCH,
        "max_steps": STEPS,
        "eval_steps": EVERY,
        "early_stopping_patience": 0,
    }
    rows = long_rows(64)
    if case == "chat":
        config = TrainingConfig(task="chat", model="starter-chat", method="lora", max_length=256, **common)
        data = DatasetSpec(task="chat", roles={"prompt": "prompt", "reply": "reply"})
    else:
        rows = [{"text": row["prompt"], "label": "ab"[at % 2]} for at, row in enumerate(rows)]
        config = TrainingConfig(task=case, model="starter-classify", method="full", learning_rate=5e-5, **common)
        data = DatasetSpec(task=case, roles={"text": "text", "label": "label"}, label_names=("a", "b"))
    return TrainingJob(
        config=config,
        info=find_model(config.model),
        data=data,
        train_rows=rows[:48],
        validation_rows=rows[48:],
        folder=folder,
        threads=usable_cores(),
    )


def today(case: str, folder: Path) -> dict[str, Any]:
    """The worker's own training."""
    from studio.training.loop.run import train

    losses: list[float] = []
    validations: list[float] = []
    times: list[float] = []

    def emit(event: Any) -> None:
        if isinstance(event, StepEvent):
            losses.append(event.loss)
        if isinstance(event, EvaluationEvent):
            validations.append(event.eval_loss)
        times.append(time.perf_counter())

    began = time.perf_counter()
    train(job(case, folder), emit, lambda: None)
    return {"losses": losses, "validations": validations, "seconds": times[-1] - began}


def loop(case: str, folder: Path, resume: bool = False) -> dict[str, Any]:
    """The same run in the single loop; `resume`: the second half from the checkpoint of the first."""
    from studio.training.loop.run import build_run

    began = time.perf_counter()
    made = job(case, folder)
    run = build_run(made, lambda done, total: None)
    loop = Loop(run.trainer, made.config, folder)
    if resume:
        loop.load(EVERY)
    loop.train(STEPS)
    return {"losses": loop.losses, "validations": loop.validations, "seconds": time.perf_counter() - began}


def in_process(*arguments: str) -> dict[str, Any]:
    done = subprocess.run([sys.executable, __file__, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> int:
    """Compare, and end with status 1 when losses differ."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", nargs=3, metavar=("WAY", "CASE", "FOLDER"))
    asked = parser.parse_args()
    if asked.one:
        way, case, folder = asked.one
        Path(folder).mkdir(exist_ok=True)
        made = today(case, Path(folder)) if way == "today" else loop(case, Path(folder), way == "resume")
        print(json.dumps(made))
        return 0
    lines = sum(
        1 for line in Path(__file__).read_text().split("class Loop")[1].split("\ndef job")[0].splitlines() if line
    )
    print(f"The single loop: {lines} lines, one process, without DPO, KTO, sharding, samples and trackers.")
    same = True
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            results: dict[str, list[dict[str, Any]]] = {"today": [], "loop": []}
            for number in range(asked.rounds):
                for way, made in results.items():
                    made.append(in_process("--one", way, case, f"{folder}/{way}-{number}"))
            resumed = in_process("--one", "resume", case, f"{folder}/loop-0")
        one, other = results["today"][0], results["loop"][0]
        gap = max(abs(a - b) for a, b in zip(one["losses"], other["losses"], strict=True))
        check = max(abs(a - b) for a, b in zip(one["validations"], other["validations"], strict=True))
        exact = resumed["losses"] == other["losses"][EVERY:]
        speeds = {way: median(STEPS * BATCH / each["seconds"] for each in made) for way, made in results.items()}
        print(
            f"{case}: largest difference of a training loss {gap:.2g}, of a validation loss {check:.2g}; resume "
            f"{'exact' if exact else 'differs'}; rows/s, loading included: "
            + ", ".join(f"{way} {speed:.2f}" for way, speed in speeds.items())
        )
        same = same and gap < 1e-3 and check < 1e-3 and exact
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
