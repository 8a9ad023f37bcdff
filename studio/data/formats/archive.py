"""Checks of an archive before anything is unpacked: unpacked size, compression ratio, number of members."""

from pathlib import Path
from zipfile import BadZipFile, ZipFile, ZipInfo

from studio.data.limits import HARD, ReadLimits
from studio.schema.errors import StudioError

MOST_BYTES = 1 << 30
MOST_RATIO = 100
"""Maximum compression ratio, for archives that unpack to more than `FREE_BYTES`."""
FREE_BYTES = 50 << 20
MOST_MEMBERS = 20_000


def is_bomb(size: int, packed_size: int) -> bool:
    """Return whether a compression ratio is suspicious, as in a zip bomb."""
    return size > FREE_BYTES and size / max(1, packed_size) > MOST_RATIO


def members_of(path: Path, name: str, kind: str, hint: str, limits: ReadLimits = HARD) -> list[ZipInfo]:
    """Return the members of an archive. Raise `StudioError` if it is damaged, or too large when unpacked."""
    try:
        with ZipFile(path) as archive:
            members = archive.infolist()
    except (BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise StudioError("unreadable-file", f"{name} is damaged or not a {kind}.", hint=hint) from error
    size = sum(member.file_size for member in members)
    packed_size = max(1, path.stat().st_size)
    limits.check_decoded(name, size)
    if len(members) > MOST_MEMBERS or size > MOST_BYTES or is_bomb(size, packed_size):
        raise StudioError(
            "too-large",
            f"{name} would grow to {size / 1e6:,.0f} MB when unpacked.",
            given=f"{packed_size / 1e6:,.1f} MB, {len(members):,} parts",
            valid=f"at most {MOST_BYTES / 1e6:,.0f} MB and {MOST_RATIO} times its size, {MOST_MEMBERS:,} parts",
            hint="Save the rows as CSV or JSON Lines, and import that file.",
        )
    return members
