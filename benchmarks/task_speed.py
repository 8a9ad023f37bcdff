"""Each task beside the plain script of its library: the same rows, batch, steps, adapter and learning rate.

Both run in turns, each in a process of its own: TRL's DPOTrainer and KTOTrainer and SFTTrainer with their defaults,
transformers' Trainer and Seq2SeqTrainer with theirs.

    .venv/bin/python benchmarks/task_speed.py [--rounds 1] [--task preference ...]
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from rows import long_rows

RATE, RANK, LENGTH = 1e-4, 8, 512
GOALS = {
    "preference": 1.5,
    "feedback": 1.5,
    "completion": 1.0,
    "classification": 1.0,
    "summarization": 1.0,
    "question-answering": 1.0,
}
SIZES = {
    "preference": (16, 2),
    "feedback": (16, 4),
    "completion": (32, 4),
    "classification": (256, 16),
    "summarization": (48, 8),
    "question-answering": (96, 8),
}
"""Task → rows, rows at once."""
SUMS = {"text": "text", "summary": "summary"}


def rows_of(task: str) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Rows for a task, and what their columns are."""
    count = SIZES[task][0]
    rows = long_rows(count)
    if task == "preference":
        others = [row["reply"] for row in rows[1:] + rows[:1]]
        made = [{**row, "chosen": row["reply"], "rejected": other} for row, other in zip(rows, others, strict=True)]
        return made, {"prompt": "prompt", "chosen": "chosen", "rejected": "rejected"}
    if task == "feedback":
        made = [{**row, "thumb": number % 2 == 0} for number, row in enumerate(rows)]
        return made, {"prompt": "prompt", "reply": "reply", "thumb": "thumb"}
    if task == "completion":
        return [{"text": f"{row['prompt']}\n{row['reply']}"} for row in rows], {"text": "text"}
    if task == "classification":
        made = [{"text": row["reply"][:400], "label": f"label {number % 4}"} for number, row in enumerate(rows)]
        return made, {"text": "text", "label": "label"}
    if task == "summarization":
        return [{"text": row["reply"], "summary": row["reply"][:120]} for row in rows], SUMS
    made = [{"question": row["prompt"][:120], "context": row["reply"], "answer": row["reply"][20:50]} for row in rows]
    return made, {"question": "question", "context": "context", "answer": "answer"}


