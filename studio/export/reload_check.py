"""Loads an export without the studio: with transformers and peft alone, in a process of its own.

`run_in_process` calls `answer` of this file, which is never imported: it must not know the studio.
"""

from typing import Any


def answer(task: dict[str, Any]) -> list[list[Any]]:
    """Load the export, and give the answer to each prompt: token ids of a reply, or probabilities.

    `replies` are those of the studio, if the model generates text. After the first `generated` prompts, a reply is
    only generated if one pass over the studio's does not confirm it: at each position, its token is the likeliest.
    """
    import torch
    from transformers import AutoTokenizer

    torch.set_num_threads(task["threads"])
    tokenizer = AutoTokenizer.from_pretrained(task["folder"])
    model = load(task)
    ask: Any = {"labels": chances, "spans": places}.get(task["head"])
    with torch.no_grad():
        if ask:
            return [ask(model, tokenizer, each, task) for each in task["prompts"]]
        answers = []
        for number, (prompt, expected) in enumerate(zip(task["prompts"], task["replies"], strict=True)):
            inputs = encoded(tokenizer, prompt, task)
            confirmed = number >= task["generated"] and is_likeliest(model, inputs, list(map(int, expected)), task)
            answers.append(expected if confirmed else reply(model, inputs, task))
        return answers


def load(task: dict[str, Any]) -> Any:
    """The merged model in the precision in which it is saved, or the base with the adapter on top."""
    import torch
    import transformers

    kind = getattr(transformers, task["kind"])
    safely = {"trust_remote_code": task["trusted"], "use_safetensors": True}
    if not task["base"]:
        return kind.from_pretrained(task["folder"], dtype="auto", **safely).eval()
    from peft import PeftModel

    safely["use_safetensors"] = None if task["trusted"] else True
    heads = {"num_labels": len(task["labels"]), "pad_token_id": task["pad"]} if task["labels"] else {}
    base = kind.from_pretrained(task["base"], dtype=getattr(torch, task["precision"]), **safely, **heads)
    model = PeftModel.from_pretrained(base, task["folder"]).eval()
    # peft's outermost layer for such models does not pass the token type ids
    return model.merge_and_unload().eval() if task["head"] == "spans" else model


def encoded(tokenizer: Any, prompt: Any, task: dict[str, Any]) -> Any:
    """Inputs with one row, of a text or a conversation."""
    if isinstance(prompt, list):
        return tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    return tokenizer(prompt, return_tensors="pt", truncation=True, max_length=task["longest"])


def is_likeliest(model: Any, inputs: Any, expected: list[int], task: dict[str, Any]) -> bool:
    """Whether greedy decoding gives exactly this reply: each token, and the end if the reply is short."""
    import torch

    ended = len(expected) < task["tokens"]
    if model.config.is_encoder_decoder:
        given, begin = dict(inputs), decoder_start(model)
        given["decoder_input_ids"] = torch.tensor([[begin, *expected]])
    else:
        ids = torch.cat([inputs["input_ids"], torch.tensor([expected], dtype=torch.long)], dim=1)
        given = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    logits = model(**given, use_cache=False).logits[0, -len(expected) - 1 :]
    likeliest = logits.argmax(-1).tolist()
    return likeliest[: len(expected)] == expected and (not ended or likeliest[-1] in task["ends"])


def decoder_start(model: Any) -> int:
    """The token from which a decoder continues, as `generate` chooses it."""
    own = model.generation_config.decoder_start_token_id
    own = getattr(model.config, "decoder_start_token_id", None) if own is None else own
    return int(model.generation_config.bos_token_id if own is None else own)


def reply(model: Any, inputs: Any, task: dict[str, Any]) -> list[int]:
    """Token ids of the likeliest reply, without the token that ends it."""
    out = model.generate(
        **inputs,
        max_new_tokens=task["tokens"],
        do_sample=False,
        temperature=None,
        top_p=None,
        top_k=None,
        repetition_penalty=1.0,
        num_beams=1,
        min_length=0,
        no_repeat_ngram_size=0,
        forced_eos_token_id=None,  # BART would end at the last token that may be generated
        pad_token_id=task["pad"],
        eos_token_id=task["ends"],
    )
    begin = 1 if model.config.is_encoder_decoder else inputs["input_ids"].shape[1]
    ids = out[0, begin:].tolist()
    return ids[:-1] if ids and ids[-1] in task["ends"] else ids


def chances(model: Any, tokenizer: Any, prompt: str | list[str], task: dict[str, Any]) -> list[float]:
    """The probability of each label, or the score."""
    texts = prompt if isinstance(prompt, list) else [prompt]
    inputs = tokenizer(*texts, return_tensors="pt", truncation=True, max_length=task["longest"])
    logits = model(**inputs).logits[0].float()
    if task["problem"] == "regression":
        return list(logits.tolist())
    return list((logits.sigmoid() if task["problem"] else logits.softmax(-1)).tolist())


def places(model: Any, tokenizer: Any, prompt: list[str], task: dict[str, Any]) -> list[float]:
    """Of each token of the first piece of a passage, how likely it begins and ends the answer."""
    import torch

    inputs = tokenizer(*prompt, return_tensors="pt", truncation="only_second", max_length=task["longest"])
    out = model(**inputs)
    return torch.cat([part[0].float().softmax(-1) for part in (out.start_logits, out.end_logits)]).tolist()
