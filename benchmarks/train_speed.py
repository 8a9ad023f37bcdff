"""LoRA on starter-chat, one pass over 64 rows in batches of 4: the studio beside a plain TRL script.

The plain script keeps the library's defaults; rank, layers, batch, length, steps and learning rate are the same. Both
run in turns, each in a process of its own. Afterwards both adapters are judged by the same plain code in float32.

    .venv/bin/python benchmarks/train_speed.py [--rounds 2]
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from rows import long_rows

ROWS, BATCH, LENGTH, RATE, RANK = 64, 4, 512, 2e-4, 8
GOAL = 3.0
ROUNDING = 0.005
"""Between losses of a base in bfloat16 and one in float32, which are the same training."""


def starter() -> str:
    from studio.models import find_model

    return str(find_model("starter-chat").path)


def plain(folder: Path) -> dict[str, Any]:
    """What one writes after reading TRL's front page."""
    from datasets import Dataset
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer

    rows = [
        {
            "prompt": [{"role": "user", "content": row["prompt"]}],
            "completion": [{"role": "assistant", "content": row["reply"]}],
        }
        for row in long_rows(ROWS)
    ]
    trainer = SFTTrainer(
        model=starter(),
        args=SFTConfig(
            output_dir=str(folder),
            num_train_epochs=1,
            per_device_train_batch_size=BATCH,
            max_length=LENGTH,
            learning_rate=RATE,
            report_to="none",
            use_cpu=True,
        ),
        train_dataset=Dataset.from_list(rows),
        peft_config=LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear", task_type="CAUSAL_LM"),
    )
    began = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - began
    trainer.model.save_pretrained(str(folder / "adapter"))
    return {"seconds": seconds, "steps": trainer.state.global_step}


def studio(folder: Path) -> dict[str, Any]:
    """The studio's own way, checkpoints included."""
    from studio.machine.facts import usable_cores
    from studio.models import find_model
    from studio.schema.config import TrainingConfig
    from studio.schema.dataset import DatasetSpec
    from studio.schema.events import PhaseEvent, StepEvent
    from studio.training.loop.run import TrainingJob, train

    config = TrainingConfig(
        task="chat",
        model="starter-chat",
        epochs=1,
        batch_size=BATCH,
        max_length=LENGTH,
        learning_rate=RATE,
        lora_rank=RANK,
        lora_alpha=2 * RANK,
        scheduler="linear",
        warmup_share=0.0,
    )
    job = TrainingJob(
        config=config,
        info=find_model("starter-chat"),
        data=DatasetSpec(task="chat", roles={"prompt": "prompt", "reply": "reply"}),
        train_rows=long_rows(ROWS),
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


def judge(folder: Path) -> dict[str, Any]:
    """Mean loss of a reply's token over the rows, in float32, by transformers and peft alone."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = starter()
    tokenizer = AutoTokenizer.from_pretrained(path)
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    model = PeftModel.from_pretrained(model, str(folder / "adapter")).eval()
    total, tokens = 0.0, 0
    for row in long_rows(ROWS):
        asked = [{"role": "user", "content": row["prompt"]}]
        before = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_dict=False)
        whole = tokenizer.apply_chat_template(
            [*asked, {"role": "assistant", "content": row["reply"]}], return_dict=False
        )[:LENGTH]
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([whole])).logits[0, len(before) - 1 : -1]
        total += float(torch.nn.functional.cross_entropy(logits, torch.tensor(whole[len(before) :]), reduction="sum"))
        tokens += len(whole) - len(before)
    return {"loss": total / tokens, "tokens": tokens}


SIDES = {"plain": plain, "studio": studio, "judge": judge}


def run_side(side: str, folder: Path) -> dict[str, Any]:
    """One side in a process of its own; the last line it prints is its result."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", __file__, "--side", side, "--folder", str(folder)],
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
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--side", choices=SIDES)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    if given.side:
        result = SIDES[given.side](given.folder)
        print(json.dumps({**result, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))
        return 0
    found: dict[str, list[dict[str, Any]]] = {"plain": [], "studio": []}
    print(f"{ROWS} rows, batches of {BATCH}, rank {RANK}, up to {LENGTH} tokens, rate {RATE:g}, one pass")
    for number in range(1, given.rounds + 1):
        for side in ("plain", "studio"):
            with tempfile.TemporaryDirectory() as folder:
                result = run_side(side, Path(folder))
                result["loss"] = run_side("judge", Path(folder))["loss"]
            found[side].append(result)
            print(
                f"round {number}  {side:7}{ROWS / result['seconds']:6.2f} rows/s  {result['peak'] / 1e6:6,.0f} MB"
                f"  final loss {result['loss']:.4f}  {result['steps']} steps",
                flush=True,
            )
    speed = {side: mean(ROWS / each["seconds"] for each in runs) for side, runs in found.items()}
    peak = {side: max(each["peak"] for each in runs) for side, runs in found.items()}
    loss = {side: mean(each["loss"] for each in runs) for side, runs in found.items()}
    ratio = speed["studio"] / speed["plain"]
    good = ratio >= GOAL and loss["studio"] <= loss["plain"] + ROUNDING and peak["studio"] <= peak["plain"]
    print(
        f"studio {ratio:.2f} times as fast (goal {GOAL:g}), {peak['studio'] / peak['plain']:.2f} of the memory, "
        f"final loss {loss['studio']:.4f} beside {loss['plain']:.4f}: {'reached' if good else 'NOT reached'}"
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
