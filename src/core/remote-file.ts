// A file that a line names by URL: how the engine has it fetched.

/** The file is out of the question: its address is refused, it is too large, or the server says no. */
export class RemoteFileRefusedError extends Error {
  override readonly name = "RemoteFileRefusedError";
}

export interface RemoteFile {
  bytes: Uint8Array;
  /** As the server says; null when it doesn't. */
  contentType: string | null;
}

/**
 * Fetches an http or https URL. Throws RemoteFileRefusedError for what another try can't change; any other
 * error is a failure of the network that may pass. Rejects soon after `signal` is aborted. Messages
 * are for users: they name neither addresses nor secrets.
 */
export type FetchRemote = (
  url: string,
  options: { maxBytes: number; signal: AbortSignal },
) => Promise<RemoteFile>;
