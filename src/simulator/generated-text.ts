// The text a simulated model "generates": it says that it is simulated, repeats the beginning of the question,
// and goes on in filler words until it has its number of tokens. One word is one token.

const FILLER = " lorem";
const REPEATED_CHARACTERS = 60;

/** Exactly `tokens` words. */
export function generatedText(question: string, tokens: number): string {
  const beginning = question.slice(0, REPEATED_CHARACTERS).toWellFormed();
  const lead = `Simulated answer to ${beginning}`.trimEnd().split(/\s+/);
  if (tokens <= lead.length) return lead.slice(0, tokens).join(" ");
  return lead.join(" ") + FILLER.repeat(tokens - lead.length);
}

/** The same text in pieces of one word, to be streamed; joined they are the whole text. */
export function generatedTokens(question: string, tokens: number): string[] {
  return generatedText(question, tokens).match(/ ?\S+/g) ?? [];
}

/** Tokens of a prompt: a quarter of its bytes, at least one. */
export function promptTokens(prompt: string): number {
  return Math.max(1, Math.ceil(Buffer.byteLength(prompt) / 4));
}
