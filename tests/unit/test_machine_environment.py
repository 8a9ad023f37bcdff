"""Secrets in environment variables: which names hold one, and what a visitor's process inherits."""

import subprocess
import sys
from pathlib import Path

import pytest

from studio.machine.environment import child_environment, is_secret, remove_secrets

ROOT = Path(__file__).parents[2]
SECRETS = (
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "HUGGINGFACEHUB_API_TOKEN",
    "HF_TOKEN_PATH",
    "WANDB_API_KEY",
    "OPENAI_API_KEY",
    "GITHUB_TOKEN",
    "OAUTH_CLIENT_SECRET",
    "OAUTH_CLIENT_ID",
    "AWS_ACCESS_KEY_ID",
    "AWS_PROFILE",
    "STUDIO_PASSWORD",
    "STUDIO_PASSWORD_FILE",
    "PGPASSWORD",
    "MYSQL_PASSWORD",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "SECRET_KEY",
    "TOKEN",
    "openai_api_key",
    "SSH_AUTH_SOCK",
    "SLACK_WEBHOOK_URL",
    "COMET_APIKEY",
)
OTHERS = (
    "PATH",
    "HOME",
    "TOKENIZERS_PARALLELISM",
    "HF_HOME",
    "HF_HUB_OFFLINE",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN",
    "STUDIO_HOME",
    "CUDA_VISIBLE_DEVICES",
    "OMP_NUM_THREADS",
    "PYTHONPATH",
    "TMPDIR",
    "KEYBOARD",
    "SPACE_ID",
    "LANG",
    "STUDIO_CACHE",
)


@pytest.mark.parametrize("name", SECRETS)
def test_a_variable_with_a_secret_is_recognized_by_its_name(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize("name", OTHERS)
def test_other_variables_are_kept(name: str) -> None:
    assert not is_secret(name)


def test_removing_secrets_leaves_the_rest() -> None:
    environment = {**dict.fromkeys(SECRETS, "a secret"), **dict.fromkeys(OTHERS, "1")}
    assert sorted(remove_secrets(environment)) == sorted(SECRETS)
    assert environment == dict.fromkeys(OTHERS, "1")


def test_a_process_for_a_visitor_inherits_no_secret_and_can_not_ask_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_private")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "aws_private")
    command = [sys.executable, "-c", "import os, json; print(json.dumps(dict(os.environ)))"]
    owners, visitors = (
        subprocess.run(command, env=child_environment(visitors=each), capture_output=True, text=True, check=True).stdout
        for each in (False, True)
    )
    assert "hf_private" in owners and "aws_private" in owners
    assert "private" not in visitors
    assert '"HF_HUB_OFFLINE": "1"' in visitors and '"HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"' in visitors


def test_a_removed_secret_is_not_left_in_the_environment_that_the_system_shows() -> None:
    code = (
        "import os; from studio.machine.environment import remove_secrets; print(remove_secrets(os.environ)); "
        "print(open('/proc/self/environ').read().replace(chr(0), ' '))"
    )
    environment = {"PATH": "/usr/bin", "HF_TOKEN": "hf_planted", "PYTHONPATH": str(ROOT), "LAST": "is kept"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert "HF_TOKEN" in done.stdout and "hf_planted" not in done.stdout and "LAST=is kept" in done.stdout
