"""The quick loss and the float32 copies change the speed of training, not what it computes."""

from pathlib import Path

import pytest
import torch
from made_runs import VOCABULARY
from small_trainings import tiny_llama
from torch.nn import functional as F
from transformers import AutoModelForCausalLM

from studio.training.batching.packed_attention import NAME, may_run_padding_free
from studio.training.losses import causal_lm as loss_module
from studio.training.losses.causal_lm import ChunkedCrossEntropy, has_plain_head, install_chunked_loss
from studio.training.optimizers.master_weights import MasterAdamW


@pytest.fixture
def llama(tmp_path: Path) -> torch.nn.Module:
    model = AutoModelForCausalLM.from_pretrained(str(tiny_llama(tmp_path / "base").path), dtype=torch.float32)
    torch.manual_seed(1)
    return model.train()


def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Three rows of 17, 9 and 12 tokens; the second is learned from its first token on."""
    torch.manual_seed(2)
    ids = torch.randint(10, 2000, (3, 17))
    real = (torch.arange(17) < torch.tensor([[17], [9], [12]])).long()
    labels = ids.masked_fill(real == 0, -100)
    labels[0, :9], labels[2, :4] = -100, -100
    return ids, real, labels


@pytest.mark.parametrize("way", ["end to end", "padded"])
@pytest.mark.parametrize("chunk", [2**24, VOCABULARY * 16])
def test_loss_and_gradients_are_those_of_the_model_itself(
    llama: torch.nn.Module, way: str, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loss_module, "CHUNK_LOGITS", chunk)
    ids, real, labels = batch()
    expected = llama(input_ids=ids, attention_mask=real, labels=labels).loss
    expected.backward()
    wanted = {name: weight.grad.clone() for name, weight in llama.named_parameters()}
    llama.zero_grad()
    padding_free = way == "end to end"
    if padding_free:
        llama.set_attn_implementation(NAME)
    install_chunked_loss(llama, padding_free)
    found = llama(input_ids=ids, attention_mask=real, labels=labels, learned_loss=True)
    assert found["tokens"] == int((labels[:, 1:] != -100).sum())
    got = found["loss"] / found["tokens"]
    got.backward()
    assert got.item() == pytest.approx(expected.item(), rel=1e-5)
    for name, weight in llama.named_parameters():
        torch.testing.assert_close(weight.grad, wanted[name], rtol=1e-3, atol=1e-6)


def test_the_model_answers_as_before_when_the_quick_loss_is_not_asked_for(llama: torch.nn.Module) -> None:
    ids, real, labels = batch()
    before = llama(input_ids=ids, attention_mask=real).logits
    llama.set_attn_implementation(NAME)
    install_chunked_loss(llama, True)
    llama(input_ids=ids, attention_mask=real, labels=labels, learned_loss=True)
    torch.testing.assert_close(llama(input_ids=ids, attention_mask=real).logits, before)
    assert llama(input_ids=ids, labels=labels).loss is not None


def test_a_head_with_a_bias_learns_it(llama: torch.nn.Module) -> None:
    torch.manual_seed(3)
    hidden, weight, bias = (torch.randn(*shape, requires_grad=True) for shape in ((7, 8), (20, 8), (20,)))
    labels = torch.randint(0, 20, (7,))
    ChunkedCrossEntropy.apply(hidden, weight, bias, labels).backward()
    got = [each.grad.clone() for each in (hidden, weight, bias)]
    for each in (hidden, weight, bias):
        each.grad = None
    F.cross_entropy(F.linear(hidden, weight, bias), labels, reduction="sum").backward()
    for each, grad in zip((hidden, weight, bias), got, strict=True):
        torch.testing.assert_close(grad, each.grad, rtol=1e-4, atol=1e-5)


def test_models_with_capped_or_scaled_logits_keep_the_library_s_loss(llama: torch.nn.Module) -> None:
    assert has_plain_head(llama)
    for name, value in (("final_logit_softcapping", 30.0), ("logit_scale", 0.06), ("logits_scaling", 8.0)):
        setattr(llama.config, name, value)
        assert not has_plain_head(llama)
        setattr(llama.config, name, None)
    assert has_plain_head(llama)


def test_models_that_look_at_a_part_of_the_row_only_are_padded(llama: torch.nn.Module) -> None:
    assert may_run_padding_free(llama, 100)
    llama.config.sliding_window = 64
    assert not may_run_padding_free(llama, 100)
    assert may_run_padding_free(llama, 64)


def descend(optimizer_class: type, dtype: torch.dtype, rate: float, steps: int = 60) -> torch.Tensor:
    torch.manual_seed(4)
    weight = torch.nn.Parameter(torch.full((64,), 0.5, dtype=dtype))
    optimizer = optimizer_class([weight], lr=rate, weight_decay=0.0)
    for _ in range(steps):
        optimizer.zero_grad()
        weight.float().square().sum().backward()
        optimizer.step()
    return weight.detach().float()


def test_short_weights_move_at_small_rates_as_float32_ones_do() -> None:
    exact = descend(torch.optim.AdamW, torch.float32, 2e-4)
    ours = descend(MasterAdamW, torch.bfloat16, 2e-4)
    plain = descend(torch.optim.AdamW, torch.bfloat16, 2e-4)
    assert torch.equal(plain, torch.full((64,), 0.5))
    torch.testing.assert_close(ours, exact, rtol=0, atol=2e-3)


def test_float32_weights_learn_as_with_torch_s_own_optimizer() -> None:
    torch.testing.assert_close(
        descend(MasterAdamW, torch.float32, 1e-2), descend(torch.optim.AdamW, torch.float32, 1e-2)
    )


def test_the_optimizer_goes_on_exactly_where_it_was_saved(tmp_path: Path) -> None:
    def made() -> tuple[torch.nn.Parameter, MasterAdamW]:
        weight = torch.nn.Parameter(torch.full((64,), 0.5, dtype=torch.bfloat16))
        return weight, MasterAdamW([weight], lr=3e-4)

    def steps(weight: torch.nn.Parameter, optimizer: MasterAdamW, count: int) -> None:
        for _ in range(count):
            optimizer.zero_grad()
            weight.float().square().sum().backward()
            optimizer.step()

    whole, optimizer = made()
    steps(whole, optimizer, 5)
    torch.save((whole.detach(), optimizer.state_dict()), tmp_path / "state.pt")
    steps(whole, optimizer, 5)
    resumed, again = made()
    saved, state = torch.load(tmp_path / "state.pt", weights_only=True)
    resumed.data.copy_(saved)
    again.load_state_dict(state)
    assert again.state[resumed]["master"].dtype == torch.float32
    steps(resumed, again, 5)
    assert torch.equal(resumed, whole)
    assert torch.equal(again.state[resumed]["master"], optimizer.state[whole]["master"])
