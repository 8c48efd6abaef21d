"""The database's schema, as the list of its migrations. A released one is never edited."""

MIGRATIONS = (
    """
    CREATE TABLE sessions (
        id            TEXT PRIMARY KEY,
        owner         TEXT NOT NULL DEFAULT '',
        title         TEXT NOT NULL DEFAULT '',
        pinned        INTEGER NOT NULL DEFAULT 0,
        expires_in    REAL,                       -- seconds, instead of SESSION_EXPIRY
        created       REAL NOT NULL,
        last_activity REAL NOT NULL,
        idle          REAL NOT NULL DEFAULT 0,    -- seconds counted at the last sweep; see service/janitor
        message_count INTEGER NOT NULL DEFAULT 0,
        expired       INTEGER NOT NULL DEFAULT 0
    ) WITHOUT ROWID;
    CREATE INDEX sessions_by_age ON sessions (expired, created, id);

    CREATE TABLE turns (
        session_id  TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
        number      INTEGER NOT NULL,
        prompt      TEXT NOT NULL,
        request_key TEXT,
        state       TEXT NOT NULL,                -- queued, running, or the reason of its end
        created     REAL NOT NULL,
        started     REAL,
        form        TEXT NOT NULL,                -- how the transcript is read: form and output
        output      TEXT NOT NULL,
        ended       REAL,
        exit        INTEGER,                      -- negative for a signal
        bytes       INTEGER,
        sha256      TEXT,
        code        TEXT,
        detail      TEXT,
        answered    INTEGER,
        PRIMARY KEY (session_id, number),
        UNIQUE (session_id, request_key)
    );
    CREATE INDEX turns_unfinished ON turns (session_id, number) WHERE state IN ('queued', 'running');

    -- A request key that was sent without a session names the session as well, for ever: these rows
    -- outlive the session, so that a repeat after its deletion is refused and not run again.
    CREATE TABLE caller_keys (
        caller      TEXT NOT NULL,
        request_key TEXT NOT NULL,
        session_id  TEXT NOT NULL,
        number      INTEGER NOT NULL,
        PRIMARY KEY (caller, request_key)
    ) WITHOUT ROWID;
    """,
    """
    -- Browsers that have logged in: the SHA-256 of the cookie, and of the token that it stands for.
    CREATE TABLE logins (
        id         TEXT PRIMARY KEY,
        credential TEXT NOT NULL,
        principal  TEXT NOT NULL,
        created    REAL NOT NULL,
        expires    REAL NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX logins_by_principal ON logins (principal, created);
    CREATE INDEX sessions_by_owner ON sessions (owner, expired, created, id);
    """,
)
