"""What a way to make rows must say. Only what is asked is changed, never what is expected: a label stays a label."""

import random
import re
from typing import Protocol

_NUMBER = re.compile(r"\d+")


class Way(Protocol):
    """One way."""

    name: str
    title: str
    sentence: str
    needs_model: bool
    """The texts are written by a model; else they are made at once."""

    def made(self, text: str, chance: random.Random) -> str:
        """Another text of the same meaning; empty where none can be made. For ways that need no model."""
        ...

    def prompt(self, text: str) -> str:
        """What the model is asked, for ways that need one."""
        ...

    def read(self, reply: str, text: str) -> str:
        """The text in a model's reply; empty where it is no honest one."""
        ...


def same_numbers(one: str, other: str) -> bool:
    """Whether two texts hold the same numbers: a changed one changes the meaning."""
    return sorted(_NUMBER.findall(one)) == sorted(_NUMBER.findall(other))
