import { expect, test } from "vitest";
import { extensionOf, mediaTypeOf } from "./media-type.ts";

const bytes = (latin1: string) => Uint8Array.from(latin1, (char) => char.charCodeAt(0));

test.each([
  ["\x89PNG\r\n\x1a\n…", "image/png"],
  ["\xff\xd8\xff\xe0", "image/jpeg"],
  ["GIF89a", "image/gif"],
  ["RIFF\0\0\0\0WEBP", "image/webp"],
  ["\0\0\0\x1cftypavif", "image/avif"],
  ["RIFF\0\0\0\0WAVE", "audio/wav"],
  ["ID3\x04", "audio/mpeg"],
  ["\xff\xfb\x90", "audio/mpeg"],
  ["fLaC", "audio/flac"],
  ["OggS", "audio/ogg"],
  ["\0\0\0\x1cftypM4A ", "audio/mp4"],
  ["\0\0\0\x18ftypmp42", "video/mp4"],
  ["\x1a\x45\xdf\xa3", "video/webm"],
])("%j is %s, whatever its name", (begin, mediaType) => {
  expect(mediaTypeOf(bytes(begin), "x.jpg")).toBe(mediaType);
});

test.each([
  ["photo.JPG", "image/jpeg"],
  ["a.b.wav", "audio/wav"],
  ["png", "image/png"],
  ["x.exe", "application/octet-stream"],
  ["", "application/octet-stream"],
])("by its name %j is %s, when its bytes say nothing", (filename, mediaType) => {
  expect(mediaTypeOf(bytes("\x89PN"), filename)).toBe(mediaType);
});

test("names for files that have none end as their kind does", () => {
  expect([extensionOf("image/jpeg"), extensionOf("application/x")]).toEqual([".jpg", ""]);
});
