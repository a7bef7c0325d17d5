import { PACKS } from '../format.ts';

const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const NAME = /^packs\/([0-7][0-9A-HJKMNP-TV-Z]{25})\.(0|[1-9]\d{0,8})$/;

/** Bytes of a pack's id where it is stored: a ULID's 128 bits. */
export const PACK_ID_BYTES = 16;

/** The object that holds a generation of a pack. */
export function packName(pack: string, generation: number): string {
  return `${PACKS}${pack}.${generation}`;
}

/** @returns undefined unless it is the name of a pack */
export function parsePackName(
  name: string,
): { readonly pack: string; readonly generation: number } | undefined {
  const [, pack, generation] = NAME.exec(name) ?? [];
  return pack === undefined ? undefined : { pack, generation: Number(generation) };
}

/** A ULID as 16 bytes, big end first. */
export function packIdBytes(pack: string): Buffer {
  let value = 0n;
  for (const character of pack) value = value * 32n + BigInt(ALPHABET.indexOf(character));
  return Buffer.from(value.toString(16).padStart(PACK_ID_BYTES * 2, '0'), 'hex');
}

/** The ULID that 16 bytes stand for. */
export function packIdText(bytes: Buffer): string {
  let value = BigInt(`0x${bytes.toString('hex')}`);
  let text = '';
  for (let index = 0; index < 26; index++) {
    text = ALPHABET.charAt(Number(value % 32n)) + text;
    value /= 32n;
  }
  return text;
}
