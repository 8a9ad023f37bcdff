"""The sample datasets that the studio includes: purpose, file and test prompts."""

from dataclasses import dataclass
from pathlib import Path

import studio
from studio.schema.errors import StudioError, named


@dataclass(frozen=True)
class Sample:
    """One sample dataset."""

    name: str
    title: str
    task: str
    file: str
    sentence: str
    prompts: tuple[str, str, str]
    """Three test prompts that are not in the rows. For chat, one of them is off topic."""


SAMPLES: dict[str, Sample] = {
    sample.name: sample
    for sample in (
        Sample(
            "support-tone",
            "Support in a house style",
            "chat",
            "support-tone.csv",
            "Questions to a shop's support, answered in one clear tone.",
            (
                "My kettle arrived with a dent in the lid. What now?",
                "Can I pay in three instalments?",
                "What is the capital of France?",
            ),
        ),
        Sample(
            "intent-routing",
            "What a message wants",
            "classification",
            "intent-routing.csv",
            "Short messages from customers, each labeled with its topic.",
            (
                "the parcel says delivered but nothing is here",
                "please take my old card off the account",
                "do you have this jacket in green?",
            ),
        ),
        Sample(
            "review-mood",
            "The mood of a review",
            "classification",
            "review-mood.csv",
            "Product reviews, each labeled with its mood.",
            (
                "It does what it says, nothing more.",
                "Broke on the second day and nobody answers my mails.",
                "Best purchase of the year, my mother wants one too.",
            ),
        ),
        Sample(
            "call-notes",
            "Calls in one line",
            "chat",
            "call-notes.csv",
            "Notes of phone calls with an instruction, and the short summary to write.",
            (
                "Condense this for the handover.\n\nSpoke with Mrs Adeyemi, order is late, she needs it before "
                "Friday. Offered express at no cost, she agreed. Courier comes tomorrow 9am. I check on Thursday.",
                "Condense this for the handover.\n\nMr Lund wants the subscription in his wife's name. We need both "
                "signatures, form sent by e-mail. He asks whether the discount stays. Not sure, billing must say.",
                "What is the capital of France?",
            ),
        ),
    )
}


def sample_named(name: str) -> Sample:
    """Return the sample with this name. Raise `StudioError` with the nearest name if there is none."""
    return named(SAMPLES, name, "sample data", field="data", code="no-such-sample")


def sample_path(name: str) -> Path:
    """Return the path of the sample's file, in the installed package or in the checkout."""
    sample = sample_named(name)
    package = Path(studio.__file__).parent
    for folder in (package / "assets", package.parent / "assets"):
        path = folder / "samples" / sample.file
        if path.is_file():
            return path
    raise StudioError(
        "no-such-sample",
        f"The file of the sample data {name} is missing.",
        hint="Install the studio again.",
        field="data",
    )
