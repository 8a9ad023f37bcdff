"""Archives are sized before anything in them is unpacked: how large they would grow, how often, into how many parts."""

from pathlib import Path
from zipfile import BadZipFile, ZipFile, ZipInfo

from studio.data.limits import HARD, ReadLimits
from studio.schema.errors import StudioError

MOST_BYTES = 1 << 30
MOST_RATIO = 100
"""Times that an archive may grow when unpacked, beyond its first `FREE_BYTES`."""
FREE_BYTES = 50 << 20
MOST_MEMBERS = 20_000


def swells(size: int, packed: int) -> bool:
    """Whether something grows beyond measure when it is unpacked."""
    return size > FREE_BYTES and size / max(1, packed) > MOST_RATIO


def members_of(path: Path, name: str, kind: str, hint: str, limits: ReadLimits = HARD) -> list[ZipInfo]:
    """The members of an archive that is of a sound size; else a `StudioError`, before any of it is unpacked."""
    try:
        with ZipFile(path) as archive:
            members = archive.infolist()
    except (BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise StudioError("unreadable-file", f"{name} is not a whole {kind}.", hint=hint) from error
    size = sum(member.file_size for member in members)
    packed = max(1, path.stat().st_size)
    limits.check_decoded(name, size)
    if len(members) > MOST_MEMBERS or size > MOST_BYTES or swells(size, packed):
        raise StudioError(
            "too-large",
            f"{name} would grow to {size / 1e6:,.0f} MB when unpacked.",
            given=f"{packed / 1e6:,.1f} MB, {len(members):,} parts",
            valid=f"at most {MOST_BYTES / 1e6:,.0f} MB and {MOST_RATIO} times its size, {MOST_MEMBERS:,} parts",
            hint="Bring the rows as CSV or JSON Lines.",
        )
    return members
