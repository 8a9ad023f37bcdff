"""Errors with messages: what happened, what was given, what is valid, and a hint.

`CODES` is the closed list. docs/reference/errors.md is made from it, and a test triggers each code.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from pydantic import ValidationError

T = TypeVar("T")

CODES: dict[str, str] = {
    "bad-setting": "A setting is out of range, has the wrong type, or does not go with another setting.",
    "unknown-setting": "There is no setting with this name.",
    "unknown-name": "There is no task, method, preset, model, dataset or format with this name.",
    "no-such-run": "There is no run with this id in this workspace.",
    "no-such-dataset": "There is no dataset with this id in this workspace.",
    "no-such-row": "The dataset has no row with this number.",
    "no-such-sample": "The studio has no sample data with this name.",
    "unreadable-file": "A file can't be read in the format that its name or content suggests.",
    "bad-line": "One or more lines of a file can't be read.",
    "unknown-format": "The studio does not read files of this kind.",
    "sheet-unclear": "A workbook has several sheets with rows. Choose one.",
    "empty-data": "The data has no rows.",
    "too-large": "A file is larger than the limit.",
    "columns-unclear": "The columns can't be matched to the roles that the task needs.",
    "too-few-rows": "There are too few usable rows, or too few labels, for training.",
    "too-many-labels": "A column has too many different values to be a label.",
    "no-network": "The Hub can't be reached from this machine.",
    "no-such-model": "No starter, folder or model on the Hub has this name.",
    "gated-model": "You must accept the model's terms on the Hub before you can download it.",
    "gated-dataset": "You must accept the dataset's terms on the Hub before you can download it.",
    "unsafe-model": "The model needs code from its repository or pickled weights. You have not allowed that.",
    "broken-model": "A model folder is incomplete. For example, its weights or its tokenizer are missing.",
    "wrong-model": "The model can't do the chosen task.",
    "method-unavailable": "The method can't be used with this model or on this machine.",
    "does-not-fit": "The run needs more memory than this machine has.",
    "disk-full": "There is not enough disk space.",
    "out-of-memory": "A process was stopped because it needed more memory than there is.",
    "wrong-state": "This is not possible in the run's current state.",
    "not-allowed": "This is not allowed here, for example in a public demo.",
    "limit-reached": "A limit of this public demo was reached. Runs, disk space, tokens and requests have limits.",
    "port-taken": "Another program uses this port.",
    "password-needed": "Others could open the studio without a password at this address.",
    "format-unavailable": "A run can't be exported in that format, or a model can't be converted yet.",
    "host-gone": "The model host, the process that loads models for chat, has stopped.",
    "damaged-database": "The studio's database was damaged and has been repaired. The damaged file is still there.",
    "busy-database": "Another program has locked the studio's database for too long.",
    "damaged-run": "A file of the run's folder is missing or can't be read.",
    "unexpected": "An unexpected error. The log has the details.",
    "training-failed": "Training failed with an error.",
}

LONGEST_GIVEN = 200
"""Maximum characters of a given value that a message repeats."""


@dataclass(eq=False, repr=False)
class StudioError(Exception):
    """An error with a message for people.

    `problems` has all errors when there is more than one; the error itself then has the first one's code and a text
    made of all.
    """

    code: str
    """One of `CODES`."""
    what: str
    """What can't be done."""
    _: KW_ONLY
    given: object = None
    valid: object = None
    """What is valid instead of `given`."""
    hint: str = ""
    """What to do next."""
    field: str = ""
    """Name of the setting."""
    rows: Sequence[int] = ()
    """Numbers of the rows, from 1."""
    problems: Sequence["StudioError"] = ()

    def __post_init__(self) -> None:
        if self.code not in CODES:
            raise ValueError(f"unknown error code {self.code!r}")
        if self.given is not None and len(given := str(self.given)) > LONGEST_GIVEN:
            self.given = f"{given[:LONGEST_GIVEN]} …"
        self.rows, self.problems = tuple(self.rows), tuple(self.problems)
        super().__init__(self.message)

    @property
    def message(self) -> str:
        """The whole error as plain text, a line for each problem."""
        if self.problems:
            return "\n".join(problem.message for problem in self.problems)
        parts = [self.what]
        if self.given is not None:
            parts.append(f"Given: {self.given}.")
        if self.valid is not None:
            valid = self.valid
            if not isinstance(valid, str) and isinstance(valid, Iterable):
                valid = ", ".join(str(value) for value in valid)
            parts.append(f"Expected: {valid}.")
        if self.hint:
            parts.append(self.hint)
        return " ".join(parts)

    def all(self) -> Sequence["StudioError"]:
        """All problems. Without any, the error itself."""
        return self.problems or (self,)

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON values, for another process or a file. `from_dict` reverses it."""
        return {
            "code": self.code,
            "what": self.what,
            "given": self.given if _is_plain(self.given) else str(self.given),
            "valid": _plain_valid(self.valid),
            "hint": self.hint,
            "field": self.field,
            "rows": [int(row) for row in self.rows],
            "problems": [problem.to_dict() for problem in self.problems],
        }

    @staticmethod
    def from_dict(fields: Mapping[str, Any]) -> "StudioError":
        """The error from the fields of `to_dict`. An unknown code becomes `unexpected`."""
        values = dict(fields)
        code, what = values.pop("code"), values.pop("what")
        problems = [StudioError.from_dict(each) for each in values.pop("problems", ())]
        return StudioError(code if code in CODES else "unexpected", what, **values, problems=problems)

    def with_texts(self, change: Callable[[str], str]) -> "StudioError":
        """A copy with `change` applied to each text for people, also in the problems."""

        def changed(value: Any) -> Any:
            if isinstance(value, list):
                return [changed(each) for each in value]
            return change(value) if isinstance(value, str) else value

        fields = self.to_dict()
        fields |= {name: changed(fields[name]) for name in ("what", "given", "valid", "hint")}
        return StudioError.from_dict(
            {**fields, "problems": [each.with_texts(change).to_dict() for each in self.problems]}
        )


def _is_plain(value: object) -> bool:
    """Whether JSON keeps a value as it is: a number, a text, None, or a list of these."""
    if isinstance(value, list):
        return all(_is_plain(each) and not isinstance(each, list) for each in value)
    return value is None or isinstance(value, str | int | float)


def _plain_valid(valid: object) -> Any:
    """The valid value, or a list for anything else that `StudioError.message` would list."""
    if _is_plain(valid):
        return valid
    return [each if _is_plain(each) else str(each) for each in valid] if isinstance(valid, Iterable) else str(valid)


def as_one(problems: Sequence[StudioError]) -> StudioError | None:
    """None without problems, the only problem, or one error with all."""
    if len(problems) < 2:
        return problems[0] if problems else None
    flat = [each for problem in problems for each in problem.all()]
    return StudioError(flat[0].code, flat[0].what, problems=flat)


def raise_all(problems: Sequence[StudioError]) -> None:
    """Raise the only problem, or one error with all. Without problems, do nothing."""
    if error := as_one(problems):
        raise error


def invalid_value(error: "ValidationError", sentence: str) -> StudioError:
    """The first problem that pydantic found. `{name}` in the sentence stands for the field's name."""
    first = error.errors()[0]
    name = str(first["loc"][0])
    message = sentence.format(name=name.replace("_", " "))
    return StudioError("bad-setting", message, given=first["input"], valid=first["msg"], field=name)


def bad_setting(field: str, what: str, given: object = None, valid: object = None, hint: str = "") -> StudioError:
    """The error for the value of one setting."""
    return StudioError("bad-setting", what, given=given, valid=valid, hint=hint, field=field)


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint `Did you mean …?` for a mistyped name, or an empty string."""
    import difflib

    close = difflib.get_close_matches(name, list(known), n=1)
    return f"Did you mean {close[0]}?" if close else ""


def named(registry: Mapping[str, T], name: str, what: str, *, field: str, code: str = "unknown-name") -> T:
    """The value of a registry with a name, or a `StudioError` that lists the names and suggests the nearest."""
    if name not in registry:
        raise StudioError(
            code, f"There is no {what} {name}.", valid=list(registry), hint=nearest(name, registry), field=field
        )
    return registry[name]
