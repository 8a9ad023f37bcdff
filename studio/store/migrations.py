"""The database tables, as scripts that are applied once. A script never changes; a change is a new script."""

WORKSPACE = (
    """
    CREATE TABLE datasets (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, source TEXT NOT NULL, created TEXT NOT NULL, current INTEGER NOT NULL
    );
    CREATE TABLE versions (
        dataset TEXT NOT NULL REFERENCES datasets (id) ON DELETE CASCADE, version INTEGER NOT NULL,
        record TEXT NOT NULL, PRIMARY KEY (dataset, version)
    );
    CREATE TABLE labels (
        id INTEGER PRIMARY KEY AUTOINCREMENT, dataset TEXT NOT NULL REFERENCES datasets (id) ON DELETE CASCADE,
        version INTEGER NOT NULL, row INTEGER NOT NULL, label TEXT, labeller TEXT NOT NULL, time TEXT NOT NULL
    );
    CREATE INDEX labels_of_a_row ON labels (dataset, version, row, id);
    CREATE TABLE runs (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, status TEXT NOT NULL, spec TEXT NOT NULL,
        created TEXT NOT NULL, started TEXT, ended TEXT, seconds REAL NOT NULL DEFAULT 0,
        reason TEXT NOT NULL DEFAULT '',
        stop_wish TEXT, phase TEXT NOT NULL DEFAULT '',
        step INTEGER NOT NULL DEFAULT 0, steps INTEGER NOT NULL DEFAULT 0,
        best_step INTEGER, has_result INTEGER NOT NULL DEFAULT 0, metrics TEXT NOT NULL DEFAULT '{}',
        pid INTEGER, identity TEXT NOT NULL DEFAULT '', heartbeat TEXT
    );
    CREATE TABLE events (
        id INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        time TEXT NOT NULL, kind TEXT NOT NULL, data TEXT NOT NULL
    );
    CREATE INDEX events_of_a_run ON events (run, id);
    CREATE TABLE drafts (key TEXT PRIMARY KEY, value TEXT NOT NULL, time TEXT NOT NULL)
    """,
    """
    ALTER TABLE labels ADD COLUMN kind TEXT NOT NULL DEFAULT 'label:given';
    ALTER TABLE labels ADD COLUMN suggested TEXT;
    ALTER TABLE labels ADD COLUMN sure REAL;
    ALTER TABLE labels ADD COLUMN undoes INTEGER;
    CREATE INDEX labels_of_a_dataset ON labels (dataset, id)
    """,
    """
    ALTER TABLE runs ADD COLUMN once TEXT;
    ALTER TABLE runs ADD COLUMN tags TEXT NOT NULL DEFAULT '[]';
    ALTER TABLE runs ADD COLUMN note TEXT NOT NULL DEFAULT '';
    ALTER TABLE runs ADD COLUMN archived INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE runs ADD COLUMN beat REAL;
    CREATE UNIQUE INDEX once_asked ON runs (once)
    """,
    """
    ALTER TABLE runs ADD COLUMN kills INTEGER;
    ALTER TABLE runs ADD COLUMN cause TEXT NOT NULL DEFAULT ''
    """,
    "CREATE INDEX events_other_than_steps ON events (run, id, kind) WHERE kind <> 'step'",
    "CREATE INDEX IF NOT EXISTS runs_by_status ON runs (status)",
)

QUEUE = (
    """
    CREATE TABLE entries (
        id INTEGER PRIMARY KEY AUTOINCREMENT, workspace TEXT NOT NULL, run TEXT NOT NULL UNIQUE,
        state TEXT NOT NULL DEFAULT 'waiting', pid INTEGER, identity TEXT NOT NULL DEFAULT '', asked TEXT NOT NULL
    );
    CREATE TABLE guests (pid INTEGER PRIMARY KEY, identity TEXT NOT NULL, since TEXT NOT NULL)
    """,
    """
    ALTER TABLE entries ADD COLUMN place REAL NOT NULL DEFAULT 0;
    ALTER TABLE entries ADD COLUMN memory INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE entries ADD COLUMN free INTEGER;
    UPDATE entries SET place = id;
    CREATE TABLE turns (workspace TEXT PRIMARY KEY, turn INTEGER NOT NULL)
    """,
    "ALTER TABLE entries ADD COLUMN beat REAL",
    """
    ALTER TABLE entries ADD COLUMN owner TEXT NOT NULL DEFAULT '';
    ALTER TABLE entries ADD COLUMN called TEXT NOT NULL DEFAULT '';
    UPDATE entries SET owner = workspace;
    ALTER TABLE turns RENAME COLUMN workspace TO owner
    """,
)
