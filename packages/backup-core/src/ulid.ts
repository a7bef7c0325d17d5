import { randomBytes } from 'node:crypto';

/** Crockford's base 32, as the ULID specification has it. */
const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const TIME_CHARACTERS = 10;
const RANDOM_CHARACTERS = 16;

export interface UlidOptions {
  /** A ULID that the new one has to sort behind, whatever the clock says. */
  readonly after?: string | undefined;
  /** Milliseconds since 1970; default: the clock. */
  readonly now?: number;
}

/** A unique name that sorts by time: 48 bits of milliseconds, 80 random bits. */
export function ulid(options: UlidOptions = {}): string {
  const { after, now = Date.now() } = options;
  let left = after === undefined ? now : Math.max(now, timeOf(after) + 1);
  let text = '';
  for (let index = 0; index < TIME_CHARACTERS; index++) {
    text = ALPHABET.charAt(left % 32) + text;
    left = Math.floor(left / 32);
  }
  for (const byte of randomBytes(RANDOM_CHARACTERS)) text += ALPHABET.charAt(byte % 32);
  return text;
}

function timeOf(id: string): number {
  let time = 0;
  for (const character of id.slice(0, TIME_CHARACTERS)) time = time * 32 + ALPHABET.indexOf(character);
  return time;
}
