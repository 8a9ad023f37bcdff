"""Runs that were never trained: written into a home through the store, to look at pages in every state quickly."""

import math
import os
import random

from studio.schema.config import TrainingConfig
from studio.schema.dataset import DatasetSpec, SplitSpec
from studio.schema.events import CheckpointEvent, EvaluationEvent, PhaseEvent, ReplyEvent, StepEvent
from studio.schema.report import JudgedRow, Metric, Report
from studio.schema.runs import RunSpec
from studio.store.home import Home, Workspace

STEPS = 312
EVIL = "<img src=x onerror='document.title=1'>"
PROMPTS = ("Where is my refund?", f"Change of address {EVIL}")


ROWS = tuple(
    JudgedRow(
        row=number, text=f"It does what a kettle does. {EVIL}", expected="good", base="bad", tuned="so-so", score=0.1
    )
    for number in (7, 21)
)
REPORT = Report(
    rows=40,
    split="validation",
    metrics={
        "accuracy": Metric(
            base=0.5,
            tuned=0.875,
            low=0.77,
            high=0.98,
            base_low=0.35,
            base_high=0.65,
            gain_low=0.2,
            gain_high=0.5,
            title="Accuracy",
        ),
        "loss": Metric(base=2.1, tuned=1.2, low=1.0, high=1.4, higher_is_better=False, title="Loss"),
    },
    verdict="Clearly better: 35 of 40 rows are labeled correctly. The 95% interval of the gain is 20 to 50 points.",
    per_label={name: {"precision": 0.9, "recall": 0.8, "f1": 0.85, "rows": 13} for name in ("good", "so-so", "bad")},
    confusion={name: {"good": 4, "so-so": 4, "bad": 5} for name in ("good", "so-so", "bad")},
    best_rows=ROWS,
    worst_rows=ROWS,
    note="These are the validation rows, which also selected the checkpoint.",
)


def step(number: int) -> StepEvent:
    """A step of a run that learns."""
    noise = random.Random(number).gauss(0, 0.1)
    return StepEvent(
        step=number,
        loss=1.2 + 1.9 * math.exp(-number / 45) + noise,
        learning_rate=2e-4 * (1 - number / STEPS),
        grad_norm=1.0,
        rows_per_second=5.8,
        memory_bytes=3_800_000_000,
        tokens_per_second=610.0,
        processor=0.93,
        epoch=number / 104,
    )


def check(number: int) -> EvaluationEvent:
    """A check whose best is at step 120."""
    loss = 1.67 + 0.9 * math.exp(-number / 35) + max(0, (number - 120) / 500)
    return EvaluationEvent(step=number, eval_loss=loss, best=number <= 120)


class Made:
    """One run in a home, told step by step. The worker is this test's own process, so that it counts as alive."""

    def __init__(self, home: os.PathLike[str], name: str = "support-tone", at: int = 0, task: str = "chat") -> None:
        self.space: Workspace = Home(str(home)).workspace()
        model = "starter-classify" if task == "classification" else "starter-chat"
        config = TrainingConfig(task=task, model=model, name=name, test_prompts=PROMPTS)
        spec = RunSpec(
            config=config,
            dataset="d1",
            dataset_version=1,
            data=DatasetSpec(task=task, roles={"question": "prompt", "answer": "reply"}),
            splits=SplitSpec(),
        )
        self.id = self.space.runs.create(spec).id
        self.space.runs.begin(self.id, os.getpid())
        self.say(PhaseEvent(phase="loading"), PhaseEvent(phase="reading"), PhaseEvent(phase="training", steps=STEPS))
        self.say(*(ReplyEvent(step=0, prompt=each, text=f"As an AI {EVIL}", who="base", tokens=46) for each in PROMPTS))
        self.say(check(0))
        self.at = 0
        self.space.runs.set_status(self.id, "training")
        self.go_to(at)

    def say(self, *events: object) -> None:
        """Append events."""
        for event in events:
            self.space.events.append(self.id, event)  # type: ignore[arg-type]

    def go_to(self, at: int) -> None:
        """Train until that step."""
        for number in range(self.at + 1, at + 1):
            self.say(step(number))
            if number % 30 == 0:
                self.say(check(number), CheckpointEvent(step=number, name=f"checkpoint-{number}", bytes=31_000_000))
                whole = self.space.runs.folder(self.id).checkpoints / f"checkpoint-{number}"
                whole.mkdir(parents=True)
                for name in ("trainer_state.json", "optimizer.pt", "complete.json"):
                    (whole / name).write_text("{}")
        self.at = at
        self.space.runs.beat(self.id, "training", at, STEPS, 1.5 * at)

    def finish(self) -> None:
        """The run ends with a tuned model."""
        self.say(
            *(ReplyEvent(step=120, prompt=each, text=f"Thanks {EVIL}", who="tuned", tokens=35) for each in PROMPTS)
        )
        folder = self.space.runs.folder(self.id)
        folder.adapter.mkdir()
        (folder.adapter / "adapter_config.json").write_text("{}")
        folder.report.write_text(REPORT.model_dump_json())
        self.space.runs.update(self.id, has_result=True, best_step=120, phase="saving")
        self.space.runs.set_status(self.id, "finished")
