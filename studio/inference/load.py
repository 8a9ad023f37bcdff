"""Loading: a base, its tokenizer, and the tuned model of a run, from what the studio itself recorded.

The base comes from the run's own record, never from a path that a file of the run names. No code of a repository is
run and no pickle is read unless the owner allowed it for that model.
"""

import json
import warnings
from functools import lru_cache
from pathlib import Path
from typing import Any

from studio.inference.heads import TEXT, Head
from studio.models.loading_rules import check_trust, loading_arguments, tokenizer_arguments
from studio.schema.errors import StudioError
from studio.schema.models import ModelInfo

WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
ADAPTER_WEIGHTS = "adapter_model.safetensors"
BESIDE = ("PROMPT_TUNING", "PREFIX_TUNING")
"""Kinds of adapters that stand beside the weights and can't be added into them."""


def load_tokenizer(info: ModelInfo, trusted: bool = False) -> Any:
    """The tokenizer of a base model, able to pad."""
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
    """The chat template that marks what the assistant says, where TRL knows one for this tokenizer."""
    if not getattr(tokenizer, "chat_template", None):
        return None
    from trl.chat_template_utils import get_training_chat_template

    try:
        template: str | None = get_training_chat_template(tokenizer)
    except ValueError:
        return None
    return template


def load_base(info: ModelInfo, precision: str, head: Head = TEXT, trusted: bool = False) -> Any:
    """The base in a precision, ready to answer: a language model, or one with a fresh head of another kind."""
    check_trust(info, trusted)
    return _load(info, weights_folder(info), precision, head, trusted)


def load_embedder(info: ModelInfo, precision: str, trusted: bool = False) -> Any:
    """The base without any head."""
    from transformers import AutoModel

    check_trust(info, trusted)
    return _from_pretrained(AutoModel, info, weights_folder(info), precision, trusted).eval()


def load_full(info: ModelInfo, folder: Path, precision: str, head: Head = TEXT, trusted: bool = False) -> Any:
    """A model whose every weight was tuned, from the run's model/ folder."""
    if not any((folder / name).exists() for name in WEIGHTS):
        raise _damaged(folder, "the tuned weights")
    return _load(info, str(folder), precision, head, trusted)


def load_adapter(base: Any, folder: Path) -> Any:
    """The base wrapped with a run's adapter (the base itself is changed: its layers now hold the adapter)."""
    from peft import PeftModel
    from safetensors import SafetensorError

    if not (folder / ADAPTER_WEIGHTS).exists() or not (folder / "adapter_config.json").exists():
        raise _damaged(folder, "the adapter")
    try:
        with warnings.catch_warnings():
            # peft asks transformers under a name that is going out of use
            warnings.filterwarnings("ignore", ".*is_gradient_checkpointing", FutureWarning)
            warnings.filterwarnings("ignore", ".*tie_word_embeddings")
            return PeftModel.from_pretrained(base, str(folder)).eval()
    except (ValueError, RuntimeError, OSError, SafetensorError) as error:
        raise _damaged(folder, "the adapter", error) from error


def mergeable(folder: Path) -> bool:
    """Whether a run's adapter can be added into the weights of its base."""
    return adapter_kind(folder) not in BESIDE


def adapter_kind(folder: Path) -> str:
    """PEFT's name of the kind of adapter in a folder, `LORA` say; empty where there is none."""
    try:
        kind = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8")).get("peft_type")
    except (OSError, ValueError, AttributeError):
        return ""
    return str(kind or "")


def merged(base: Any, folder: Path) -> Any:
    """The base with a run's adapter added into its weights: a plain model again. The base given is used up."""
    with warnings.catch_warnings():
        # embeddings that learned apart from the head are not tied to it any more, which is right
        warnings.filterwarnings("ignore", "Input and output embeddings are no longer tied")
        model = load_adapter(base, folder)
        if adapter_kind(folder) == "IA3":
            _unwrap_heads(model)
        return model.merge_and_unload().eval()


def _unwrap_heads(model: Any) -> None:
    """Heads that learned whole in the place of peft's wrapping, which its merging of IA³ takes for a single layer."""
    from peft.utils import ModulesToSaveWrapper

    wrapped = [(name, part) for name, part in model.named_modules() if isinstance(part, ModulesToSaveWrapper)]
    for name, part in wrapped:
        above, _, own = name.rpartition(".")
        setattr(model.get_submodule(above), own, part.modules_to_save[model.active_adapters[0]])


def beside(base: Any, folder: Path) -> Any:
    """The base with a run's virtual tokens before whatever it is asked; the base itself stays as it is."""
    from studio.inference.prompt_tuned_model import PromptTunedModel

    return PromptTunedModel(load_adapter(base, folder))


def weights_folder(info: ModelInfo) -> str:
    """Where a base lies; a plain refusal while it is not here."""
    if info.path is None or not Path(info.path).is_dir():
        raise StudioError(
            "no-such-model",
            f"The base model {info.title} is not on this machine.",
            given=info.name,
            hint=f"Download it in step 1, or with: studio download {info.name}",
            field="model",
        )
    return info.path


def _load(info: ModelInfo, folder: str, precision: str, head: Head, trusted: bool) -> Any:
    model = _from_pretrained(head.model_class(), info, folder, precision, trusted, **head.arguments)
    if head.at_once and (info.kind == "causal" or model.config.pad_token_id is None):
        # a decoder says its label at the last token that is no padding, so it must know what rows are padded with
        model.config.pad_token_id = load_tokenizer(info, trusted).pad_token_id
    return model.eval()


def _from_pretrained(kind: Any, info: ModelInfo, folder: str, precision: str, trusted: bool, **more: Any) -> Any:
    import torch
    from safetensors import SafetensorError
    from transformers.utils import logging

    logging.set_verbosity_error()  # a fresh head is announced in many lines
    logging.disable_progress_bar()
    try:
        arguments = {"dtype": getattr(torch, precision), **loading_arguments(trusted), **more}
        model, told = kind.from_pretrained(folder, output_loading_info=True, **arguments)
        model.made_anew = tuple(sorted({name.rpartition(".")[0] for name in told["missing_keys"]}))
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
        f"The {part} of {info.title} can't be loaded: a library is needed that is not here.",
        given=next((line for line in str(error).splitlines() if line.strip()), type(error).__name__),
        hint="Install it, or choose a model that needs none: with tokenizer.json, and weights that are not quantised.",
        field="model",
    )


def _broken(info: ModelInfo, part: str, error: Exception) -> StudioError:
    return StudioError(
        "broken-model",
        f"The {part} of {info.title} can't be loaded.",
        given=str(error).splitlines()[0] if str(error) else type(error).__name__,
        hint="Get the model again, or choose another one.",
        field="model",
    )


def _damaged(folder: Path, what: str, error: Exception | None = None) -> StudioError:
    return StudioError(
        "damaged-run",
        f"The run's folder lacks {what}." if error is None else f"The run's {folder.name} can't be loaded.",
        given=folder.name if error is None else str(error).splitlines()[0],
        hint="Train it again, or resume it from its last checkpoint.",
    )
