"""Libraries still have the undocumented names that studio/ depends on, and contracts.py lists all of these names."""

import ast
import inspect
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from importlib.metadata import packages_distributions, version
from typing import Any

import pytest

from tests.unit.contracts import CONTRACTS, Contract
from tests.unit.private_names import Studio, Use, found_at, is_private, members

VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


@cache
def studio() -> Studio:
    return Studio()


@cache
def uses() -> list[Use]:
    return [*studio().overrides(), *studio().foreign()]


@cache
def sources(dotted: str) -> list[tuple[Callable[..., Any], ast.Module]]:
    """A function and its source; of a method, every definition that a call may reach through `super()`."""
    above, _, name = dotted.rpartition(".")
    holder = found_at(above)
    getattr(holder, name)  # raises AttributeError when it is gone
    found: list[tuple[Callable[..., Any], ast.Module]] = []
    for each in (vars(kind)[name] for kind in getattr(holder, "__mro__", [holder]) if name in vars(kind)):
        function = inspect.unwrap(getattr(each, "fget", None) or getattr(each, "__func__", each))
        if inspect.isfunction(function):
            text = inspect.getsource(function)
            found.append((function, ast.parse(f"class Indented:\n{text}" if text[0].isspace() else text)))
    return found


def mentioned(dotted: str) -> set[str]:
    """The names and texts that a function uses."""
    values = (
        getattr(node, name, None)
        for _, tree in sources(dotted)
        for node in ast.walk(tree)
        for name in ("attr", "id", "arg", "value")
    )
    return {each for each in values if isinstance(each, str)}


def calls(dotted: str, name: str) -> Iterator[ast.Call]:
    """Where a method calls another one of `self` with arguments that can be counted."""
    for _, tree in sources(dotted):
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in (f"self.{name}", f"super().{name}"):
                starred = any(isinstance(each, ast.Starred) for each in node.args)
                if not starred and all(each.arg for each in node.keywords):
                    yield node


def broken(contract: Contract) -> Iterator[str]:
    """What the installed libraries no longer fulfil of a contract."""
    for owner in contract.owners.split():
        try:
            yield from broken_by(contract, owner)
        except (AttributeError, ImportError) as error:
            yield f"{owner}: {error}"


def broken_by(contract: Contract, owner: str) -> Iterator[str]:
    name, holder = contract.name, found_at(owner)
    there = members if inspect.isclass(holder) else vars
    if contract.kind == "text":
        if name not in mentioned(owner):
            yield f"{owner} does not use “{name}”"
        return
    if name not in there(holder):
        yield f"{owner} has no {name}"
        return
    wanted = [each.strip() for each in contract.parameters.split(",") if each]
    if wanted:
        parameters = list(inspect.signature(getattr(holder, name)).parameters)
        if [each for each in parameters if each in wanted] != wanted:
            yield f"{owner}.{name} has the parameters ({', '.join(parameters)}), not ({contract.parameters})"
    path = [each if "." in each else f"{owner}.{each}" for each in contract.path.split()]
    for step, following in zip(path, [*path[1:], name], strict=True) if path else ():
        if following.rpartition(".")[2] not in mentioned(step):
            yield f"{step} does not use {following.rpartition('.')[2]}"
    if contract.kind == "patch" and not any(each.__globals__ is vars(holder) for each, _ in sources(path[-1])):
        yield f"{path[-1]} does not look {name} up in {owner}"
    if contract.kind == "override":
        yield from not_reached(contract, owner, path[-1] if path else "")


def not_reached(contract: Contract, owner: str, caller: str) -> Iterator[str]:
    """Why the library does not reach our override, or calls it with arguments that it does not accept."""
    name, theirs = contract.name, inspect.signature(getattr(found_at(owner), contract.name))
    kinds = [*studio().below(f"studio/{contract.file}", name, found_at(owner))]
    if not kinds:
        yield f"no class of studio/{contract.file} overrides {owner}.{name}"
    for kind in kinds:
        first = next(each for each in kind.__mro__ if name in vars(each))
        if not first.__module__.startswith("studio."):
            yield f"{kind.__name__} uses {name} of {first.__module__}.{first.__name__}, not ours"
            continue
        ours = inspect.signature(getattr(kind, name))
        variadic = any(each.kind in VARIADIC for each in ours.parameters.values())
        for each in theirs.parameters if contract.parameters and not variadic else ():
            if each not in ours.parameters:
                yield f"{kind.__name__}.{name} does not accept the parameter {each} of {owner}.{name}"
        for call in calls(caller, name) if caller else ():
            given = [None] * (len(call.args) + ("self" in ours.parameters))
            try:
                ours.bind(*given, **{str(each.arg): None for each in call.keywords})
            except TypeError as error:
                yield f"{kind.__name__}.{name} does not accept the call {ast.unparse(call)} in {caller}: {error}"


