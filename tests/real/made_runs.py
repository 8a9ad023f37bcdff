"""Runs as training leaves them, made without training: an adapter with random weights, or a whole tuned model."""

import atexit
import json
import shutil
import warnings
from collections.abc import Callable, Hashable, Sequence
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from studio.data.parquet_store import write_parquet
from studio.data.table import Table, TableInfo
from studio.models import find_model
from studio.models.inspect import inspect_folder
from studio.models.starters.install import fetch_starter
from studio.schema.config import TrainingConfig
from studio.schema.dataset import DatasetSpec, SplitSpec
from studio.schema.host import RowsRef, RunRef
from studio.schema.models import ModelInfo
from studio.schema.runs import RunSpec
from studio.training.methods import quantizes_base

LABELS = ("bug", "praise", "question")
TEXTS = [
    ("bug", "The lid cracked on day two."),
    ("bug", "It crashes when I open settings."),
    ("bug", "The zip broke after one week."),
    ("bug", "Nothing happens when I press start."),
    ("praise", "Wonderful service, thank you so much."),
    ("praise", "I love it, best purchase this year."),
    ("praise", "Great quality and quick delivery."),
    ("praise", "The staff were kind and helpful."),
    ("question", "When do you open on Sunday?"),
    ("question", "How long does delivery take?"),
    ("question", "Which sizes do you have?"),
    ("question", "Can I change my address?"),
]
CHAT_ROWS = [
    {"question": "Where is my parcel?", "answer": "It left us on Monday."},
    {"question": "Can I return a gift?", "answer": "Yes, within thirty days."},
    {"question": "Do you ship to Norway?", "answer": "We do, for nine euros."},
    {"question": "Is the lamp dimmable?", "answer": "It is, in five steps."},
    {"question": "May I pay by invoice?", "answer": "Firms may, people can't."},
    {"question": "When do you open?", "answer": "At nine, every day."},
]


def starter(name: str) -> ModelInfo:
    """A starter as the studio describes it."""
    fetch_starter(name)
    return find_model(name)


VOCABULARY = 8192
"""Tokens of a tiny model that writes. With the starter's 49,152, most of a tiny training is its loss."""
_MADE: dict[Hashable, Path] = {}


