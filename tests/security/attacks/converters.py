"""Hostile models of Keras and TensorFlow: HDF5 files, presets that name other classes, zip bombs, lying indexes."""

import io
import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from studio.machine.run_in_process import ProcessError, ProcessLimits, run_in_process
from studio.models import find_model
from studio.models.conversion.converters import KERAS
from studio.models.sources import SOURCES, Fetching
from studio.schema.errors import StudioError
from tests.keras_files import DTYPE, SETTINGS, described, preset_folder
from tests.security import hostile_hdf5
from tests.security.attack import Outcome, attack, outcome, succeeded
from tests.security.attacks.archives import Evil
from tests.security.stage import Stage, time_call

SECONDS, MEMORY = 30, 200_000_000
"""What a refusal may take."""


def new_folder(stage: Stage, name: str = "hostile") -> Path:
    """A new folder for a model. Beside it is a file that must not be read, and an ordinary file with weights."""
    above = stage.folder / "models"
    shutil.rmtree(above, ignore_errors=True)
    (above / name).mkdir(parents=True)
    (above / "secret.txt").write_text("root:x:0:0:the secret\n" * 40)
    return above / name


def refusal(stage: Stage, folder: Path) -> Outcome:
    """Whether a model is refused, quickly and in little memory, when it is chosen, or later when it is converted."""
    before = psutil.Process().memory_info().rss
    cache = stage.folder / "cache-of-hostile-models"
    seconds, refused = time_call(lambda: refused_with(stage, folder, cache))
    grown = psutil.Process().memory_info().rss - before
    text = json.dumps(refused.to_dict()) if isinstance(refused, StudioError) else ""
    left = [str(each) for each in cache.rglob("*") if each.is_file()] if cache.exists() else []
    code_ran = (stage.folder / "code-of-a-model-ran").exists()
    wrong = not text or "the secret" in text or code_ran or bool(left) or "Traceback" in text
    what = f"{text[:300] or refused}; {seconds:.1f} s; {grown / 1e6:.0f} MB; left: {left[:2]}; code ran: {code_ran}"
    return outcome(wrong or seconds > SECONDS or grown > MEMORY, what)


def refused_with(stage: Stage, folder: Path, cache: Path) -> StudioError | str:
    """The refusal of a model, or what became of it."""
    before = os.environ.get("STUDIO_CACHE")
    os.environ["STUDIO_CACHE"] = str(cache)
    try:
        info = find_model(str(folder))
        if info.source not in ("keras", "tensorflow"):
            return f"taken as a model of the source {info.source}"
        if info.source == "tensorflow":  # its converter reads the weights before it loads TensorFlow
            arguments = {"original": str(folder), "raw": "", "reference": "", "architecture": info.architecture}
            limits = ProcessLimits(python=str(KERAS.python(stage.tools)))
            run_in_process("studio.models.conversion.convert_tensorflow:convert", arguments, limits)
            return "converted"
        fetched = SOURCES[info.source].fetch(info, Fetching(tools=stage.tools))
        return f"converted to {fetched.path}"
    except ProcessError as error:
        return f"the library of the model was called: {error.stderr[-300:]}"
    except StudioError as error:
        return error
    finally:
        os.environ.pop("STUDIO_CACHE") if before is None else os.environ.update(STUDIO_CACHE=before)


# --- HDF5 ---


@attack("converters", "Weights in an HDF5 file with {0} are read", list(hostile_hdf5.KINDS))
def hdf5(stage: Stage, kind: str) -> Outcome:
    """The file is refused by both converters before the library of its model reads it."""
    folder = preset_folder(new_folder(stage))
    secret = folder.parent / "secret.h5"
    limits = ProcessLimits(python=str(KERAS.python(stage.tools)))
    made_by = str(Path(hostile_hdf5.__file__))
    run_in_process(f"{made_by}:secret_weights", {"file": str(secret)}, limits)
    weights = folder / "model.weights.h5"
    run_in_process(f"{made_by}:write", {"file": str(weights), "kind": kind, "secret": str(secret)}, limits)
    of_tensorflow = folder.parent / "tensorflow"
    of_tensorflow.mkdir()
    shutil.copy(weights, of_tensorflow / "tf_model.h5")
    refusals = []
    for function, place in (("convert_keras", folder), ("convert_tensorflow", of_tensorflow)):
        arguments = {"original": str(place), "raw": "", "reference": "", "architecture": "BertModel"}
        bounds = ProcessLimits(memory=2_000_000_000, seconds=SECONDS, python=limits.python)
        try:
            run_in_process(f"studio.models.{function}:convert", arguments, bounds)
        except StudioError as error:
            refusals.append(f"{error.code}: {error.message}")
    return outcome(sum("does not read this weights file" in each for each in refusals) != 2, "; ".join(refusals))


