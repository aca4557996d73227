/** Of a backup's answer: what the file is, and the SHA-256 of all of it in hex. */
export const BACKUP_MEDIA_TYPE = "application/vnd.sqlite3";
export const BACKUP_SHA256_HEADER = "x-sluice-sha256";
