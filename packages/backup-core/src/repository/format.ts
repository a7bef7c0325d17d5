/** Bytes of a block: what a bit of QEMU's bitmaps stands for, and the unit of sharing between points. */
export const BLOCK_SIZE = 65_536;
/** Bytes of a SHA-256. */
export const HASH_BYTES = 32;

/** The places of a repository. docs/repository-format.md says what is in them. */
export const REPOSITORY_FILE = 'repository.json';
export const PACKS = 'packs/';
export const POINTS = 'points/';
export const QUARANTINE = 'damaged/';

/** Blocks of a disk of so many bytes; the last one may be short. */
export function blocksOf(size: number): number {
  return Math.ceil(size / BLOCK_SIZE);
}
