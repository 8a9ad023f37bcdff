"""Loading of a base model, its tokenizer, and the fine-tuned model of a run.

The base comes from the run's own record, never from a path in the run's files. No repository code is run and no pickle
is loaded, unless the owner has trusted the model.
"""

import json
import warnings
from functools import lru_cache
from pathlib import Path
from typing import Any

from studio.inference.generation_settings import drop_idle_settings
from studio.inference.heads import TEXT, Head
from studio.models.loading_rules import check_trust, loading_arguments, tokenizer_arguments
from studio.schema.errors import StudioError
from studio.schema.models import ModelInfo

WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
ADAPTER_WEIGHTS = "adapter_model.safetensors"
UNMERGEABLE = ("PROMPT_TUNING", "PREFIX_TUNING")
"""Adapter types that add virtual tokens and can't be merged into the weights."""


def load_tokenizer(info: ModelInfo, trusted: bool = False) -> Any:
    """Load the tokenizer of a base model, with a padding token. Raise `StudioError`."""
    from transformers import AutoTokenizer

    from studio.inference import templates

    check_trust(info, trusted)
    templates.guard()
    try:
        tokenizer = AutoTokenizer.from_pretrained(weights_folder(info), **tokenizer_arguments(trusted))
    except ImportError as error:
        raise _needs_library(info, "tokenizer", error) from error
    except (OSError, ValueError) as error:
        raise _broken(info, "tokenizer", error) from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    return tokenizer


@lru_cache(maxsize=8)
def training_template(tokenizer: Any) -> str | None:
    """Return TRL's chat template with generation marks for this tokenizer, or None."""
    if not getattr(tokenizer, "chat_template", None):
        return None
    from trl.chat_template_utils import get_training_chat_template

    try:
        template: str | None = get_training_chat_template(tokenizer)
    except ValueError:
        return None
    return template


def load_base(info: ModelInfo, precision: str, head: Head = TEXT, trusted: bool = False) -> Any:
    """Load the base in a precision, in evaluation mode: a language model, or one with a new head."""
    check_trust(info, trusted)
    return _load(info, weights_folder(info), precision, head, trusted)


def load_embedder(info: ModelInfo, precision: str, trusted: bool = False) -> Any:
    """Load the base without a head."""
    from transformers import AutoModel

    check_trust(info, trusted)
    return _from_pretrained(AutoModel, info, weights_folder(info), precision, trusted).eval()


def load_full(info: ModelInfo, folder: Path, precision: str, head: Head = TEXT, trusted: bool = False) -> Any:
    """Load a fully fine-tuned model from the run's model/ folder."""
    if not any((folder / name).exists() for name in WEIGHTS):
        raise _damaged_run(folder, "the fine-tuned weights")
    return _load(info, str(folder), precision, head, trusted)


def load_adapter(base: Any, folder: Path) -> Any:
    """Return the base wrapped with a run's adapter. This changes the base: its layers now contain the adapter."""
    from peft import PeftModel
    from safetensors import SafetensorError

    if not (folder / ADAPTER_WEIGHTS).exists() or not (folder / "adapter_config.json").exists():
        raise _damaged_run(folder, "the adapter")
    try:
        with warnings.catch_warnings():
            # peft uses a deprecated name of transformers
            warnings.filterwarnings("ignore", ".*is_gradient_checkpointing", FutureWarning)
            warnings.filterwarnings("ignore", ".*tie_word_embeddings")
            return PeftModel.from_pretrained(base, str(folder)).eval()
    except (ValueError, RuntimeError, OSError, SafetensorError) as error:
        raise _damaged_run(folder, "the adapter", error) from error


def mergeable(folder: Path) -> bool:
    """Return whether a run's adapter can be merged into the weights of its base."""
    return adapter_kind(folder) not in UNMERGEABLE


def adapter_kind(folder: Path) -> str:
    """Return PEFT's type of the adapter in a folder, such as `LORA`. Empty if there is none."""
    try:
        kind = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8")).get("peft_type")
    except (OSError, ValueError, AttributeError):
        return ""
    return str(kind or "")


