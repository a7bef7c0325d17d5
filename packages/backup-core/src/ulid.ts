import { randomBytes } from 'node:crypto';

/** Crockford's base 32, as the ULID specification has it. */
const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const TIME_CHARACTERS = 10;
const RANDOM_CHARACTERS = 16;

/** A unique name that sorts by time: 48 bits of milliseconds, 80 random bits. */
export function ulid(now: number = Date.now()): string {
  let text = '';
  for (let left = now, index = 0; index < TIME_CHARACTERS; index++) {
    text = ALPHABET.charAt(left % 32) + text;
    left = Math.floor(left / 32);
  }
  for (const byte of randomBytes(RANDOM_CHARACTERS)) text += ALPHABET.charAt(byte % 32);
  return text;
}
