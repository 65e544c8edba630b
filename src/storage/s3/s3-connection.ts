// The way to one bucket: the client with its bounds on time, sockets and retries. Every request of the
// driver goes through `run`, which says in one way what failed. A network that is cut is an error, not a wait.

import { S3Client } from "@aws-sdk/client-s3";
import { toStoreError } from "./s3-error.ts";
import { Slots } from "./slots.ts";

export interface S3ConnectionOptions {
  bucket: string;
  /**
   * "" or segments of a key: in front of every key. What is under it is Offpeak's alone, also uploads that are
   * unfinished.
   */
  prefix: string;
  /** Of a server that is not AWS. */
  endpoint?: string | undefined;
  region?: string | undefined;
  /** The bucket is in the path of the URL, not in the name of the host. */
  pathStyle: boolean;
  encryption: "none" | "AES256" | "aws:kms";
  kmsKeyId?: string | undefined;
  /** Without a byte in either direction a request is given up after so long: 30 s when left out. */
  inactivityTimeoutMs?: number;
}

/** How objects are encrypted, for the requests that make one. */
interface EncryptionFields {
  ServerSideEncryption?: "AES256" | "aws:kms";
  SSEKMSKeyId?: string;
}

const CONNECT_TIMEOUT_MS = 5_000;
const INACTIVITY_TIMEOUT_MS = 30_000;
const MAX_ATTEMPTS = 5;
const MAX_SOCKETS = 64;

export class S3Connection {
  readonly bucket: string;
  readonly encryption: EncryptionFields;
  readonly #client: S3Client;
  readonly #prefix: string;
  /** Requests wait here, not for a socket: that wait would count as the time to connect. */
  readonly #slots = new Slots(MAX_SOCKETS);
  #isClosed = false;

  constructor(options: S3ConnectionOptions) {
    const { bucket, prefix, endpoint, region, pathStyle, encryption, kmsKeyId } = options;
    this.bucket = bucket;
    this.#prefix = prefix === "" ? "" : `${prefix}/`;
    this.encryption = {
      ...(encryption !== "none" && { ServerSideEncryption: encryption }),
      ...(encryption === "aws:kms" && kmsKeyId !== undefined && { SSEKMSKeyId: kmsKeyId }),
    };
    // The SDK looks for profiles in the home directory, and fails where a user has none.
    process.env["HOME"] ??= "/";
    const agent = { keepAlive: true, maxSockets: MAX_SOCKETS };
    // A server that is not AWS takes any region, but the signature needs one.
    const usedRegion = region ?? (endpoint === undefined ? undefined : "us-east-1");
    this.#client = new S3Client({
      ...(usedRegion !== undefined && { region: usedRegion }),
      ...(endpoint !== undefined && { endpoint }),
      forcePathStyle: pathStyle,
      retryMode: "standard",
      maxAttempts: MAX_ATTEMPTS,
      // Else a body is sent in a form that many servers refuse.
      requestChecksumCalculation: "WHEN_REQUIRED",
      responseChecksumValidation: "WHEN_REQUIRED",
      // It would cost each large body a connection of its own and a round trip.
      expectContinueHeader: false,
      requestHandler: {
        connectionTimeout: CONNECT_TIMEOUT_MS,
        socketTimeout: options.inactivityTimeoutMs ?? INACTIVITY_TIMEOUT_MS,
        httpAgent: agent,
        httpsAgent: agent,
      },
    });
  }

  /** Where the object of a key is in the bucket; of a prefix, when it ends in "/". */
  objectKey(key: string): string {
    return this.#prefix + key;
  }

  /** The key of an object. */
  keyOf(objectKey: string): string {
    return objectKey.slice(this.#prefix.length);
  }

  /**
   * One request, with all that is read of its answer. Throws the driver's errors.
   * @param what completes "S3 could not …"
   */
  async run<T>(what: string, request: (client: S3Client) => Promise<T>): Promise<T> {
    try {
      return await this.runRaw(request);
    } catch (error) {
      throw toStoreError(error, what);
    }
  }

  /** The same, with the errors of the SDK, for who looks at them. */
  async runRaw<T>(request: (client: S3Client) => Promise<T>): Promise<T> {
    return this.#slots.run(() => {
      if (this.#isClosed) throw new TypeError("The S3 store is closed.");
      return request(this.#client);
    });
  }

  /** The region that requests are signed for; "" when none is set. */
  async region(): Promise<string> {
    try {
      return await this.#client.config.region();
    } catch {
      return "";
    }
  }

  /** Ends what is under way; nothing is asked of S3 from then on. */
  close(): void {
    this.#isClosed = true;
    this.#client.destroy();
  }
}
