"""What a person has typed or chosen and not yet used, so that a reload loses none of it."""

import json
from typing import Any

from studio.store.db import Database, now


class DraftStore:
    """Small JSON values by key."""

    def __init__(self, db: Database) -> None:
        self.db = db

    def get(self, key: str, default: Any = None) -> Any:
        """The value kept under a key."""
        row = self.db.row("SELECT value FROM drafts WHERE key = ?", (key,))
        return json.loads(row["value"]) if row else default

    def put(self, key: str, value: Any) -> None:
        """Keep a value under a key; None forgets it."""
        with self.db.write() as connection:
            if value is None:
                connection.execute("DELETE FROM drafts WHERE key = ?", (key,))
            else:
                connection.execute(
                    "INSERT OR REPLACE INTO drafts VALUES (?, ?, ?)",
                    (key, json.dumps(value), now()),
                )
