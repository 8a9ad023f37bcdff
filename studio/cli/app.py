"""All commands, in the order of the help."""

import inspect
from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from studio.cli import (
    augmentation,
    coach,
    curves,
    data,
    datasets,
    estimate,
    hub,
    import_config,
    label,
    machine,
    models,
    preview,
    projects,
    queue,
    rerun,
    run_management,
    run_outputs,
    runs,
    search,
    serve,
    serve_api,
    train,
)
from studio.cli.context import Home, Place, Project, add_command

Commands = dict[str, Callable[..., None]]
COMMANDS: dict[str, Commands] = {
    "The page": {"serve": serve.serve, "hash-password": serve.hash_password},
    "Base models": {
        "models": models.models,
        "download": models.download,
        "token": models.token,
        "trust": models.trust,
    },
    "Before a run": {
        "check": data.check,
        "preview": preview.preview,
        "learning-curve": augmentation.learning_curve,
        "augment": augmentation.augment,
        "estimate": estimate.estimate,
        "import-config": import_config.import_config,
        "search": search.search,
    },
    "Runs": {
        "train": train.train,
        "resume": train.resume,
        "repeat": rerun.repeat,
        "extend": rerun.extend,
        "runs": runs.runs,
        "show": runs.show,
        "log": runs.log,
        "stop": runs.stop,
        "combine": runs.combine,
        "delete": runs.delete,
        "queue": queue.queue,
        "pause": queue.pause,
        "note": run_management.note,
        "export-run": run_management.export_run,
        "import-run": run_management.import_run,
        "import-adapter": import_config.import_adapter,
        "storage": run_management.storage,
        "coach": coach.coach,
        "curve": curves.curve,
        "compare": curves.compare,
    },
    "The result": {
        "chat": run_outputs.chat,
        "predict": run_outputs.predict,
        "evaluate": run_outputs.evaluate,
        "export": run_outputs.export,
        "push": hub.push,
        "serve-api": serve_api.serve_api,
        "space": hub.space,
    },
    "This machine": {"doctor": machine.doctor},
}
"""Panel of the help → its commands."""
OF_ALL_PROJECTS = frozenset({"The page", "Base models", "This machine"})
"""Panels whose commands do not depend on a project."""
DATA_COMMANDS: Commands = {
    "add": datasets.add,
    "list": datasets.list_,
    "read": datasets.read,
    "rename": datasets.rename,
    "duplicate": datasets.duplicate,
    "export": datasets.export,
    "delete": datasets.delete,
    "versions": datasets.versions,
    "compare": datasets.compare,
    "back": datasets.back,
    "fix": datasets.fix,
    "edit": datasets.edit,
    "split": datasets.split,
}
LABEL_COMMANDS: Commands = {
    "show": label.show,
    "list": label.list_rows,
    "put": label.put,
    "undo": label.undo,
    "as": label.work_as,
    "names": label.names,
    "add": label.add,
    "rename": label.rename,
    "merge": label.merge,
    "remove": label.remove,
    "suggest": label.suggest,
    "predict": label.predict,
    "agreement": label.agreement,
    "use": label.use,
    "export": label.export,
    "import": label.import_labels,
}
LABEL_HELP = "Label rows, write replies, compare replies; names, agreement, suggestions, import and export."
PROJECT_COMMANDS: Commands = {
    "list": projects.list_,
    "new": projects.new,
    "rename": projects.rename,
    "export": projects.export,
    "import": projects.import_,
    "delete": projects.delete,
    "restore": projects.restore,
}
PROJECT_HELP = "Projects: each groups datasets, runs and labels. Export one to a file, and import it elsewhere."
GROUPS = ("data", "label", "project")
"""Commands that have commands of their own."""
INTERRUPTED = 130
"""The status that typer returns for Ctrl-C."""


def is_command(word: str) -> bool:
    """Whether a word is a command, or the name of a group of commands."""
    return word in GROUPS or any(word in commands for commands in COMMANDS.values())


def takes_settings(command: str) -> bool:
    """Whether a command has a flag for each setting."""
    functions = {name: function for commands in COMMANDS.values() for name, function in commands.items()}
    return command in functions and "settings" in inspect.signature(functions[command]).parameters


def build() -> typer.Typer:
    """The application with every command."""
    app = typer.Typer(
        name="studio",
        help="Fine-tune a language model on your own data. Without a command, open the studio in the browser.",
        add_completion=False,
        no_args_is_help=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
    )

    @app.callback(invoke_without_command=True)
    def studio(
        ctx: typer.Context,
        home: Home = None,
        project: Project = None,
        version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    ) -> None:
        ctx.obj = Place(home, project)
        if version:
            from studio import __version__

            typer.echo(__version__)
            raise typer.Exit
        if ctx.invoked_subcommand is None:
            serve.open_studio(home)

    data_group, label_group = typer.Typer(name="data"), typer.Typer(name="label", help=LABEL_HELP)
    project_group = typer.Typer(name="project", help=PROJECT_HELP)
    data_group.callback(invoke_without_command=True)(datasets.data)
    for group, commands, panel in (
        (data_group, DATA_COMMANDS, ""),
        (label_group, LABEL_COMMANDS, "Labeling"),
        (project_group, PROJECT_COMMANDS, ""),
    ):
        app.add_typer(group, rich_help_panel="Before a run")
        for name, function in commands.items():
            add_command(group, name, panel, function, offers_project=group is not project_group)
    for panel, commands in COMMANDS.items():
        for name, function in commands.items():
            offers_project = panel not in OF_ALL_PROJECTS
            add_command(app, name, panel, function, function is not serve.serve, offers_project)
    return app


def entry() -> Callable[[Sequence[str]], int]:
    """The whole command line as a function of its arguments. It returns a status or raises, also KeyboardInterrupt."""
    command = typer.main.get_command(build())

    def run(arguments: Sequence[str]) -> int:
        status = int(command.main(args=list(arguments), prog_name="studio", standalone_mode=False) or 0)
        if status == INTERRUPTED:
            raise KeyboardInterrupt
        return status

    return run
