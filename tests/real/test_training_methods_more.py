"""Each method learns, and its result is the same to plain peft as to the studio."""

from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch
from peft import PeftModel
from plain_libraries import stranger
from safetensors.torch import load_file
from small_trainings import LABELS, chat_job, label_job, losses, run, small_bert, small_llama
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from studio.export import ExportJob, export_named
from studio.inference.base_and_tuned import ModelPair, load_pair
from studio.inference.generate import Reply, replies
from studio.inference.heads import head_of
from studio.inference.model_cache import ModelCache
from studio.schema.dataset import SplitSpec
from studio.schema.errors import StudioError
from studio.schema.host import CardFacts, RunRef
from studio.schema.models import ModelInfo
from studio.schema.report import ChatSettings, ExportResult
from studio.schema.runs import RunSpec
from studio.training.loop.loading import TrainingJob, prepare_model
from studio.training.methods import METHODS, quantizes_base

IDS = [1, 4093, 198, 5000, 260, 34, 17]
ON_TEXT: dict[str, dict[str, Any]] = {
    "rslora": {"lora_rank": 16, "lora_alpha": 8},
    "dora": {"precision": "bfloat16"},
    "ia3": {"learning_rate": 0.1, "precision": "bfloat16"},
    "lora-embeddings": {},
    "prompt-tuning": {"learning_rate": 0.1, "virtual_tokens": 8, "epochs": 8},
    "prefix-tuning": {"learning_rate": 0.1, "virtual_tokens": 8},
    "last-layers": {"last_layers": 1, "precision": "bfloat16"},
    "qlora": {"quantization": "8-bit", "precision": "bfloat16"},
}
"""Method → settings under which a random model learns within a few steps."""
ALL: dict[str, dict[str, Any]] = {
    **{name: {} for name in METHODS},
    **ON_TEXT,
    "full": {"learning_rate": 3e-3},
    "qlora in 4 bits": {"method": "qlora", "quantization": "4-bit", "precision": "bfloat16"},
}
PLAIN = """
base, folder, ids, dtype = told
kind, dtype = transformers.AutoModelForCausalLM, getattr(torch, dtype)
if base:
    model = peft.PeftModel.from_pretrained(kind.from_pretrained(base, dtype=dtype), folder)
else:
    model = kind.from_pretrained(folder, dtype=dtype)
model.eval()
with torch.no_grad():
    answer = model(input_ids=torch.tensor([ids])).logits[0, -1].float().tolist()
"""


def ref_of(job: TrainingJob) -> RunRef:
    """The run as the host is told of it."""
    spec = RunSpec(config=job.config, dataset="d", dataset_version=1, data=job.data, splits=SplitSpec())
    return RunRef(info=job.info, spec=spec, folder=str(job.folder), quantized=quantizes_base(job.config.method))


def plainly(info: ModelInfo, folder: Path, precision: str) -> torch.Tensor:
    """Logits of the last token, by transformers and peft alone in a process of their own."""
    base = str(info.path) if (folder / "adapter_config.json").exists() else ""
    return torch.tensor(stranger().answers(PLAIN, [base, str(folder), IDS, precision]))


def last_logits(pair: ModelPair, who: str) -> torch.Tensor:
    """What the studio computes for the same tokens."""
    with torch.no_grad():
        logits: torch.Tensor = pair.model_for(who)(input_ids=torch.tensor([IDS])).logits[0, -1].float()
    return logits


