// What kind of file some bytes are: by how they begin, or else by the file's name.

type Signature = readonly [mediaType: string, at: number, bytes: string];

/** The bytes as Latin-1. The first that fits counts. */
const signatures: readonly Signature[] = [
  ["image/png", 0, "\x89PNG\r\n\x1a\n"],
  ["image/jpeg", 0, "\xff\xd8\xff"],
  ["image/gif", 0, "GIF8"],
  ["image/webp", 8, "WEBP"],
  ["image/avif", 4, "ftypavif"],
  ["audio/wav", 8, "WAVE"],
  ["audio/mpeg", 0, "ID3"],
  ["audio/mpeg", 0, "\xff\xfb"],
  ["audio/flac", 0, "fLaC"],
  ["audio/ogg", 0, "OggS"],
  ["audio/mp4", 4, "ftypM4A"],
  ["video/mp4", 4, "ftyp"],
  ["video/webm", 0, "\x1a\x45\xdf\xa3"],
];

const byExtension = new Map([
  ["png", "image/png"],
  ["jpg", "image/jpeg"],
  ["jpeg", "image/jpeg"],
  ["gif", "image/gif"],
  ["webp", "image/webp"],
  ["avif", "image/avif"],
  ["wav", "audio/wav"],
  ["mp3", "audio/mpeg"],
  ["mpga", "audio/mpeg"],
  ["flac", "audio/flac"],
  ["ogg", "audio/ogg"],
  ["m4a", "audio/mp4"],
  ["mp4", "video/mp4"],
  ["webm", "video/webm"],
]);

function begins(bytes: Uint8Array, at: number, signature: string): boolean {
  return Array.from(signature).every((char, index) => bytes[at + index] === char.charCodeAt(0));
}

/** A media type such as `image/png`; `application/octet-stream` for what is not known. */
export function mediaTypeOf(bytes: Uint8Array, filename: string): string {
  const sign = signatures.find(([, at, signature]) => begins(bytes, at, signature));
  const extension = filename.slice(filename.lastIndexOf(".") + 1).toLowerCase();
  return sign?.[0] ?? byExtension.get(extension) ?? "application/octet-stream";
}

/** How the name of a file of the media type ends: `.png`; empty for what is not known. */
export function extensionOf(mediaType: string): string {
  const known = [...byExtension].find(([, candidate]) => candidate === mediaType);
  return known ? `.${known[0]}` : "";
}
