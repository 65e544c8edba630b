// The header that names a download, for any file name a client may have chosen.

/**
 * `attachment; filename="…"`, and beside it `filename*` (RFC 6266) where the name can't be written in
 * plain ASCII. Control characters and path separators become underscores in both.
 */
export function contentDisposition(filename: string): string {
  const name = filename.toWellFormed().replaceAll(/[\p{Cc}\p{Bidi_Control}\p{Zl}\p{Zp}/\\]/gu, "_");
  const plain = name.replaceAll(/[^\x20-\x7e]|["%]/gu, "_");
  const header = `attachment; filename="${plain}"`;
  return plain === name ? header : `${header}; filename*=UTF-8''${percentEncoded(name)}`;
}

function percentEncoded(name: string): string {
  return encodeURIComponent(name).replaceAll(
    /['()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}
