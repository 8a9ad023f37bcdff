"""A model whose words lie in a SentencePiece file alone, as DeBERTa v3 does on the Hub, from its folder to a result."""

from pathlib import Path

import numpy as np
from task_runs import asked_plainly, train_rows
from test_trained_labels import SHARES, SORTED

from studio.inference.classify import probabilities
from studio.models.inspect import inspect_folder


def deberta(folder: Path) -> Path:
    """A random DeBERTa v2 of two layers, its words learned from the rows; no tokenizer.json."""
    import sentencepiece
    import torch
    from transformers import DebertaV2Config, DebertaV2Model

    torch.manual_seed(0)
    folder.mkdir()
    special = {
        f"{name}_piece": f"[{piece}]"
        for name, piece in (("pad", "PAD"), ("bos", "CLS"), ("eos", "SEP"), ("unk", "UNK"))
    }
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([row["text"] for row in SORTED]),
        model_prefix=str(folder / "spm"),
        vocab_size=120,
        pad_id=0,
        bos_id=1,
        eos_id=2,
        unk_id=3,
        hard_vocab_limit=False,
        minloglevel=2,
        **special,
    )
    (folder / "spm.vocab").unlink()
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": false, "vocab_type": "spm"}')
    config = DebertaV2Config(
        vocab_size=128,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=128,
        relative_attention=True,
        position_buckets=16,
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        pos_att_type=["p2c", "c2p"],
        type_vocab_size=0,
        position_biased_input=False,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    DebertaV2Model(config).save_pretrained(folder)
    return folder


def test_a_model_with_sentencepiece_alone_is_read_learns_and_its_result_says_alike(tmp_path: Path) -> None:
    base = deberta(tmp_path / "base")
    assert not (base / "tokenizer.json").exists()
    info = inspect_folder(base, title="Tiny DeBERTa")
    assert info.kind == "encoder"
    run = train_rows(
        tmp_path, SORTED, info, "classification", method="lora", epochs=8, learning_rate=1e-2, batch_size=8
    )
    assert run.learned()
    pair, text = run.pair(), "it came far too late"
    labels = {"num_labels": 3, "pad_token_id": pair.tokenizer.pad_token_id}
    plain = asked_plainly(run, "AutoModelForSequenceClassification", [text], SHARES, **labels)
    ours = probabilities(pair, [pair.task.prompt_ids(text, pair.encoding())])[0]
    np.testing.assert_allclose(ours, plain, atol=1e-4)
