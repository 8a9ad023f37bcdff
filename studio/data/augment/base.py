"""The interface of an augmentation method. A method changes the input text of a row and keeps its label or reply."""

import random
import re

_NUMBER = re.compile(r"\d+")


class Augmenter:
    """One augmentation method."""

    name: str
    title: str
    sentence: str
    needs_model = False
    """A model writes the texts. If false, `augment` makes them directly."""

    def augment(self, text: str, chance: random.Random) -> str:
        """Return another text with the same meaning, or "" if none can be made. For methods that need no model."""
        return ""

    def prompt(self, text: str) -> str:
        """Return the prompt for the model, or "" if the text is unsuitable. For methods that need a model."""
        return ""

    def parse_reply(self, reply: str, text: str) -> str:
        """Return the new text in a model's reply, or "" if the reply is not a usable variant of `text`."""
        return ""


def same_numbers(one: str, other: str) -> bool:
    """Return whether two texts contain the same numbers. A changed number changes the meaning."""
    return sorted(_NUMBER.findall(one)) == sorted(_NUMBER.findall(other))
