// Encrypts what must be kept and must not lie in the database in clear: AES-256-GCM under a key that is
// kept elsewhere.
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from "node:crypto";

const VERSION = "v1";
const IV_BYTES = 12;
const TAG_BYTES = 16;

export class SecretBox {
  readonly #key: Uint8Array;
  /** Tells secret keys apart, and says nothing else of them. */
  readonly keyId: string;

  /** @param secretKey any text of enough randomness */
  constructor(secretKey: string) {
    const derived = (purpose: string, bytes: number) =>
      Buffer.from(hkdfSync("sha256", secretKey, "", purpose, bytes));
    this.#key = derived("offpeak secret box", 32);
    this.keyId = derived("offpeak secret key id", 8).toString("hex");
  }

  /** The text, encrypted; different at every call. */
  seal(text: string): string {
    const iv = randomBytes(IV_BYTES);
    const cipher = createCipheriv("aes-256-gcm", this.#key, iv);
    const sealed = Buffer.concat([
      iv,
      cipher.update(text, "utf8"),
      cipher.final(),
      cipher.getAuthTag(),
    ]);
    return `${VERSION}:${sealed.toString("base64")}`;
  }

  /** The text again. Throws an Error that says what to do when it was sealed under another key. */
  open(sealed: string): string {
    try {
      const [version, base64 = ""] = sealed.split(":");
      if (version !== VERSION) throw new Error(`sealed as ${version}`);
      const bytes = Buffer.from(base64, "base64");
      const iv = bytes.subarray(0, IV_BYTES);
      const decipher = createDecipheriv("aes-256-gcm", this.#key, iv, { authTagLength: TAG_BYTES });
      decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
      const body = bytes.subarray(IV_BYTES, -TAG_BYTES);
      return Buffer.concat([decipher.update(body), decipher.final()]).toString("utf8");
    } catch (error) {
      throw new Error(
        "The secret was sealed under another secret key. Start with the secret_key it was made with, or make the webhook anew.",
        { cause: error },
      );
    }
  }
}