def merged(base: Any, folder: Path) -> Any:
    """Return the base with a run's adapter merged in. The given base can't be used any more."""
    with warnings.catch_warnings():
        # embeddings that were trained separately from the head are not tied to it any more, which is correct
        warnings.filterwarnings("ignore", "Input and output embeddings are no longer tied")
        model = load_adapter(base, folder)
        if adapter_kind(folder) == "IA3":
            _unwrap_heads(model)
        return model.merge_and_unload().eval()


def _unwrap_heads(model: Any) -> None:
    """Replace peft's wrappers by their trained heads. Otherwise merging IA³ treats a wrapper as a single layer."""
    from peft.utils import ModulesToSaveWrapper

    wrappers = [(name, part) for name, part in model.named_modules() if isinstance(part, ModulesToSaveWrapper)]
    for name, part in wrappers:
        parent, _, attribute = name.rpartition(".")
        setattr(model.get_submodule(parent), attribute, part.modules_to_save[model.active_adapters[0]])


def with_virtual_tokens(base: Any, folder: Path) -> Any:
    """Return the base with a run's virtual tokens before every input. The base itself is unchanged."""
    from studio.inference.prompt_tuned_model import PromptTunedModel

    return PromptTunedModel(load_adapter(base, folder))


def weights_folder(info: ModelInfo) -> str:
    """Return the folder of a base model. Raise `StudioError` if it is not on this machine."""
    if info.path is None or not Path(info.path).is_dir():
        raise StudioError(
            "no-such-model",
            f"The base model {info.title} is not on this machine.",
            given=info.name,
            hint=f"Download it in the Model tab, or with: studio download {info.name}",
            field="model",
        )
    return info.path


def _load(info: ModelInfo, folder: str, precision: str, head: Head, trusted: bool) -> Any:
    model = _from_pretrained(head.model_class(), info, folder, precision, trusted, **head.arguments)
    if head.single_pass and (info.kind == "causal" or model.config.pad_token_id is None):
        # a decoder classifies at the last token that is not padding, so it must know the padding token
        model.config.pad_token_id = load_tokenizer(info, trusted).pad_token_id
    return model.eval()


def _from_pretrained(kind: Any, info: ModelInfo, folder: str, precision: str, trusted: bool, **arguments_: Any) -> Any:
    import torch
    from safetensors import SafetensorError
    from transformers.utils import logging

    logging.set_verbosity_error()  # a new head causes many log lines
    logging.disable_progress_bar()
    try:
        arguments = {"dtype": getattr(torch, precision), **loading_arguments(trusted), **arguments_}
        model, loading_info = kind.from_pretrained(folder, output_loading_info=True, **arguments)
        drop_idle_settings(model)
        model.new_modules = tuple(sorted({name.rpartition(".")[0] for name in loading_info["missing_keys"]}))
        return model
    except ImportError as error:
        raise _needs_library(info, "weights", error) from error
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        if "memory" in str(error).lower():
            raise
        raise _broken(info, "weights", error) from error


def _needs_library(info: ModelInfo, part: str, error: ImportError) -> StudioError:
    return StudioError(
        "broken-model",
        f"The {part} of {info.title} can't be loaded, because a library is not installed.",
        given=next((line for line in str(error).splitlines() if line.strip()), type(error).__name__),
        hint="Install the library, or choose a model that is not quantized and has a tokenizer.json.",
        field="model",
    )


def _broken(info: ModelInfo, part: str, error: Exception) -> StudioError:
    return StudioError(
        "broken-model",
        f"The {part} of {info.title} can't be loaded.",
        given=str(error).splitlines()[0] if str(error) else type(error).__name__,
        hint="Download the model again, or choose another one.",
        field="model",
    )


def _damaged_run(folder: Path, what: str, error: Exception | None = None) -> StudioError:
    return StudioError(
        "damaged-run",
        f"The run's folder does not contain {what}." if error is None else f"The run's {folder.name} can't be loaded.",
        given=folder.name if error is None else str(error).splitlines()[0],
        hint="Resume the run from its last checkpoint, or run it again.",
    )
