"""Input of the user that is not saved elsewhere, so that a reload of the page loses none of it."""

import json
from typing import Any

from studio.store.db import Database, now


class DraftStore:
    """Small JSON values by key."""

    def __init__(self, db: Database) -> None:
        self.db = db

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key."""
        row = self.db.row("SELECT value FROM drafts WHERE key = ?", (key,))
        return json.loads(row["value"]) if row else default

    def put(self, key: str, value: Any) -> None:
        """Save a value under a key. None deletes it."""
        with self.db.write() as connection:
            if value is None:
                connection.execute("DELETE FROM drafts WHERE key = ?", (key,))
            else:
                connection.execute(
                    "INSERT OR REPLACE INTO drafts VALUES (?, ?, ?)",
                    (key, json.dumps(value), now()),
                )
