import { describe, expect, it } from "vitest";
import { generatedText, generatedTokens, promptTokens } from "./generated-text.ts";

describe("generatedText", () => {
  it("says that it is simulated, repeats the question, and has one word for each token", () => {
    expect(generatedText("Where is my parcel?", 9)).toBe(
      "Simulated answer to Where is my parcel? lorem lorem",
    );
    expect(generatedText("Where is my parcel?", 1)).toBe("Simulated");
    expect(generatedText("", 3)).toBe("Simulated answer to");
  });

  it("repeats only the beginning of a long question, and no half characters", () => {
    const text = generatedText(`${"x".repeat(59)}😀 and more`, 5);
    expect(text.isWellFormed()).toBe(true);
    expect(text).not.toContain("more");
  });

  it.each([1, 3, 9, 100])("streams in %i pieces that join to the whole", (tokens) => {
    const pieces = generatedTokens("Where  is\nmy parcel?", tokens);
    expect(pieces).toHaveLength(tokens);
    expect(pieces.join("")).toBe(generatedText("Where  is\nmy parcel?", tokens));
  });
});

describe("promptTokens", () => {
  it("is a quarter of the bytes, at least one", () => {
    expect(["", "abcd", "abcde", "üü"].map(promptTokens)).toEqual([1, 1, 2, 1]);
  });
});
