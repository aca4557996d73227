import type { DatabaseSync } from "node:sqlite";

export function prepareStatements(db: DatabaseSync) {
  return {
    begin: db.prepare("BEGIN IMMEDIATE"),
    commit: db.prepare("COMMIT"),
    rollback: db.prepare("ROLLBACK"),
    get: db.prepare("SELECT body FROM document WHERE collection = ? AND id = ?"),
    put: db.prepare(
      `INSERT INTO document (collection, id, body, expires_ms) VALUES (?, ?, ?, ?)
       ON CONFLICT (collection, id) DO UPDATE SET body = excluded.body, expires_ms = excluded.expires_ms`,
    ),
    remove: db.prepare("DELETE FROM document WHERE collection = ? AND id = ?"),
    list: db.prepare(
      `SELECT id, body FROM document
       WHERE collection = ? AND id > ? AND id >= ? AND substr(id, 1, length(?3)) = ?3
       ORDER BY id LIMIT ?`,
    ),
    listIds: db.prepare(
      `SELECT id FROM document
       WHERE collection = ? AND id > ? AND id >= ? AND substr(id, 1, length(?3)) = ?3
       ORDER BY id LIMIT ?`,
    ),
    /** Many of one collection: ids as a JSON array. */
    getMany: db.prepare(
      "SELECT id, body FROM document WHERE collection = ? AND id IN (SELECT value FROM json_each(?))",
    ),
    isThere: db.prepare("SELECT 1 FROM document WHERE collection = ? AND id = ?"),
    expire: db.prepare(
      `DELETE FROM document WHERE rowid IN (SELECT rowid FROM document WHERE expires_ms <= ? LIMIT ?)`,
    ),
    logLast: db.prepare("SELECT last FROM log WHERE name = ?"),
    setLogLast: db.prepare(
      "INSERT INTO log (name, last) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET last = excluded.last",
    ),
    append: db.prepare("INSERT INTO entry (log, sequence, at_ms, body) VALUES (?, ?, ?, ?)"),
    /** Keeps the newest `?2` entries of a log whose sequences leave numbers out. Walks over as many as it keeps. */
    keep: db.prepare(
      `DELETE FROM entry WHERE log = ?1 AND sequence <= (
         SELECT sequence FROM entry WHERE log = ?1 ORDER BY sequence DESC LIMIT 1 OFFSET ?2)`,
    ),
    trim: db.prepare("DELETE FROM entry WHERE log = ? AND sequence <= ?"),
    dropLog: db.prepare("DELETE FROM log WHERE name = ?"),
    dropEntries: db.prepare("DELETE FROM entry WHERE log = ?"),
    bounds: db.prepare(
      `SELECT max(coalesce((SELECT last FROM log WHERE name = ?1), 0), coalesce((SELECT max(sequence) FROM entry WHERE log = ?1), 0)) AS last,
              (SELECT min(sequence) FROM entry WHERE log = ?1) AS first`,
    ),
    after: db.prepare(
      "SELECT sequence, at_ms, body FROM entry WHERE log = ? AND sequence > ? ORDER BY sequence LIMIT ?",
    ),
    before: db.prepare(
      "SELECT sequence, at_ms, body FROM entry WHERE log = ? AND sequence < ? ORDER BY sequence DESC LIMIT ?",
    ),
  };
}
