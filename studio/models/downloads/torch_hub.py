"""The process that runs an entry point of `torch.hub`: code of a repository that the owner trusts.

Its only result is a folder as `save_pretrained` writes it.
"""

from pathlib import Path
from typing import Any

from studio.schema.errors import StudioError


def save_entry(repository: str, entry: str, argument: str, tokenizer_entry: str, folder: str) -> None:
    """Run an entry point, and save its model and tokenizer to a new folder.

    `tokenizer_entry`: the one that gives the tokenizer, where the first gives a model alone; empty if there is none.
    Raise `StudioError` if the entry point gives no model of transformers, or no tokenizer.
    """
    import torch
    import transformers

    arguments = [argument] if argument else []
    loaded: Any = torch.hub.load(repository, entry, *arguments, source="local")
    model, tokenizer = (*loaded, None)[:2] if isinstance(loaded, tuple | list) and loaded else (loaded, None)
    is_of_transformers = isinstance(model, transformers.PreTrainedModel)
    if not is_of_transformers or not type(model).__module__.startswith("transformers."):
        raise StudioError(
            "wrong-model",
            "The entry point gives no model of transformers.",
            given=f"{entry}: {type(model).__name__}",
            valid="a model such as LlamaForCausalLM, alone or with its tokenizer",
            field="model",
        )
    if tokenizer is None and tokenizer_entry:
        tokenizer = torch.hub.load(repository, tokenizer_entry, *arguments, source="local")
    if not isinstance(tokenizer, transformers.PreTrainedTokenizerBase):
        raise StudioError(
            "wrong-model",
            "The entry point gives no tokenizer.",
            given=entry,
            valid="an entry point that gives a model and its tokenizer, or a second one with the name tokenizer",
            field="model",
        )
    Path(folder).mkdir()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