RAW_FILES: list[tuple[str, Callable[[], bytes]]] = [
    ("that is empty", lambda: b""),
    ("of 8 bytes", lambda: b"\x89HDF\r\n\x1a\n"),
    ("that is a pickle", lambda: pickle.dumps([1, 2])),
    ("that is a zip", lambda: zipped({"a": b"b"})),
    ("of 5 MB of zeros", lambda: bytes(5_000_000)),
    ("with a header of random numbers", lambda: b"\x89HDF\r\n\x1a\n" + bytes((7 * n * n) % 251 for n in range(4_000))),
]


def zipped(members: dict[str, bytes]) -> bytes:
    """A compressed archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


@attack("converters", "A Keras preset has a weights file {0}", RAW_FILES)
def raw_file(stage: Stage, payload: tuple[str, Callable[[], bytes]]) -> Outcome:
    folder = preset_folder(new_folder(stage))
    (folder / "model.weights.h5").write_bytes(payload[1]())
    return refusal(stage, folder)


# --- presets ---


def keras_object(class_name: str, module: str, registered: str | None = None, **config: Any) -> dict[str, Any]:
    """Any object as Keras describes it."""
    return {"module": module, "class_name": class_name, "config": config, "registered_name": registered}


LAMBDA = keras_object(
    "Lambda",
    "keras.layers",
    function={"class_name": "__lambda__", "config": {"code": "4wEAAAA=", "defaults": None, "closure": None}},
)
GET_FILE = {"module": "keras.utils", "class_name": "function", "config": "get_file", "registered_name": "get_file"}
TOKENIZER = "keras_hub>GPT2Tokenizer"
Changes = Callable[[dict[str, Any], dict[str, Any]], None]
"""Changes config.json and tokenizer.json."""


def setting(**settings: Any) -> Changes:
    """Settings of the backbone."""
    return lambda config, tokenizer: config["config"].update(settings)


def top(**fields: Any) -> Changes:
    """Fields beside the settings of the backbone."""
    return lambda config, tokenizer: config.update(fields)


def of_tokenizer(**settings: Any) -> Changes:
    """Settings of the tokenizer."""
    return lambda config, tokenizer: tokenizer["config"].update(settings)


def tokenizer_field(**fields: Any) -> Changes:
    """Fields beside the settings of the tokenizer."""
    return lambda config, tokenizer: tokenizer.update(fields)


PRESETS: list[tuple[str, Changes]] = [
    ("a Lambda layer among its settings", setting(layer=LAMBDA)),
    ("a Lambda layer in a list of lists", setting(layers=[[[LAMBDA]]])),
    ("a Lambda layer as its number format", setting(dtype=LAMBDA)),
    ("a Lambda layer in its number format", setting(dtype={**DTYPE, "config": {"name": LAMBDA}})),
    ("a function of Keras that loads a file", setting(activation=GET_FILE)),
    ("a number format of another module", setting(dtype={**DTYPE, "module": "os"})),
    ("a number format of another class", setting(dtype={**DTYPE, "class_name": "get_file"})),
    (
        "a number format registered as a tokenizer",
        setting(dtype={**DTYPE, "registered_name": "keras_hub>GPT2Tokenizer"}),
    ),
    ("a number format registered as its own", setting(dtype={**DTYPE, "registered_name": "evil>DTypePolicy"})),
    ("the class Lambda", top(class_name="Lambda", registered_name="keras_hub>Lambda")),
    ("a class of another name than it is registered as", top(class_name="Functional")),
    ("the module os", top(module="os")),
    ("the module keras_hub.os/../x", top(module="keras_hub/../os")),
    ("the module keras_hub_evil", top(module="keras_hub_evil.models")),
    ("the module keras_hub.src with a line end", top(module="keras_hub.src\n")),
    ("no module", top(module=None)),
    ("the registered name os>system", top(registered_name="os>system", class_name="system")),
    ("the registered name keras_hub>os>system", top(registered_name="keras_hub>os>system")),
    ("a list as its registered name", top(registered_name=["keras_hub>GPT2Backbone"])),
    ("an optimizer to compile with", top(compile_config={"optimizer": LAMBDA, "loss": GET_FILE})),
    ("a build of its own", top(build_config={"input_shape": [2**40, 2**40], "layer": LAMBDA})),
    ("the settings of a Keras model in place of a backbone", top(config={"layers": [LAMBDA], "name": "x"})),
    ("settings that are a list", top(config=[LAMBDA])),
    ("10^9 layers", setting(num_layers=10**9)),
    ("10^300 layers", setting(num_layers=10**300)),
    ("a vocabulary of 10^12", setting(vocabulary_size=10**12)),
    ("a hidden size of 2^40", setting(hidden_dim=2**40)),
    ("a negative hidden size", setting(hidden_dim=-1)),
    ("layers that are a text", setting(num_layers="__import__('os').system('id')")),
    ("a tokenizer of the class Lambda", tokenizer_field(class_name="Lambda", registered_name="keras_hub>Lambda")),
    ("a tokenizer of the module os", tokenizer_field(module="os")),
    (
        "a tokenizer of another model, which reads files",
        lambda config, tokenizer: tokenizer.update(
            described("WhisperTokenizer", special_tokens="SECRET", language_tokens="SECRET", dtype=DTYPE)
        ),
    ),
    ("a tokenizer with a vocabulary elsewhere", of_tokenizer(vocabulary="SECRET")),
    ("a tokenizer with merges elsewhere", of_tokenizer(merges="SECRET")),
    ("a tokenizer with a model elsewhere", of_tokenizer(proto="SECRET")),
    ("a tokenizer with settings elsewhere", of_tokenizer(config_file="../secret.txt")),
    ("a tokenizer with a Lambda layer", of_tokenizer(special=LAMBDA)),
    ("a tokenizer to compile", tokenizer_field(compile_config={"loss": GET_FILE})),
]


@attack("converters", "A Keras preset with {0} is converted", PRESETS, quick=4)
def preset(stage: Stage, payload: tuple[str, Changes]) -> Outcome:
    folder = preset_folder(new_folder(stage))
    config, tokenizer = (json.loads((folder / name).read_text()) for name in ("config.json", "tokenizer.json"))
    payload[1](config, tokenizer)
    secret = str(folder.parent / "secret.txt")
    for name, document in (("config.json", config), ("tokenizer.json", tokenizer)):
        (folder / name).write_text(json.dumps(document).replace("SECRET", secret))
    return declared(stage, folder)


def declared(stage: Stage, folder: Path) -> Outcome:
    """Whether a preset is refused by what its JSON says, before any library of its model is started."""
    seconds, result = time_call(lambda: refused_with(stage, folder, stage.folder / "cache"))
    if not isinstance(result, StudioError):
        return succeeded(str(result))
    late = "can't be converted" in result.message or "does not read this weights file" in result.message
    return outcome(late or seconds > 5, f"{seconds:.1f} s; {result.code}: {result.message}")


JSON_FILES: list[tuple[str, str, Callable[[], bytes]]] = [
    ("config.json of 100,000 levels", "config.json", lambda: b"[" * 100_000 + b"]" * 100_000),
    ("config.json of 60 MB", "config.json", lambda: b'{"a": "' + b"x" * 60_000_000 + b'"}'),
    ("config.json that is a number", "config.json", lambda: b"7"),
    ("tokenizer.json of 100,000 levels", "tokenizer.json", lambda: b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    ("tokenizer.json that is empty", "tokenizer.json", lambda: b""),
    (
        "settings of 900 levels",
        "config.json",
        lambda: (
            json.dumps(described("GPT2Backbone", **SETTINGS, x=0))
            .replace('"x": 0', '"x": ' + "[" * 900 + "]" * 900)
            .encode()
        ),
    ),
]


@attack("converters", "A Keras preset has a {0}", JSON_FILES)
def json_file(stage: Stage, payload: tuple[str, str, Callable[[], bytes]]) -> Outcome:
    folder = preset_folder(new_folder(stage))
    (folder / payload[1]).write_bytes(payload[2]())
    return refusal(stage, folder)


@attack("converters", "A vocabulary of 1 GB that is nearly empty on the disk is read", quick=True)
def large_vocabulary(stage: Stage) -> Outcome:
    folder = preset_folder(new_folder(stage))
    with (folder / "assets/tokenizer/vocabulary.json").open("wb") as file:
        file.truncate(1_000_000_000)
    return declared(stage, folder)


# --- archives of Keras ---


KERAS_ARCHIVES: list[tuple[str, Callable[[Stage], bytes]]] = [
    ("2 GB of zeros", lambda s: zipped({"model.weights.h5": bytes(200_000_000), "config.json": b"{}"})),
    ("a member ../evil.json", lambda s: zipped({"../evil.json": b"{}", "config.json": b"{}"})),
    ("a member with an absolute path", lambda s: zipped({f"{s.folder}/evil.json": b"{}", "config.json": b"{}"})),
    ("a Lambda layer", lambda s: zipped({"config.json": json.dumps(LAMBDA).encode()})),
    ("a pickle", lambda s: zipped({"config.json": pickle.dumps(Evil(s.folder / "code-of-a-model-ran"))})),
    ("100,000 members", lambda s: zipped({f"{n}": b"" for n in range(20_000)})),
    ("no archive in it", lambda s: b"\x89HDF\r\n\x1a\n" * 100),
]


@attack("converters", "A .keras file with {0} is opened, as a folder with it or by its path", KERAS_ARCHIVES, quick=1)
def keras_archive(stage: Stage, payload: tuple[str, Callable[[Stage], bytes]]) -> Outcome:
    folder = new_folder(stage)
    file = folder / "model.keras"
    file.write_bytes(payload[1](stage))
    found = [refusal(stage, folder), refusal(stage, file)]
    outside = [str(each) for each in stage.folder.rglob("evil.json")]
    failed = [each.what for each in found if each.succeeded]
    return outcome(bool(failed) or bool(outside), f"{failed or found[0].what}; outside: {outside}")


# --- TensorFlow ---


def tensorflow_folder(stage: Stage, **config: Any) -> Path:
    """A folder with TensorFlow weights that hold nothing yet."""
    folder = new_folder(stage)
    facts = {"architectures": ["BertForSequenceClassification"], "model_type": "bert", "hidden_size": 32, **config}
    (folder / "config.json").write_text(json.dumps(facts))
    (folder / "vocab.txt").write_text("[UNK]\n[CLS]\n[SEP]\n[PAD]\n[MASK]\na\n")
    (folder / "tf_model-00001-of-00002.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(500))
    return folder


SHARD = "tf_model-00001-of-00002.h5"
INDEXES: list[tuple[str, Any]] = [
    ("names a file of the folder above", {"weight_map": {"a": "../secret.txt"}}),
    ("names /etc/passwd", {"weight_map": {"a": "/etc/passwd"}}),
    ("names a part with a path before it", {"weight_map": {"a": f"../hostile/{SHARD}"}}),
    ("names a part with a line end", {"weight_map": {"a": f"{SHARD}\n"}}),
    ("names a part that is missing", {"weight_map": {"a": SHARD, "b": "tf_model-00002-of-00002.h5"}}),
    ("names an address", {"weight_map": {"a": "http://127.0.0.1:1/tf_model-00001-of-00002.h5"}}),
    ("names a pickle", {"weight_map": {"a": "pytorch_model.bin"}}),
    ("has a list in place of names", {"weight_map": [SHARD]}),
    ("has lists of names", {"weight_map": {"a": [SHARD, "/etc/passwd"]}}),
    ("has numbers in place of names", {"weight_map": {"a": 7}}),
    ("names nothing", {"weight_map": {}}),
    ("is a list", [SHARD]),
    ("is null", None),
    ("has 300,000 entries", {"weight_map": {f"a{n}": "/etc/passwd" for n in range(300_000)}}),
    ("names one damaged part for all weights", {"weight_map": {f"a{n}": SHARD for n in range(1_000)}}),
]


@attack("converters", "A TensorFlow index {0}, and the model is converted", INDEXES, quick=2)
def index(stage: Stage, payload: tuple[str, Any]) -> Outcome:
    folder = tensorflow_folder(stage)
    (folder / "tf_model.h5.index.json").write_text(json.dumps(payload[1]))
    return refusal(stage, folder)


CONFIGS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("code of its own", {"auto_map": {"AutoModel": "evil.Model"}}, {}),
    ("code of its own for the tokenizer", {}, {"auto_map": {"AutoTokenizer": ["evil.Tokenizer", None]}}),
    ("the class ../evil", {"architectures": ["../evil"]}, {}),
    ("the class __import__", {"architectures": ["__import__"]}, {}),
    ("a list as its class", {"architectures": [["BertModel"]]}, {}),
    ("the class of a trainer", {"architectures": ["Trainer"]}, {}),
    ("no class", {"architectures": []}, {}),
]


@attack("converters", "A TensorFlow model with {0} is converted", CONFIGS)
def tensorflow_config(stage: Stage, payload: tuple[str, dict[str, Any], dict[str, Any]]) -> Outcome:
    folder = tensorflow_folder(stage, **payload[1])
    (folder / "evil.py").write_text(f"open({str(stage.folder / 'code-of-a-model-ran')!r}, 'w')")
    (folder / "tokenizer_config.json").write_text(json.dumps(payload[2]))
    (folder / "tf_model.h5.index.json").write_text(json.dumps({"weight_map": {"a": SHARD}}))
    return refusal(stage, folder)


@attack("converters", "A TensorFlow model has a tokenizer of 1 GB that is nearly empty on the disk")
def large_tokenizer(stage: Stage) -> Outcome:
    folder = tensorflow_folder(stage)
    (folder / "tf_model.h5.index.json").write_text(json.dumps({"weight_map": {"a": SHARD}}))
    with (folder / "tokenizer.json").open("wb") as file:
        file.truncate(1_000_000_000)
    return refusal(stage, folder)
