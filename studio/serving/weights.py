"""Folders with standalone weights for engines, in HOME/serving: merged, with chat template, stop tokens and neutral
generation settings. Each is written once, by a process of its own, and used again until its run changes.
"""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from studio.export.folder import copy_tokenizer, read_json, require_room, staged, write_json
from studio.inference.base_and_tuned import DTYPE_BYTES, load_tuned, precision_of, result_folder
from studio.inference.generate import NEUTRAL_GENERATION, end_tokens
from studio.inference.load import load_base, load_tokenizer, weights_folder
from studio.machine.locks import alone
from studio.machine.run_in_process import ProcessLimits, run_in_process
from studio.models.weights import weight_files
from studio.schema.errors import StudioError
from studio.schema.host import RunRef
from studio.schema.serving import PreparedModel, ServedModel
from studio.tasks.rendering import has_system_role, template_of

FACTS = "studio.json"
MODEL = "model"
FORMAT = 2
"""Raise it when folders of earlier versions must not be used any more."""


def prepared_folder(root: Path, model: ServedModel) -> Path:
    """Where the folder of a model is. Another name when the weights of the run or of its base change."""
    run = model.run
    source = Path(weights_folder(run.info)) if model.who == "base" else result_folder(run)
    files = sorted(source.glob("*.safetensors"))
    state: list[Any] = [FORMAT, model.who, run.folder, str(source), run.info.path, precision_of(run)]
    state += [(each.name, each.stat().st_mtime_ns, each.stat().st_size) for each in files]
    return root / hashlib.sha256(json.dumps(state).encode()).hexdigest()[:24]


def prepare(root: Path, model: ServedModel) -> tuple[Path, PreparedModel]:
    """Return the folder with the weights of a model and its facts. It is written if it does not exist.

    Raises:
        StudioError: the model can't be loaded or merged, or there is no room for it.
    """
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder = prepared_folder(root, model)
    with alone(root):  # another server may be writing the same folder
        if not (folder / FACTS).exists():
            forget_unused(root, model)
            if not _is_linked(model.run, model.who):
                require_room(folder, model.run.info.parameters * DTYPE_BYTES[precision_of(model.run)])
            arguments = {"run": model.run.model_dump(mode="json"), "who": model.who, "to": str(folder)}
            run_in_process(write, arguments, ProcessLimits(threads=None))
    facts = PreparedModel.model_validate_json((folder / FACTS).read_text(encoding="utf-8"))
    return folder / MODEL, facts


def forget_unused(root: Path, model: ServedModel) -> None:
    """Delete older folders of the same model, folders of runs that were deleted, and what a killed server left."""
    for folder in root.iterdir():
        facts = read_json(folder / FACTS)
        older = facts.get("run_folder") == model.run.folder and facts.get("who") == model.who
        if not facts or older or not Path(str(facts["run_folder"])).exists():
            shutil.rmtree(folder, ignore_errors=True)


def write(run: dict[str, Any], who: str, to: str) -> None:
    """Write the folder of a model. Weights that need no merging are linked, and not copied."""
    ref = RunRef.model_validate(run)
    tokenizer = load_tokenizer(ref.info, ref.trusted)
    with staged(Path(to)) as stage:
        target = stage / MODEL
        target.mkdir()
        if _is_linked(ref, who):
            source = _source(ref, who)
            for file in [*weight_files(source), source / "model.safetensors.index.json"]:
                if file.exists():
                    (target / file.name).symlink_to(file.resolve())
            shutil.copyfile(source / "config.json", target / "config.json")
            generation_config = _generation_config(source)
        else:
            model = load_base(ref.info, precision_of(ref), trusted=ref.trusted) if who == "base" else load_tuned(ref)
            generation_config = model.generation_config
            model.save_pretrained(str(target))
        copy_tokenizer(ref, target)
        ends = sorted(end_tokens(_Configured(generation_config), tokenizer))
        settings = generation_config.to_diff_dict() | NEUTRAL_GENERATION
        # Each request has a temperature. With 0, transformers serve takes the most likely token.
        settings |= {"do_sample": True, "temperature": 1.0, "top_p": 1.0, "top_k": 0, "eos_token_id": ends}
        settings.setdefault("pad_token_id", tokenizer.pad_token_id)
        write_json(target / "generation_config.json", settings)
        facts = PreparedModel(
            run_folder=ref.folder,
            who="base" if who == "base" else "tuned",
            **_template_facts(tokenizer),
        )
        (stage / FACTS).write_text(facts.model_dump_json(), encoding="utf-8")


class _Configured:
    """A model as `end_tokens` looks at it."""

    def __init__(self, generation_config: Any) -> None:
        self.generation_config = generation_config


def _source(run: RunRef, who: str) -> Path:
    return Path(weights_folder(run.info)) if who == "base" else result_folder(run)


def _is_linked(run: RunRef, who: str) -> bool:
    """Whether the weights are used as they are: a base model, or a fully fine-tuned one, in safetensors."""
    source = _source(run, who)
    return source.name != "adapter" and bool(weight_files(source)) and (source / "config.json").exists()


def _generation_config(source: Path) -> Any:
    from transformers import AutoConfig, GenerationConfig

    if (source / "generation_config.json").exists():
        return GenerationConfig.from_pretrained(str(source))
    return GenerationConfig.from_model_config(AutoConfig.from_pretrained(str(source)))


def _template_facts(tokenizer: Any) -> dict[str, Any]:
    """What the gateway must know about the chat template: whether it has a system role, and its own tokens."""
    from jinja2 import TemplateError

    def tokens(*roles: str) -> int:
        turns = [{"role": role, "content": "x"} for role in roles]
        text = tokenizer.apply_chat_template(
            turns, chat_template=template_of(tokenizer), tokenize=False, add_generation_prompt=True, begin_text=""
        )
        return len(tokenizer(text, add_special_tokens=False)["input_ids"])

    merges = not has_system_role(tokenizer, template_of(tokenizer))
    try:
        one, two = tokens("user"), tokens("user", "assistant", "user")
    except TemplateError as error:
        raise StudioError(
            "wrong-model",
            "The model's chat template does not accept a conversation.",
            given=str(error).splitlines()[0] if str(error) else None,
            hint="Choose another model.",
        ) from error
    return {"merges_system": merges, "tokens_per_message": max(one, two - one)}
