// The Store as rows, for moving all of them to another database: tables in an order in which they may be filled,
// pages of rows as the other database is to hold them, and a note in a database that is being filled.
//
// Who moves rows sees to it that nothing else changes them. Every database of Offpeak can be both ends.

/** A row by the names of its columns, which are the same in every database. */
export type StoredRow = Readonly<Record<string, string | number | null>>;

/** Where a page ended, in words of the database that gave it; for that database alone. */
export type RowPosition = readonly (string | number)[];

export interface RowPage {
  /**
   * As they are to be moved: without claims, for nobody works on what is moved (epochs stay, so that former owners
   * are fenced), and with U+FFFD for NUL, which not every database can hold.
   */
  rows: StoredRow[];
  /** How many of them had a NUL. */
  substituted: number;
  /** Null behind the last row. */
  next: RowPosition | null;
}

/** Bytes that a row says are in the BlobStore. */
export interface RecordedBlob {
  key: string;
  /** Whose they are, for messages. */
  name: string;
  sizeBytes: number;
  sha256: string | null;
  /** False when they may be gone already: of what was deleted, has expired or is over. */
  isNeeded: boolean;
}

/** What a database that is being filled says of it. */
export interface MoveNote {
  /** From which data, in the words of who moves it. */
  source: string;
  /** How far it has come, likewise. */
  progress: string;
}

export interface RowStore {
  /** Where the database is, for messages. */
  readonly location: string;
  /** The tables that are moved, each behind those that its rows refer to. */
  readonly tables: readonly string[];
  /** How many rows of the table are to be moved. */
  count(table: string): Promise<number>;
  /** The next rows behind `after` (null: from the first on), at most `limit`. Their order is the database's own. */
  page(table: string, after: RowPosition | null, limit: number): Promise<RowPage>;
  /** What rows of files and of parts of uploads say is in the BlobStore, but for bytes that are known to be gone. */
  blobs(now: number): AsyncIterable<RecordedBlob>;

  /** The note of a move into this database that was begun and has not been finished. */
  note(): Promise<MoveNote | undefined>;
  /** Leaves the note: from now on the Store cannot be opened. Throws ConflictError, with what is there, unless the database is empty. */
  begin(note: MoveNote): Promise<void>;
  /** Adds rows, and notes the progress in the same step. */
  add(table: string, rows: readonly StoredRow[], progress: string): Promise<void>;
  /** Takes the note away: new rows are numbered behind those that were added, and the Store can be opened. */
  finish(): Promise<void>;
}
