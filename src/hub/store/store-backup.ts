/** A whole copy of a store as it was at one moment, under no name: it is gone when it is closed, or when the hub ends. */
export interface StoreBackup extends AsyncDisposable {
  readonly bytes: number;
  /** Hex. */
  readonly sha256: string;
  /** From its beginning, each time. */
  read(): AsyncIterable<Uint8Array>;
}
