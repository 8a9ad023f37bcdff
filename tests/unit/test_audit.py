"""scripts/audit.py: what a report of pip-audit means."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
import audit

FINE = {"name": "anyio", "version": "4.16.0", "vulns": []}
BUG = {"id": "PYSEC-2026-1", "aliases": ["CVE-2026-1"], "fix_versions": ["2.0"], "description": ""}


def test_an_audit_passes_when_every_package_was_looked_up_and_is_clean() -> None:
    assert audit.verdict({"dependencies": [FINE]})[1] == 0


def test_an_audit_that_could_not_look_a_package_up_does_not_pass() -> None:
    words, status = audit.verdict({"dependencies": [FINE, {"name": "torch", "skip_reason": "not found on PyPI"}]})
    assert status == 2 and "1 of 2 packages could not be looked up: torch" in words


def test_a_vulnerable_package_is_named_with_the_version_that_fixes_it() -> None:
    words, status = audit.verdict({"dependencies": [{**FINE, "vulns": [BUG]}]})
    assert status == 1 and "anyio 4.16.0: PYSEC-2026-1 (CVE-2026-1), fixed in 2.0" in words


def test_torch_is_looked_up_by_its_public_version() -> None:
    lines = audit.installed().splitlines()
    assert any(line.startswith("torch==") for line in lines) and not any("+" in line for line in lines)
