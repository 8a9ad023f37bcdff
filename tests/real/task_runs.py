"""A run of any task through the real worker, on a tiny random model; and its result asked by plain libraries."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent
from typing import Any

from made_runs import made_once, small_tokenizer
from plain_libraries import stranger
from worker_runs import add_run, record_of, start_worker, steps_of, wait_for

from studio.data.checks import labels_of
from studio.data.formats import read
from studio.data.parquet_store import write_parquet
from studio.data.roles import infer
from studio.inference.base_and_tuned import ModelPair, load_pair
from studio.inference.generate import reply
from studio.models.inspect import inspect_folder
from studio.models.starters.install import fetch_starter
from studio.schema.dataset import DatasetRecord, DatasetSpec
from studio.schema.events import EvaluationEvent
from studio.schema.host import RowsRef, RunRef
from studio.schema.models import ModelInfo
from studio.schema.report import ChatSettings
from studio.schema.runs import RunRecord
from studio.store import Home
from studio.store.datasets import ROWS
from studio.tasks import TASKS


def tiny_model(shape: str, folder: Path, context: int = 256, width: int = 32) -> ModelInfo:
    """A random model of one of the usual shapes, with a starter's tokenizer."""
    made_once((shape, context, width), lambda place: _tiny_model(shape, place, context, width), folder)
    return inspect_folder(folder, title=f"Tiny {shape}")


def _tiny_model(shape: str, folder: Path, context: int, width: int) -> None:
    import transformers as hf

    small = {"hidden_size": width, "intermediate_size": 2 * width, "num_hidden_layers": 2, "num_attention_heads": 2}
    encoder = shape in ("bert", "roberta")
    tokenizer = hf.AutoTokenizer.from_pretrained(fetch_starter("starter-classify")) if encoder else small_tokenizer()
    usual: dict[str, Any] = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    ends = {"eos_token_id": tokenizer.eos_token_id, "bos_token_id": tokenizer.bos_token_id}
    dropless = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    made: Any
    if shape == "llama":
        made = hf.LlamaForCausalLM(
            hf.LlamaConfig(
                **small,
                **usual,
                **ends,
                num_key_value_heads=1,
                max_position_embeddings=context,
                tie_word_embeddings=True,
            )
        )
    elif shape == "qwen":
        made = hf.Qwen2ForCausalLM(
            hf.Qwen2Config(
                **small,
                **usual,
                **ends,
                num_key_value_heads=1,
                max_position_embeddings=context,
                tie_word_embeddings=True,
            )
        )
    elif shape == "gpt2":
        none = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
        made = hf.GPT2LMHeadModel(
            hf.GPT2Config(**usual, **ends, **none, n_embd=width, n_layer=2, n_head=2, n_positions=context)
        )
    elif shape == "t5":
        made = hf.T5ForConditionalGeneration(
            hf.T5Config(
                **usual,
                eos_token_id=tokenizer.eos_token_id,
                decoder_start_token_id=tokenizer.pad_token_id,
                d_model=width,
                d_ff=2 * width,
                d_kv=width // 2,
                num_layers=2,
                num_heads=2,
                dropout_rate=0.0,
            )
        )
    elif shape == "bart":
        layers = {
            f"{part}_{what}": number
            for part in ("encoder", "decoder")
            for what, number in (("layers", 2), ("ffn_dim", 64), ("attention_heads", 2))
        }
        made = hf.BartForConditionalGeneration(
            hf.BartConfig(
                **usual,
                **ends,
                **layers,
                d_model=width,
                dropout=0.0,
                max_position_embeddings=context,
                decoder_start_token_id=tokenizer.eos_token_id,
                forced_eos_token_id=tokenizer.eos_token_id,
            )
        )
    elif shape == "roberta":
        made = hf.RobertaModel(hf.RobertaConfig(**small, **usual, **dropless, max_position_embeddings=context + 2))
    else:
        made = hf.BertModel(hf.BertConfig(**small, **usual, **dropless, max_position_embeddings=context))
    made.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@dataclass