@cache
def small_tokenizer() -> Any:
    """The starter's tokenizer with its first tokens alone: they have the same ids, and rare words have more tokens."""
    from transformers import AutoTokenizer

    place = Path(mkdtemp(prefix="studio-tokenizer-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    starter_folder = fetch_starter("starter-chat")
    for name in ("tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(starter_folder / name, place)
    told = json.loads((starter_folder / "tokenizer.json").read_text(encoding="utf-8"))
    vocab = {token: number for token, number in told["model"]["vocab"].items() if number < VOCABULARY}
    told["model"] |= {"vocab": vocab, "merges": [pair for pair in told["model"]["merges"] if "".join(pair) in vocab]}
    (place / "tokenizer.json").write_text(json.dumps(told), encoding="utf-8")
    return AutoTokenizer.from_pretrained(place)


def made_once(key: Hashable, make: Callable[[Path], None], folder: Path) -> None:
    """Fill a folder with a random model that this process makes once, and copies from then on: to load and to write a
    tokenizer takes longer than all else."""
    import torch

    torch.manual_seed(0)
    if key not in _MADE:
        place = Path(mkdtemp(prefix="studio-models-"))
        atexit.register(shutil.rmtree, place, ignore_errors=True)
        make(place)
        _MADE[key] = place
    shutil.copytree(_MADE[key], folder, dirs_exist_ok=True)


def tiny_llama(folder: Path) -> ModelInfo:
    """A random Llama of two layers with the first tokens of the starter's tokenizer."""
    made_once("tiny llama", write_llama, folder)
    return inspect_folder(folder, title="Tiny Llama")


def write_llama(folder: Path, **more: Any) -> None:
    """Write the tiny Llama, with other values of its configuration."""
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = small_tokenizer()
    config = LlamaConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        vocab_size=len(tokenizer),
        tie_word_embeddings=True,
        eos_token_id=2,
        pad_token_id=2,
        **{"max_position_embeddings": 256, **more},
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def rows_file(rows: Sequence[dict[str, Any]], path: Path) -> RowsRef:
    """Rows as the store keeps them."""

    class Source:
        shareable = False

        def __len__(self) -> int:
            return len(rows)

        def values(self, start: int) -> Any:
            return ([row[column] for column in rows[0]] for row in rows[start - 1 :])

    write_parquet(Table(list(rows[0]), Source(), TableInfo("csv")), path)
    return RowsRef(path=str(path))


def chat_run(info: ModelInfo, folder: Path, method: str = "lora", precision: str = "bfloat16", **more: Any) -> RunRef:
    """A chat run with a tuned model that says other things than the base."""
    config = TrainingConfig(task="chat", model=info.name, method=method, precision=precision, name="tone", **more)
    spec = DatasetSpec(task="chat", roles={"question": "prompt", "answer": "reply"})
    run = _run(info, folder, config, spec)
    if method == "full":
        from transformers import AutoModelForCausalLM

        model = AutoModelForCausalLM.from_pretrained(info.path)
        _stir(model.model.layers[0].mlp.down_proj.weight)
        model.save_pretrained(folder / "model")
    else:
        from transformers import AutoModelForCausalLM

        _adapter(AutoModelForCausalLM.from_pretrained(info.path), "CAUSAL_LM", folder / "adapter")
    return run


def label_run(info: ModelInfo, folder: Path, method: str = "lora", **more: Any) -> RunRef:
    """A classification run whose head is random, with rows to look among for neighbours."""
    import torch
    from transformers import AutoModelForSequenceClassification

    config = TrainingConfig(task="classification", model=info.name, method=method, precision="float32", **more)
    spec = DatasetSpec(task="classification", roles={"text": "text", "label": "label"}, label_names=LABELS)
    run = _run(info, folder, config, spec)
    torch.manual_seed(7)
    names = dict(enumerate(LABELS))
    model = AutoModelForSequenceClassification.from_pretrained(
        info.path, num_labels=3, id2label=names, label2id={label: number for number, label in names.items()}
    )
    if method == "full":
        model.save_pretrained(folder / "model")
    else:
        _adapter(model, "SEQ_CLS", folder / "adapter")
    rows = rows_file([{"text": text, "label": label} for label, text in TEXTS], folder / "rows.parquet")
    return run.model_copy(update={"learned_from": rows})


def _run(info: ModelInfo, folder: Path, config: TrainingConfig, data: DatasetSpec) -> RunRef:
    folder.mkdir(parents=True, exist_ok=True)
    spec = RunSpec(config=config, dataset="data-1", dataset_version=1, data=data, splits=SplitSpec())
    return RunRef(info=info, spec=spec, folder=str(folder), quantized=quantizes_base(spec.config.method))


def _adapter(model: Any, kind: str, folder: Path) -> None:
    """An adapter on all linear layers, its second half no longer zero."""
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(3)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*is_gradient_checkpointing", FutureWarning)
        wrapped = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type=kind))
    for name, weight in wrapped.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.15)
    wrapped.save_pretrained(folder)


def _stir(weight: Any) -> None:
    import torch

    torch.manual_seed(3)
    with torch.no_grad():
        weight += torch.randn_like(weight) * 0.05


def random_run(info: ModelInfo, folder: Path, data: DatasetSpec, method: str, **more: Any) -> RunRef:
    """A run of any task and method, its learned weights random: it says other things than the base, and the same
    again and again."""
    import torch

    from studio.inference.heads import head_of
    from studio.inference.load import load_tokenizer
    from studio.training.loop.loading import TrainingJob, prepare_model
    from studio.training.methods import method_named

    config = TrainingConfig(task=data.task, model=info.name, method=method, precision="float32", **more)
    run = _run(info, folder, config, data)
    job = TrainingJob(config, info, data, [], [], folder, 1)
    model = prepare_model(job, method_named(method), head_of(info, data))
    torch.manual_seed(3)
    for weight in model.parameters():
        if weight.requires_grad:
            weight.data += torch.randn_like(weight) * 0.1
    place = folder / method_named(method).result
    model.save_pretrained(str(place))
    load_tokenizer(info).save_pretrained(str(place))
    return run