@cache
def distributions() -> dict[str, list[str]]:
    return dict(packages_distributions())


def library_of(contract: Contract) -> tuple[str, str]:
    """The package of a contract, and its installed version."""
    library = distributions()[contract.owners.partition(".")[0]][0]
    return library, version(library)


def message(contract: Contract, problems: list[str]) -> str:
    """Which library broke which file, and what to do."""
    library, installed = library_of(contract)
    file = f"studio/{contract.file}"
    lines = [
        f"{library} {installed} breaks {file}, which depends on {contract.name} ({contract.kind}).",
        f"Purpose: {contract.why}.",
        *(f"- {each}" for each in dict.fromkeys(problems)),
        f"Find what replaced it in the source of {library}. Change {file} and tests/unit/contracts.py.",
        f"Or require {library}<{installed} in pyproject.toml. constraints.txt has the last tested version.",
    ]
    return "\n".join(lines)


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda each: f"{each.file}-{each.name}-{each.kind}")
@pytest.mark.slow
def test_a_library_still_has_the_name_that_a_file_depends_on(contract: Contract) -> None:
    problems = [*broken(contract)]
    assert not problems, message(contract, problems)


@pytest.mark.parametrize(
    ("kind", "name", "change", "found"),
    [
        ("override", "_save_checkpoint", {"name": "_store_checkpoint"}, "Trainer has no _store_checkpoint"),
        ("override", "_save_checkpoint", {"path": "evaluate"}, "Trainer.evaluate does not use _save_checkpoint"),
        ("override", "_save", {"parameters": "folder"}, "(self, output_dir, state_dict), not (folder)"),
        ("override", "_save", {"file": "training/loop/run.py"}, "no class of studio/training/loop/run.py overrides"),
        ("attribute", "_trial_id", {"name": "_number_id"}, "optuna.trial.FrozenTrial has no _number_id"),
        ("patch", "_use_triton", {"owners": "trl.kernels.chunked_logprob"}, "does not look _use_triton up in trl."),
        ("text", "kl", {"name": "divergence"}, "trl.KTOTrainer._compute_loss does not use “divergence”"),
    ],
)
def test_a_change_in_a_library_is_reported(kind: str, name: str, change: dict[str, str], found: str) -> None:
    contract = next(each for each in CONTRACTS if (each.kind, each.name) == (kind, name))
    text = message(contract, [*broken(replace(contract, **change))])  # type: ignore[arg-type]
    assert found in text
    assert text.startswith(f"{' '.join(library_of(contract))} breaks studio/{contract.file}")


def test_every_private_name_and_override_of_a_library_has_a_contract() -> None:
    listed = {(f"studio/{each.file}", each.name) for each in CONTRACTS}
    missing = {f"{each.file}: {each.what}" for each in uses() if (each.file, each.name) not in listed}
    assert not missing, "Add these to tests/unit/contracts.py, or use a public name:\n" + "\n".join(sorted(missing))


def test_every_contract_is_needed_and_listed_once() -> None:
    found = {(each.file, each.name) for each in uses()}
    words = {file: studio().words(file) for file in studio().trees}
    unused = [
        each
        for each in CONTRACTS
        if each.name not in words.get(file := f"studio/{each.file}", ())
        or (is_private(each.name) and each.owners != "datasets.ClassLabel" and (file, each.name) not in found)
    ]
    assert not unused, "Remove these from tests/unit/contracts.py:\n" + "\n".join(map(str, unused))
    counts = Counter((each.file, each.kind, each.name) for each in CONTRACTS)
    assert max(counts.values()) == 1, counts.most_common(3)


def test_private_names_are_found_in_every_form(tmp_path: Any) -> None:
    (tmp_path / "studio").mkdir()
    (tmp_path / "studio" / "__init__.py").touch()
    (tmp_path / "studio" / "example.py").write_text(
        textwrap.dedent("""
        import json, os
        from collections import _chain
        from yaml import SafeLoader

        class Loader(SafeLoader):
            def compose_node(self, parent, index): ...
            def _own(self): self._own()

        def read(model, loader):
            model._private, getattr(model, "_by_name"), Loader(model)._own(), os._exit
            json.loads = read
    """)
    )
    example = Studio(tmp_path)
    assert {each.name for each in example.overrides()} == {"compose_node"}
    assert {each.name for each in example.foreign()} == {"_chain", "_private", "_by_name", "loads"}