@pytest.mark.parametrize("method", ALL)
def test_a_method_learns_and_its_result_is_the_same_to_plain_libraries(tmp_path: Path, method: str) -> None:
    info = small_llama(tmp_path / "base")
    usual: dict[str, Any] = {"method": method, "rows": 22, "held": 4, "epochs": 3, "eval_steps": 100}
    job = chat_job(tmp_path / "run", info, **{**usual, **ALL[method]})
    outcome, said = run(job)
    assert outcome.path is not None and losses(said)[-1] < losses(said)[0] - 0.05
    precision = job.config.precision
    pair = load_pair(ref_of(job))
    plain, studio = plainly(info, outcome.path, precision), last_logits(pair, "tuned")
    near = 1e-4 if precision == "float32" else 0.05
    torch.testing.assert_close(plain, studio, atol=near, rtol=near)
    base = AutoModelForCausalLM.from_pretrained(str(info.path), dtype=getattr(torch, precision))
    untouched = base(input_ids=torch.tensor([IDS])).logits[0, -1].float()
    torch.testing.assert_close(last_logits(pair, "base"), untouched, atol=1e-6, rtol=1e-6)
    assert (plain - untouched).abs().max() > 4 * near


def test_virtual_tokens_give_the_same_reply_token_by_token_and_at_once(tmp_path: Path) -> None:
    for method in ("prompt-tuning", "prefix-tuning"):
        info = small_llama(tmp_path / method)
        job = chat_job(tmp_path / f"run-{method}", info, method=method, **ON_TEXT[method])
        run(job)
        pair, settings = load_pair(ref_of(job)), ChatSettings(temperature=0.0, max_new_tokens=6)
        one = Reply(pair.tuned, pair.tokenizer, IDS, settings)
        while one.step():
            pass
        assert one.text == replies(pair.tuned, pair.tokenizer, [IDS], settings)[0]
        assert replies(pair.tuned, pair.tokenizer, [IDS, IDS[:3]], settings)[0] == one.text


def test_virtual_tokens_take_their_part_of_the_context(tmp_path: Path) -> None:
    job = chat_job(tmp_path / "run", small_llama(tmp_path / "base"), method="prompt-tuning", rows=4, epochs=1)
    run(job)
    pair = load_pair(ref_of(job))
    assert pair.context == (job.info.context or 0) - job.config.virtual_tokens


def test_what_is_trained_beside_a_model_in_float16_has_gradients_that_can_be_unscaled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = label_job(tmp_path / "run", small_llama(tmp_path / "base"), method="lora", precision="float16")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)  # there, float16 is scaled
    model = prepare_model(job, METHODS["lora"], head_of(job.info, job.data))
    monkeypatch.undo()
    learned = [weight for weight in model.parameters() if weight.requires_grad]
    scaler = torch.amp.GradScaler("cpu")
    optimizer = torch.optim.SGD(learned, lr=0.1)
    with torch.autocast("cpu", torch.float16):
        loss = model(input_ids=torch.tensor([IDS])).logits.float().sum()
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    assert all(weight.grad is not None for weight in learned)


def test_lengths_of_dora_and_factors_of_ia3_are_held_in_float32(tmp_path: Path) -> None:
    for method, part in (("dora", "magnitude"), ("ia3", "ia3_l")):
        job = chat_job(
            tmp_path / method,
            small_llama(tmp_path / f"base-{method}"),
            method=method,
            epochs=1,
            precision="bfloat16",
            rows=8,
        )
        outcome, _ = run(job)
        weights = load_file(outcome.path / "adapter_model.safetensors")  # type: ignore[operator]
        exact = {name: weight for name, weight in weights.items() if part in name}
        assert exact and all(weight.dtype == torch.float32 for weight in exact.values())


def test_prefix_tuning_starts_near_the_base(tmp_path: Path) -> None:
    info = small_llama(tmp_path / "base")
    _, plain = run(chat_job(tmp_path / "a", info, method="lora", epochs=1, rows=8))
    _, prefix = run(chat_job(tmp_path / "b", info, method="prefix-tuning", epochs=1, rows=8))
    assert losses(prefix)[0] < losses(plain)[0] + 0.5


def test_only_the_last_layers_change(tmp_path: Path) -> None:
    info = small_llama(tmp_path / "base")
    outcome, _ = run(chat_job(tmp_path / "run", info, method="last-layers", last_layers=1, epochs=1))
    before = AutoModelForCausalLM.from_pretrained(str(info.path)).state_dict()
    after = AutoModelForCausalLM.from_pretrained(str(outcome.path)).state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and all(name.startswith(("model.layers.1.", "model.norm")) for name in changed)