class TaskRun:
    """A run that has ended."""

    record: RunRecord
    spec: DatasetSpec
    ref: RunRef
    losses: list[float]
    checks: list[EvaluationEvent]

    @property
    def result(self) -> Path:
        return next(path for name in ("adapter", "model") if (path := Path(self.ref.folder) / name).exists())

    def pair(self) -> ModelPair:
        """Both models, as the chat has them."""
        return load_pair(self.ref)

    def learned(self) -> bool:
        """Whether the loss fell, by the means of the first and the last quarter of the steps."""
        part = max(1, len(self.losses) // 4)
        return sum(self.losses[-part:]) < sum(self.losses[:part])


def add_rows(home: Home, rows: Sequence[dict[str, Any]], folder: Path, task: str = "") -> DatasetRecord:
    """Rows as a dataset, its task told by the columns alone."""
    path = folder / "rows.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    table = read(path)
    found = infer(table, list(TASKS.values()))
    assert not task or found.task.name == task, found.reason
    labels = tuple(labels_of(table, found.task, found.matched.roles)) if found.task.has_labels else ()
    spec = DatasetSpec(task=found.task.name, roles=found.matched.roles, label_names=labels)
    store = home.workspace().datasets
    identity = store.new_id()
    place = store.begin(identity, 1)
    write_parquet(table, place / ROWS)
    return store.add(
        DatasetRecord(
            id=identity,
            name="rows",
            version=1,
            note="",
            created="",
            rows=len(table),
            columns=table.columns,
            bytes=0,
            source="file",
            format="jsonl",
            spec=spec,
        ),
        place,
    )


def train_rows(folder: Path, rows: Sequence[dict[str, Any]], info: ModelInfo, task: str, **settings: Any) -> TaskRun:
    """The whole way: rows, a queued run, the worker's own process, its end."""
    home = Home(folder / "home")
    dataset = add_rows(home, rows, folder, task)
    assert dataset.spec is not None
    usual = {"epochs": 6, "learning_rate": 1e-2, "precision": "float32", "max_length": 96, "batch_size": 4}
    run = add_run(home, dataset, str(info.path), **{**usual, **settings})
    worker = start_worker(home, run)
    try:
        wait_for(lambda: record_of(home, run).status in ("finished", "failed", "stopped"), 240)
    finally:
        if worker.wait(timeout=60):
            print(Path(home.workspace().runs.folder(run).log).read_text())
    return ended(home, run, info)


def ended(home: Home, run: str, info: ModelInfo) -> TaskRun:
    """A run that its worker has brought to an end."""
    record, workspace = record_of(home, run), home.workspace()
    assert record.status == "finished", record.reason
    place = workspace.runs.folder(run)
    learned = json.loads(place.splits.read_text())["train"]
    spec = workspace.runs.spec(run)
    rows = RowsRef(path=str(workspace.datasets.rows_path(spec.dataset, 1)), numbers=tuple(learned))
    ref = RunRef(info=info, spec=spec, folder=str(place.root), learned_from=rows)
    events = [each.event for each in workspace.events.after(run, kinds=("evaluation",))]
    checks = sorted((each for each in events if isinstance(each, EvaluationEvent)), key=lambda each: each.step)
    return TaskRun(record, spec.data, ref, [step.loss for step in steps_of(home, run)], checks)


LOAD = """
kind = getattr(transformers, told["kind"])
tokenizer = transformers.AutoTokenizer.from_pretrained(told["result"])
if told["adapter"]:
    base = kind.from_pretrained(told["base"], dtype=torch.float32, **told["head"])
    model = peft.PeftModel.from_pretrained(base, told["result"]).eval()
else:
    model = kind.from_pretrained(told["result"], dtype=torch.float32).eval()
asked = told["asked"]
torch.manual_seed(0)
with torch.no_grad():
"""


def asked_plainly(run: TaskRun, kind: str, asked: Any, code: str, base: bool = False, **head: Any) -> Any:
    """What the saved result (or its base) answers in a process that never heard of the studio.

    `code` sets `answer` from `model`, `tokenizer` and `asked`.
    """
    told = {
        "kind": kind,
        "base": run.ref.info.path,
        "asked": asked,
        "head": head,
        "result": run.ref.info.path if base else str(run.result),
        "adapter": not base and run.result.name == "adapter",
    }
    return stranger().answers(LOAD + indent(code, "    "), told)


WRITE = """
ids = torch.tensor([asked])
said = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False)
answer = tokenizer.decode(said[0, ids.shape[1]:], skip_special_tokens=True)
"""


def goes_on_alike(run: TaskRun, asked: str) -> bool:
    """Whether a model that goes on writes the same without the studio, and something else than its base."""
    pair = run.pair()
    ids = pair.task.prompt_ids(asked, pair.encoding())
    tuned, base = (asked_plainly(run, "AutoModelForCausalLM", ids, WRITE, base=base) for base in (False, True))
    said = reply(pair.tuned, pair.tokenizer, ids, ChatSettings(max_new_tokens=12, temperature=0)).text
    assert said.strip() == tuned.strip(), f"the studio writes {said!r}, plain libraries {tuned!r}"
    return bool(tuned != base)
