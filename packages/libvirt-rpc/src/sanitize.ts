/** The most of a peer's text that a message of ours shows. */
const MAX_CHARACTERS = 1024;

/**
 * Text from a peer for messages and logs: control characters are made visible, and what is longer than 1,024
 * characters is cut. A peer's string may have 4 MiB.
 */
export function sanitize(text: string): string {
  const cut = text.length - MAX_CHARACTERS;
  const shown = (cut > 0 ? text.slice(0, MAX_CHARACTERS) : text).replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu,
    (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`,
  );
  return cut > 0 ? `${shown}… (${cut} characters more)` : shown;
}
