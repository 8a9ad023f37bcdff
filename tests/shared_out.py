"""What each of two processes holds of a small model that they share out, and that nothing of it is lost.

tests/real/test_sharding.py starts both; one ends with another status than 0 where something is not as it should.

python -m tests.shared_out FOLDER
"""

import sys
from pathlib import Path
from types import SimpleNamespace

import torch
from torch.distributed.tensor import DTensor
from transformers import LlamaConfig, LlamaForCausalLM

from studio.training.distributed import fsdp, processes
from studio.training.optimizers.master_weights import MasterAdamW

SMALL = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "vocab_size": 101,
    "tie_word_embeddings": True,
}


def held(model: torch.nn.Module) -> int:
    """Numbers that are in this process."""
    return sum((each.to_local() if isinstance(each, DTensor) else each).numel() for each in model.parameters())


def main(folder: Path) -> None:
    processes.init_process_group(gpu=False)
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**SMALL)).eval()
    ids = torch.arange(24).view(2, 12)
    every, before = held(model), {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        expected, hidden = model(input_ids=ids).logits, model.model(input_ids=ids).last_hidden_state
    fsdp.shard_model(model)
    optimizer = MasterAdamW(model.parameters(), lr=1e-2)
    assert held(model) < 0.52 * every, "each holds half of it, and one row more where rows are odd"
    trainer = SimpleNamespace(model=model, settings=SimpleNamespace(fsdp=True))
    with torch.no_grad():
        with processes.gathered_weights(trainer):
            assert held(model) == every
            torch.testing.assert_close(model.model(input_ids=ids).last_hidden_state, hidden)  # a part by itself
        assert held(model) < 0.52 * every, "and again"
        torch.testing.assert_close(model(input_ids=ids).logits, expected)

    model(input_ids=ids, labels=ids).loss.backward()
    optimizer.step()
    learned, kept = fsdp.full_weights(model), fsdp.full_optimizer_state(optimizer)
    assert set(learned) == set(before) and all(learned[name].shape == before[name].shape for name in before)
    assert learned["lm_head.weight"] is learned["model.embed_tokens.weight"], "tied weights are saved once"
    moved = [name for name in before if (learned[name] - before[name]).abs().max() > 5e-3]
    assert len(moved) == len(before), "all of it has learned"
    if processes.is_main_process():
        model.save_pretrained(folder, state_dict=dict(learned))
    processes.barrier()
    assert torch.equal(LlamaForCausalLM.from_pretrained(folder).lm_head.weight, learned["lm_head.weight"])

    model(input_ids=ids, labels=ids).loss.backward()
    optimizer.step()  # two steps on the same gradient: what must be taken back
    fsdp.load_weights(model, folder)
    fsdp.load_optimizer_state(optimizer, kept)
    again = fsdp.full_weights(model)
    assert all(torch.equal(again[name], learned[name]) for name in learned)
    for number, told in fsdp.full_optimizer_state(optimizer)["state"].items():
        assert all(torch.equal(value, kept["state"][number][name]) for name, value in told.items())
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
