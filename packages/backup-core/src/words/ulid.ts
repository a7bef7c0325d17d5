import { randomBytes } from 'node:crypto';

/** Crockford's base 32, as the ULID specification has it. */
const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const TIME_CHARACTERS = 10;
const RANDOM_CHARACTERS = 16;

/**
 * A unique name that sorts by time: 48 bits of milliseconds, 80 random bits.
 *
 * @param after - a ULID that the new one sorts behind, whatever the clock says
 */
export function ulid(after?: string): string {
  let left = after === undefined ? Date.now() : Math.max(Date.now(), ulidTime(after) + 1);
  let text = '';
  for (let index = 0; index < TIME_CHARACTERS; index++) {
    text = ALPHABET.charAt(left % 32) + text;
    left = Math.floor(left / 32);
  }
  for (const byte of randomBytes(RANDOM_CHARACTERS)) text += ALPHABET.charAt(byte % 32);
  return text;
}

/** When a ULID was made, in milliseconds since 1970 and by the clock of its maker. */
export function ulidTime(id: string): number {
  let time = 0;
  for (const character of id.slice(0, TIME_CHARACTERS)) time = time * 32 + ALPHABET.indexOf(character);
  return time;
}
