/** The keys of an encrypted repository. */
export interface RepositoryKeys {
  /** Blocks and pages are named by HMAC-SHA-256 with it. */
  readonly hashKey: Uint8Array;
  /** A key for the blocks of one run's packs, and what a reader needs to get at it. */
  startSession(): { readonly dataKey: Uint8Array; readonly keySlot: Uint8Array };
  /** The key of the blocks of a pack. @throws RepositoryError `key` where there is no private key for it */
  dataKeyOf(keySlot: Uint8Array): Uint8Array;
  sealPage(plain: Buffer, hash: Uint8Array): Buffer;
  /** @returns undefined where it is damaged */
  openPage(sealed: Buffer, hash: Uint8Array): Buffer | undefined;
  sealManifest(plain: Buffer, place: string): Buffer;
  openManifest(sealed: Buffer, place: string): Buffer | undefined;
}
