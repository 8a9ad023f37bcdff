"""The registry of tabs, in their order on the page."""

from studio.machine.plugins import Registry
from studio.ui.tabs import chat, evaluate, export, train
from studio.ui.tabs.base import Tab
from studio.ui.tabs.data import tab as data
from studio.ui.tabs.method import tab as method
from studio.ui.tabs.model import tab as model
from studio.ui.tabs.runs import tab as runs

TABS: Registry[Tab] = Registry(
    "tabs",
    (
        Tab("model", "1 Model", model.build, model.wire),
        Tab("data", "2 Data", data.build, data.wire),
        Tab("method", "3 Method", method.build, method.wire),
        Tab("train", "4 Train", train.build, train.wire),
        Tab("evaluate", "5 Evaluate", evaluate.build, evaluate.wire),
        Tab("chat", "6 Chat", chat.build, chat.wire),
        Tab("export", "7 Export", export.build, export.wire),
        Tab("runs", "Runs", runs.build, runs.wire),
    ),
    name_of=lambda tab: tab.name,
    needs=("name", "title", "short_title", "build", "wire"),
)
