// The part of the Store that knows API keys. The keys themselves are nowhere: only hashes of their
// secrets. Promises as in store.ts.

/** All times are epoch milliseconds. */
export interface ApiKey {
  id: string;
  projectId: string;
  createdAt: number;
  /** Exact to a minute. */
  lastUsedAt: number | null;
  revokedAt: number | null;
}

export interface KeyStore {
  /** @param secretHash hex SHA-256 of the secret. Throws ConflictError when the id exists. */
  insert(key: ApiKey, secretHash: string): Promise<void>;
  /** Revoked ones too. */
  find(id: string): Promise<{ key: ApiKey; secretHash: string } | undefined>;
  /** Whether there ever was a key, revoked or not: then the server is not open to everybody. */
  exists(): Promise<boolean>;
  /** All keys, oldest first. */
  list(): Promise<ApiKey[]>;
  /** False when there is none of this id that is not revoked. */
  revoke(id: string, at: number): Promise<boolean>;
  markUsed(id: string, at: number): Promise<void>;
}
