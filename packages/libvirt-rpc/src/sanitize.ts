/** The most of a peer's text that a message of ours shows. */
const MAX_CHARACTERS = 1024;

/** The most that a message of ours has altogether. */
const MAX_MESSAGE = 8 * MAX_CHARACTERS;

/** The whole of a message: whatever foreign text it holds, no terminal takes any of it for a command. */
export function sanitizeMessage(message: string): string {
  return sanitize(message, MAX_MESSAGE);
}

/** A URI without what may hold secrets: what stands before `@`, and behind `?`. */
export function shownUri(uri: string): string {
  return sanitize(uri.replace(/[?#].*$/s, '').replace(/\/\/[^/]*@/, '//'));
}

/**
 * Text from a peer for messages and logs: control characters, and those that change the direction of text, are made
 * visible, and what is longer than 1,024 characters is cut. A peer's string may have 4 MiB.
 */
export function sanitize(text: string, most: number = MAX_CHARACTERS): string {
  const cut = text.length - most;
  const shown = (cut > 0 ? text.slice(0, most) : text).replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu,
    (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`,
  );
  return cut > 0 ? `${shown}… (${cut} characters more)` : shown;
}
