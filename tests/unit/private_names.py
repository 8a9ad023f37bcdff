"""Finds where studio/ overrides a method of a library, or uses a private name of an object that is not its own."""

import ast
import importlib
import inspect
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BY_NAME = {"getattr", "setattr", "hasattr", "delattr"}
DOCUMENTED = {"os._exit", "sys._getframe"}
"""Functions of Python that are public in spite of their names."""


@dataclass
class Class:
    """A class of studio/."""

    file: str
    name: str
    bases: list[str]
    methods: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    """Methods, attributes of the class, and what is assigned to `self`."""


@dataclass(frozen=True)
class Use:
    """A place where studio/ depends on a name of a library."""

    file: str
    name: str
    what: str


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__") and name.strip("_") != ""


def found_at(dotted: str) -> Any:
    """The module, class or function of a dotted name. Raises AttributeError or ImportError when it is gone."""
    parts = dotted.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for name in parts[count:]:
            found = getattr(found, name)
        return found
    raise ModuleNotFoundError(dotted)


def class_facts(node: ast.ClassDef) -> tuple[set[str], set[str]]:
    """Methods of a class, and all names that it or its `self` has."""
    methods = {each.name for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}
    names = set(methods)
    for each in node.body:
        targets = each.targets if isinstance(each, ast.Assign) else [getattr(each, "target", None)]
        names |= {target.id for target in targets if isinstance(target, ast.Name)}
    for inner in ast.walk(node):
        if isinstance(inner, ast.Attribute) and isinstance(inner.ctx, ast.Store) and is_self(inner.value):
            names.add(inner.attr)
    return methods, names


def is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


@cache
def tree_of(kind: type) -> ast.ClassDef | None:
    """The source of a class; None where it is not written in Python."""
    try:
        body = parsed(kind.__module__).body
    except (OSError, TypeError):
        return None
    return next((each for each in body if isinstance(each, ast.ClassDef) and each.name == kind.__name__), None)


@cache
def parsed(module: str) -> ast.Module:
    return ast.parse(inspect.getsource(sys.modules[module]))


@cache
def members(kind: type) -> set[str]:
    """All names that objects of a library's class have, as far as its source tells."""
    trees = (tree_of(each) for each in kind.__mro__ if each is not object)
    return {*dir(kind), *(name for tree in trees if tree for name in class_facts(tree)[1])}


def is_stdlib(kind: type) -> bool:
    return kind.__module__.partition(".")[0] in sys.stdlib_module_names