@pytest.mark.parametrize("method", ["dora", "rslora", "ia3", "last-layers", "lora-embeddings"])
def test_a_method_sorts_texts_too(tmp_path: Path, method: str) -> None:
    info = small_bert(tmp_path / "base")
    job = label_job(tmp_path / "run", info, method=method, learning_rate=5e-3, last_layers=1, epochs=3, held=0)
    outcome, said = run(job)
    assert fmean(losses(said)[-4:]) < fmean(losses(said)[:4]) - 0.2
    ids = torch.tensor([[2, 4093, 198, 3]])
    kind = AutoModelForSequenceClassification
    if (outcome.path / "adapter_config.json").exists():  # type: ignore[operator]
        plain = PeftModel.from_pretrained(kind.from_pretrained(str(info.path), num_labels=len(LABELS)), outcome.path)
    else:
        plain = kind.from_pretrained(str(outcome.path))
    model = load_pair(ref_of(job)).tuned
    with torch.no_grad():
        torch.testing.assert_close(plain.eval()(input_ids=ids).logits, model(input_ids=ids).logits, atol=1e-4, rtol=0)


def test_frozen_layers_stay_as_they_are(tmp_path: Path) -> None:
    info = small_llama(tmp_path / "base")
    outcome, _ = run(chat_job(tmp_path / "a", info, method="lora", frozen_layers=1, epochs=1, rows=8))
    names = load_file(outcome.path / "adapter_model.safetensors")  # type: ignore[operator]
    assert names and not any(".layers.0." in name for name in names)
    outcome, _ = run(chat_job(tmp_path / "b", info, method="full", frozen_layers=1, epochs=1, rows=8))
    before = AutoModelForCausalLM.from_pretrained(str(info.path)).state_dict()
    after = AutoModelForCausalLM.from_pretrained(str(outcome.path)).state_dict()
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert same and all(".layers.1." not in name and "model.norm" not in name for name in same)


def export(job: TrainingJob, form: str, to: Path) -> ExportResult:
    """An export as the studio makes it, tested against the chat in a fresh process."""
    facts = CardFacts(run="r", name="tone", dataset="rows.csv", rows=20)
    return export_named(form).export(ExportJob(ref_of(job), facts, ModelCache(), zip=False), to, lambda *_: None)


@pytest.mark.parametrize("method", ["dora", "ia3", "lora-embeddings"])
def test_what_can_be_merged_is_exported_whole(tmp_path: Path, method: str) -> None:
    job = chat_job(tmp_path / "run", small_llama(tmp_path / "base"), method=method, rows=8, **ON_TEXT[method])
    run(job)
    assert "Tested without the studio" in export(job, "merged", tmp_path / "out").tested
    ours = last_logits(load_pair(ref_of(job)), "tuned")
    theirs = plainly(job.info, tmp_path / "out", job.config.precision)
    near = 1e-4 if job.config.precision == "float32" else 0.02
    torch.testing.assert_close(theirs, ours, atol=near, rtol=near)


def test_virtual_tokens_are_exported_as_an_adapter_and_never_merged(tmp_path: Path) -> None:
    job = chat_job(
        tmp_path / "run", small_llama(tmp_path / "base"), method="prompt-tuning", rows=8, **ON_TEXT["prompt-tuning"]
    )
    run(job)
    assert "trained virtual tokens" in export_named("merged").unavailable_reason(ref_of(job))
    with pytest.raises(StudioError, match="Export the adapter"):
        export(job, "merged", tmp_path / "merged")
    assert "Tested without the studio" in export(job, "adapter", tmp_path / "adapter").tested
    assert not any(str(tmp_path) in file.read_text() for file in (tmp_path / "adapter").glob("*.json"))
