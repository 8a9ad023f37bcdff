"""Known vulnerabilities of the packages that are installed, by pip-audit and PyPI's database.

python scripts/audit.py    status 1: a package has a known vulnerability; 2: a package could not be looked up

pip-audit is installed into an environment of its own (build/audit), since the studio does not need it.
"""

import json
import subprocess
import sys
import venv
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / "build" / "audit"
OWN = "finetune-studio"


def main() -> int:
    """Install pip-audit where it is missing, run it, and print what it found."""
    program = ENVIRONMENT / "bin" / "pip-audit"
    if not program.exists():
        venv.create(ENVIRONMENT, with_pip=True, clear=True)
        subprocess.run([ENVIRONMENT / "bin" / "pip", "install", "--quiet", "pip-audit>=2.10"], check=True)
    listed = ENVIRONMENT / "installed.txt"
    listed.write_text(installed())
    command = [
        program,
        "--requirement",
        listed,
        "--no-deps",
        "--disable-pip",
        "--format",
        "json",
        "--progress-spinner",
        "off",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    try:
        report = json.loads(done.stdout)
    except ValueError:
        print(done.stderr, file=sys.stderr)
        return 2
    words, status = verdict(report)
    print(words)
    return status


def installed() -> str:
    """What is installed here, as requirements. A build of torch is known by its public version."""
    found = {each.metadata["Name"].lower(): each.version.partition("+")[0] for each in distributions()}
    return "".join(f"{name}=={version}\n" for name, version in sorted(found.items()) if name != OWN)


def verdict(report: dict[str, Any]) -> tuple[str, int]:
    """What a report of pip-audit says, and the status to end with. A package that was skipped is not audited."""
    packages = report["dependencies"]
    skipped = [each["name"] for each in packages if "skip_reason" in each]
    lines = [
        f"{each['name']} {each['version']}: {bug['id']} ({', '.join(bug['aliases'])}), "
        f"fixed in {', '.join(bug['fix_versions']) or 'no version yet'}"
        for each in packages
        for bug in each.get("vulns", ())
    ]
    if skipped:
        few = ", ".join(skipped[:10]) + (" …" if len(skipped) > 10 else "")
        lines.append(f"{len(skipped)} of {len(packages)} packages could not be looked up: {few}")
        lines.append("PyPI's JSON API (https://pypi.org/pypi/NAME/VERSION/json) must be reachable.")
    vulnerable = sum(bool(each.get("vulns")) for each in packages)
    lines.append(f"{len(packages) - len(skipped)} packages audited, {vulnerable} with known vulnerabilities.")
    return "\n".join(lines), 1 if vulnerable else 2 if skipped else 0


if __name__ == "__main__":
    sys.exit(main())
