"""S7: the chat template of a foreign model keeps the model host busy."""

import json
import shutil
import time
from pathlib import Path

import psutil

from studio.models.starters.install import fetch_starter
from tests.security.attack import Outcome, attack, outcome
from tests.security.stage import Stage, Visitor, processes_of, time_call

LOOPS = "{% for a in range(99999) %}" * 3 + "{% endfor %}" * 3
LONG = "{% for m in messages %}{{ m['content'] * 10 }}{% endfor %}"
TEMPLATES = [
    ("nested loops", LOOPS),
    (
        "a string that doubles without end",
        "{% set n = namespace(s='a') %}{% for i in range(64) %}{% set n.s = n.s ~ n.s %}{% endfor %}{{ n.s }}",
    ),
    ("a power of large numbers", "{{ 9 ** 9 ** 9 ** 9 }}"),
    ("a macro that calls itself", "{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}"),
    ("a multiplied string", "{{ 'a' * 9999999999 }}"),
    ("a format of ten billion spaces", "{{ '%9999999999d' % 1 }}"),
    ("a sum of a billion numbers", "{% for a in range(99999) %}{{ range(99999) | sum }}{% endfor %}"),
    ("a join of a huge list", "{% for a in range(99999) %}{{ range(99999) | join('x') | length }}{% endfor %}"),
    ("attributes of Python", "{{ ''.__class__.__mro__[1].__subclasses__() }}"),
    ("the globals of a function", "{{ cycler.__init__.__globals__.os.popen('id').read() }}"),
    ("the builtins by a filter", "{{ (messages | attr('__class__')).__base__.__subclasses__() }}"),
    ("an include of a file", "{% include '/etc/passwd' %}"),
    ("an import", "{% import 'os' as os %}{{ os.system('id') }}"),
    ("a format with attributes", "{{ '{0.__class__.__init__.__globals__}'.format(cycler) }}"),
    ("an error of its own", "{{ raise_exception('<script>alert(1)</script>' * 1000) }}"),
    ("a syntax error", "{% for %}"),
]


def with_template(stage: Stage, name: str, template: str) -> Path:
    """The starter model with another chat template."""
    folder = stage.folder / f"template-{abs(hash(name))}"
    if not folder.exists():
        shutil.copytree(fetch_starter("starter-chat"), folder)
        config = json.loads((folder / "tokenizer_config.json").read_text())
        (folder / "tokenizer_config.json").write_text(json.dumps({**config, "chat_template": template}))
        (folder / "chat_template.jinja").write_text(template)
    return folder


def asked(owner: Visitor, folder: Path) -> str:
    """What the model sees of a row, which renders the template."""
    owner.patience = 45
    owner.acted("model-body", "task", value="chat")
    owner.acted("model-body", "folder", value=str(folder))
    owner.bring()
    owner.acted("data-body", "view", value="tokens")
    return owner.acted("data-body", "count") + owner.acted("data-body", "row", row="1")


def busy(stage: Stage, seconds: float = 3) -> float:
    """Cores that the processes of a studio use."""
    people = [each for each in processes_of(stage.alone) if each.is_running()]

    def spent() -> float:
        total = 0.0
        for each in people:
            try:
                times = each.cpu_times()
                total += times.user + times.system
            except psutil.Error:
                continue
        return total

    before = spent()
    time.sleep(seconds)
    return (spent() - before) / seconds


@attack("S7", "A chat template with {0} keeps the model host busy, or runs code", TEMPLATES, quick=1)
def renders(stage: Stage, payload: tuple[str, str]) -> Outcome:
    owner = stage.owner()
    folder = with_template(stage, *payload)
    spent, shown = time_call(lambda: asked(owner, folder))
    cores = busy(stage)
    memory = sum(each.memory_info().rss for each in processes_of(stage.alone) if each.is_running()) // 10**6
    ran = "uid=" in str(shown) or "root:x:" in str(shown) or "<class 'os" in str(shown) or "<script>alert" in str(shown)
    bad = ran or cores > 0.6 or spent > 40 or memory > 4_000
    return outcome(
        bad,
        f"answered after {spent:.0f} s, then {cores:.1f} cores busy, {memory} MB; code ran: {ran}; {str(shown)[-200:]}",
    )


@attack("S7", "A hostile template is rendered again at each look")
def renders_again(stage: Stage) -> Outcome:
    owner = stage.owner()
    folder = with_template(stage, "nested loops", LOOPS)
    first, _ = time_call(lambda: asked(owner, folder))
    again, _ = time_call(lambda: owner.acted("data-body", "count"))
    return outcome(again > 5, f"{first:.0f} s, and again {again:.0f} s")