class Studio:
    """The classes, imports and private names of studio/."""

    def __init__(self, root: Path = ROOT) -> None:
        self.trees = {
            path.relative_to(root).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
            for path in sorted((root / "studio").rglob("*.py"))
        }
        self.modules = {
            file: file.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for file in self.trees
        }
        self.files = {module: file for file, module in self.modules.items()}
        self._nodes = {file: [*self._walk(tree, "")] for file, tree in self.trees.items()}
        self.imports = {file: self._imports_of(file) for file in self.trees}
        self.classes: dict[str, Class] = {}
        self._bases: dict[str, list[type]] = {}
        for file, nodes in self._nodes.items():
            for node in (node for node, _ in nodes if isinstance(node, ast.ClassDef)):
                bases = [self._dotted(file, base) for base in node.bases]
                self.classes[f"{self.modules[file]}.{node.name}"] = Class(file, node.name, bases, *class_facts(node))

    def _imports_of(self, file: str) -> dict[str, str]:
        """A local name → the dotted name of what was imported."""
        found = {}
        for node, _ in self._nodes[file]:
            if isinstance(node, ast.Import):
                for each in node.names:
                    first = each.name.partition(".")[0]
                    found[each.asname or first] = each.name if each.asname else first
            elif isinstance(node, ast.ImportFrom) and node.module:
                found |= {each.asname or each.name: f"{node.module}.{each.name}" for each in node.names}
        return found

    def _dotted(self, file: str, node: ast.expr) -> str:
        """The dotted name of an expression, with imports followed; empty for any other expression."""
        if isinstance(node, ast.Subscript):
            return self._dotted(file, node.value)
        if isinstance(node, ast.Attribute):
            above = self._dotted(file, node.value)
            return above and f"{above}.{node.attr}"
        if not isinstance(node, ast.Name):
            return ""
        return self._followed(self.imports[file].get(node.id, f"{self.modules[file]}.{node.id}"))

    def _followed(self, dotted: str) -> str:
        """Where a name of studio/ is defined, when a package passes it on."""
        module, _, name = dotted.rpartition(".")
        file = self.files.get(module)
        further = self.imports[file].get(name) if file else None
        return self._followed(further) if further and further != dotted else dotted

    def ancestors(self, dotted: str) -> Iterator[str]:
        """A class, and all classes above it, those of libraries included."""
        yield dotted
        for base in self.classes[dotted].bases if dotted in self.classes else ():
            yield from self.ancestors(base)

    @cached_property
    def families(self) -> dict[str, set[str]]:
        """Class → itself, the classes above it, and those that it is mixed with in a class below."""
        found: dict[str, set[str]] = defaultdict(set)
        for dotted in self.classes:
            above = set(self.ancestors(dotted))
            for each in above:
                found[each] |= above
        return found

    def bases(self, dotted: str) -> list[type]:
        """The library classes that a class of ours inherits from, or is mixed with."""
        if dotted in self._bases:
            return self._bases[dotted]
        outside = {each for each in self.families[dotted] if each not in self.classes}
        kinds = [found_at(each) for each in sorted(outside) if each and not each.startswith("studio.")]
        self._bases[dotted] = [each for each in kinds if isinstance(each, type)]
        return self._bases[dotted]

    def below(self, file: str, name: str, base: type) -> Iterator[type]:
        """Our classes that inherit from a library's class, and from a class of a file that defines a name."""
        above = {dotted for dotted, each in self.classes.items() if each.file == file and name in each.names}
        for dotted in self.classes:
            if above & set(self.ancestors(dotted)) and issubclass(found := found_at(dotted), base):
                yield found

    def own(self, dotted: str) -> set[str]:
        """Names that the classes of studio/ in a family define."""
        return set().union(*(self.classes[each].names for each in self.families[dotted] if each in self.classes))

    def overrides(self) -> Iterator[Use]:
        """Private names of ours that a library has too, and methods that replace a library's."""
        for dotted, kind in self.classes.items():
            for base in self.bases(dotted):
                private = {each for each in kind.names if is_private(each)} & members(base)
                public = {each for each in kind.methods if not each.startswith("_") and hasattr(base, each)}
                for name in private | (set() if is_stdlib(base) else public):
                    yield Use(kind.file, name, f"{kind.name}.{name} overrides {base.__module__}.{base.__name__}")

    def foreign(self) -> Iterator[Use]:
        """Private names of objects that are not ours, private imports, and what is replaced in a library's module."""
        for file, tree in self.trees.items():
            own = {name for kind in self.classes.values() if kind.file == file for name in kind.names}
            own |= {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
            for node, within in self._nodes[file]:
                for name in self._names_in(file, node, f"{self.modules[file]}.{within}" if within else "", own):
                    yield Use(file, name, f"line {node.lineno}, {ast.unparse(node)}")

    def _walk(self, node: ast.AST, within: str) -> Iterator[tuple[Any, str]]:
        """All nodes, each with the name of the class that it is in."""
        for child in ast.iter_child_nodes(node):
            yield child, within
            yield from self._walk(child, child.name if isinstance(child, ast.ClassDef) else within)

    def _names_in(self, file: str, node: ast.AST, within: str, own: set[str]) -> Iterator[str]:
        """The names in a node that are private and not ours, or that it replaces in a library's module."""
        match node:
            case ast.Attribute():
                if self._is_patch(file, node) or (is_private(node.attr) and self._is_foreign(file, node, within, own)):
                    yield node.attr
            case ast.Call(func=ast.Name(id=function), args=[whose, ast.Constant(value=str(name)), *_]):
                if function in BY_NAME and is_private(name) and not is_self(whose):
                    yield name
            case ast.ImportFrom(module=str(module), level=0, names=names):
                if module.partition(".")[0] not in ("studio", "__future__"):
                    yield from filter(is_private, [*module.split("."), *(each.name for each in names)])
            case ast.Import(names=names):
                yield from filter(is_private, (part for each in names for part in each.name.split(".")))

    def _is_patch(self, file: str, node: ast.Attribute) -> bool:
        """Whether it assigns to what was imported from a library."""
        imported = isinstance(node.value, ast.Name) and self.imports[file].get(node.value.id, "studio.")
        return isinstance(node.ctx, ast.Store | ast.Del) and bool(imported) and not str(imported).startswith("studio")

    def _is_foreign(self, file: str, node: ast.Attribute, within: str, own: set[str]) -> bool:
        """Whether a private attribute is of an object that is not ours."""
        if within and (is_self(node.value) or ast.unparse(node.value) == "super()"):
            return bool(self.bases(within)) and node.attr not in self.own(within)
        return node.attr not in own and self._dotted(file, node) not in DOCUMENTED

    def words(self, file: str) -> set[str]:
        """All names and texts in a file."""
        found: set[str] = set()
        for node, _ in self._nodes[file]:
            found |= {each for each in vars(node).values() if isinstance(each, str)}
        return found
