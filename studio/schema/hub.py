"""Uploads of exports to the Hub: what would be uploaded, the license, and what came of it."""

from typing import Literal

from studio.schema.base import FrozenModel

LicenseVerdict = Literal["free", "conditions", "forbidden", "unknown"]
PushStatus = Literal["interrupted", "done"]


class PushFile(FrozenModel):
    """A file of an export."""

    path: str
    """Its path in the export's folder, with slashes."""
    bytes: int
    """Its size in bytes."""


class LicenseCheck(FrozenModel):
    """What the license of the base model says about sharing a model that was made from it."""

    verdict: LicenseVerdict
    """`free`, `conditions` (shared with conditions), `forbidden` (no changed copies), or `unknown`."""
    license: str
    """The license as the base model names it. Empty if it names none."""
    sentence: str
    """What that means, in a sentence."""

    @property
    def needs_confirmation(self) -> bool:
        """Whether a person must confirm that they may share the model."""
        return self.verdict in ("forbidden", "unknown")


class PushRequest(FrozenModel):
    """An upload of one export to one repository."""

    repo: str
    """OWNER/NAME."""
    private: bool = True
    """Only the owner and people whom the owner allows can see it."""
    license_confirmed: bool = False
    """A person has confirmed that they may share the model, where the license does not say so."""


class PushState(FrozenModel):
    """The last upload of an export, as it is saved beside the export."""

    repo: str
    """OWNER/NAME."""
    private: bool
    """Whether the repository is private."""
    status: PushStatus
    """`interrupted` from the beginning of the upload on, `done` once the Hub has all files."""
    url: str = ""
    """Its page on the Hub. Empty until it is done."""
    commit: str = ""
    """The commit on the Hub. Empty until it is done."""
    files: int = 0
    """Number of files."""
    bytes: int = 0
    """Size of all files in bytes."""


class PushView(FrozenModel):
    """What a person sees before and after an upload."""

    format: str
    """Name of the export format."""
    files: tuple[PushFile, ...]
    """All files that would be uploaded."""
    bytes: int
    """Size of all files in bytes."""
    license: LicenseCheck
    """Whether the model may be shared."""
    suggested_name: str
    """A name for the repository, without its owner."""
    has_token: bool
    """Whether a Hub token is saved."""
    state: PushState | None = None
    """The last upload of this export."""