def model_of(task: str, folder: Path) -> str:
    """The starter that does the task; a T5 of the small shape with random weights, made when first needed."""
    from studio.models import find_model

    if task in ("classification", "question-answering"):
        return str(find_model("starter-classify").path)
    chat = str(find_model("starter-chat").path)
    if task != "summarization":
        return chat
    if not (folder / "config.json").exists():
        from transformers import AutoTokenizer, T5Config, T5ForConditionalGeneration

        tokenizer = AutoTokenizer.from_pretrained(chat)
        pad, end = tokenizer.pad_token_id, tokenizer.eos_token_id
        config = T5Config(vocab_size=len(tokenizer), pad_token_id=pad, eos_token_id=end, decoder_start_token_id=pad)
        T5ForConditionalGeneration(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return str(folder)


def plain(task: str, model: str, folder: Path) -> dict[str, Any]:
    """What one writes after reading the library's front page."""
    trainer = PLAIN[task](model, folder, *SIZES[task])
    began = time.perf_counter()
    trainer.train()
    return {"seconds": time.perf_counter() - began, "steps": trainer.state.global_step}


def _usual(folder: Path, batch: int) -> dict[str, Any]:
    return {
        "output_dir": str(folder),
        "num_train_epochs": 1,
        "per_device_train_batch_size": batch,
        "learning_rate": RATE,
        "report_to": "none",
        "use_cpu": True,
        "save_strategy": "no",
    }


def _lora(kind: str) -> Any:
    from peft import LoraConfig

    return LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear", task_type=kind)


def _said(role: str, text: str) -> list[dict[str, str]]:
    return [{"role": role, "content": text}]


def _dpo(model: str, folder: Path, count: int, batch: int) -> Any:
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    rows = [
        {
            "prompt": _said("user", row["prompt"]),
            "chosen": _said("assistant", row["chosen"]),
            "rejected": _said("assistant", row["rejected"]),
        }
        for row in rows_of("preference")[0]
    ]
    return DPOTrainer(
        model=model,
        args=DPOConfig(**_usual(folder, batch), max_length=LENGTH),
        train_dataset=Dataset.from_list(rows),
        peft_config=_lora("CAUSAL_LM"),
    )


def _kto(model: str, folder: Path, count: int, batch: int) -> Any:
    from datasets import Dataset
    from trl import KTOConfig, KTOTrainer

    rows = [
        {"prompt": _said("user", row["prompt"]), "completion": _said("assistant", row["reply"]), "label": row["thumb"]}
        for row in rows_of("feedback")[0]
    ]
    return KTOTrainer(
        model=model,
        args=KTOConfig(**_usual(folder, batch), max_length=LENGTH),
        train_dataset=Dataset.from_list(rows),
        peft_config=_lora("CAUSAL_LM"),
    )


def _sft(model: str, folder: Path, count: int, batch: int) -> Any:
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    return SFTTrainer(
        model=model,
        args=SFTConfig(**_usual(folder, batch), max_length=LENGTH),
        train_dataset=Dataset.from_list(rows_of("completion")[0]),
        peft_config=_lora("CAUSAL_LM"),
    )


def _sort(model: str, folder: Path, count: int, batch: int) -> Any:
    from datasets import Dataset
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments

    tokenizer, rows = AutoTokenizer.from_pretrained(model), rows_of("classification")[0]
    names = sorted({row["label"] for row in rows})
    data = Dataset.from_list(
        [
            {**tokenizer(row["text"], truncation=True, max_length=LENGTH), "labels": names.index(row["label"])}
            for row in rows
        ]
    )
    return Trainer(
        model=AutoModelForSequenceClassification.from_pretrained(model, num_labels=len(names)),
        args=TrainingArguments(**_usual(folder, batch)),
        train_dataset=data,
        processing_class=tokenizer,
    )


def _sum(model: str, folder: Path, count: int, batch: int) -> Any:
    from datasets import Dataset
    from peft import get_peft_model
    from transformers import (
        AutoModelForSeq2SeqLM,
        AutoTokenizer,
        DataCollatorForSeq2Seq,
        Seq2SeqTrainer,
        Seq2SeqTrainingArguments,
    )

    tokenizer = AutoTokenizer.from_pretrained(model)
    data = Dataset.from_list(
        [
            {
                **tokenizer(f"summarize: {row['text']}", truncation=True, max_length=LENGTH),
                "labels": tokenizer(text_target=row["summary"], truncation=True, max_length=128)["input_ids"],
            }
            for row in rows_of("summarization")[0]
        ]
    )
    base = AutoModelForSeq2SeqLM.from_pretrained(model)
    return Seq2SeqTrainer(
        model=get_peft_model(base, _lora("SEQ_2_SEQ_LM")),
        args=Seq2SeqTrainingArguments(**_usual(folder, batch)),
        train_dataset=data,
        data_collator=DataCollatorForSeq2Seq(tokenizer, base),
        processing_class=tokenizer,
    )


def _point(model: str, folder: Path, count: int, batch: int) -> Any:
    from datasets import Dataset
    from transformers import AutoModelForQuestionAnswering, AutoTokenizer, Trainer, TrainingArguments

    tokenizer = AutoTokenizer.from_pretrained(model)
    data = []
    for row in rows_of("question-answering")[0]:
        told = tokenizer(row["question"], row["context"], truncation="only_second", max_length=LENGTH)
        data.append(
            {
                **told,
                "start_positions": told.char_to_token(20, sequence_index=1) or 0,
                "end_positions": told.char_to_token(49, sequence_index=1) or 0,
            }
        )
    return Trainer(
        model=AutoModelForQuestionAnswering.from_pretrained(model),
        args=TrainingArguments(**_usual(folder, batch)),
        train_dataset=Dataset.from_list(data),
        processing_class=tokenizer,
    )


PLAIN: dict[str, Callable[..., Any]] = {
    "preference": _dpo,
    "feedback": _kto,
    "completion": _sft,
    "classification": _sort,
    "summarization": _sum,
    "question-answering": _point,
}


def studio(task: str, model: str, folder: Path) -> dict[str, Any]:
    """The studio's own way, checkpoints included."""
    from studio.machine.facts import usable_cores
    from studio.models.inspect import inspect_folder
    from studio.schema.config import TrainingConfig
    from studio.schema.dataset import DatasetSpec
    from studio.schema.events import PhaseEvent, StepEvent
    from studio.training.loop.run import TrainingJob, train

    info = inspect_folder(model)
    rows, roles = rows_of(task)
    labels = tuple(sorted({row["label"] for row in rows})) if task == "classification" else ()
    encoder = info.kind == "encoder"
    config = TrainingConfig(
        task=task,
        model=info.name,
        method="full" if encoder else "lora",
        epochs=1,
        batch_size=SIZES[task][1],
        max_length=min(LENGTH, info.context or LENGTH),
        learning_rate=RATE,
        lora_rank=RANK,
        lora_alpha=2 * RANK,
        scheduler="linear",
        warmup_share=0.0,
        precision="float32" if encoder else "bfloat16",
        packing=False,
    )
    job = TrainingJob(
        config=config,
        info=info,
        data=DatasetSpec(task=task, roles=roles, label_names=labels),
        train_rows=rows,
        validation_rows=[],
        folder=folder,
        threads=usable_cores(),
    )
    times: dict[str, float] = {}

    def emit(event: Any) -> None:
        if isinstance(event, PhaseEvent) and event.phase == "training":
            times["began"] = time.perf_counter()
        if isinstance(event, StepEvent):
            times["ended"] = time.perf_counter()

    outcome = train(job, emit, lambda: None)
    return {"seconds": times["ended"] - times["began"], "steps": outcome.steps}


SIDES: dict[str, Callable[[str, str, Path], dict[str, Any]]] = {"plain": plain, "studio": studio}


def run_side(side: str, task: str, made: Path) -> dict[str, Any]:
    """One side in a process of its own; the last line it prints is its result."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [
                sys.executable,
                "-W",
                "ignore",
                __file__,
                "--side",
                side,
                "--task",
                task,
                "--folder",
                folder,
                "--made",
                str(made),
            ],
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )
    if done.returncode:
        raise SystemExit(done.stderr)
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--task", choices=GOALS, nargs="*", default=list(GOALS))
    parser.add_argument("--side", choices=SIDES)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--made", type=Path)
    given = parser.parse_args()
    if given.side:
        (task,) = given.task
        result = SIDES[given.side](task, model_of(task, given.made), given.folder)
        print(json.dumps({**result, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))
        return 0
    missed = 0
    with tempfile.TemporaryDirectory() as made:
        for task in given.task:
            speed: dict[str, list[float]] = {"plain": [], "studio": []}
            peak: dict[str, float] = {"plain": 0.0, "studio": 0.0}
            for _ in range(given.rounds):
                for side in SIDES:
                    result = run_side(side, task, Path(made))
                    speed[side].append(SIZES[task][0] / result["seconds"])
                    peak[side] = max(peak[side], result["peak"])
            ratio = mean(speed["studio"]) / mean(speed["plain"])
            good = ratio >= GOALS[task]
            missed += not good
            print(
                f"{task:20} plain {mean(speed['plain']):6.2f} rows/s {peak['plain'] / 1e6:6,.0f} MB   studio "
                f"{mean(speed['studio']):6.2f} rows/s {peak['studio'] / 1e6:6,.0f} MB   {ratio:.2f} times as fast "
                f"(goal {GOALS[task]:g}): {'reached' if good else 'NOT reached'}",
                flush=True,
            )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
