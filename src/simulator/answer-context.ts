// What the makers of answers share: what an answer needs beside the request, and what every answer says.

/** What an answer needs beside the request. */
export interface AnswerContext {
  model: string;
  /** Makes the ids of the answer; no other answer has it. */
  serial: number;
  /** The most tokens to generate for each choice; a request may set less. */
  outputTokens: number;
  /** Size of each image made. */
  imageBytes: number;
}

export const FINGERPRINT = "offpeak-simulator";

export function nowSeconds(): number {
  return Math.floor(Date.now() / 1000);
}
