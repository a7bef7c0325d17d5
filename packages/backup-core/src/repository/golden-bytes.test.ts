import { describe, expect, it } from 'vitest';
import {
  decodeTable,
  decodeTrailer,
  encodeEntry,
  encodeTable,
  ENTRY_BYTES,
  KIND,
  PACKING,
} from './packs/pack-format.ts';
import { packIdBytes, packIdText, packName, parsePackName } from './packs/pack-name.ts';
import { pointOf } from './point.fixture.ts';
import { encodeManifest, sha256Of } from './point-manifest.ts';
import { blockWork } from './workers/block-work.ts';
import { Page } from './tree/page.ts';

const PACK = '01JDQ6ZP4N8X2R7V9K3M5T0WYZ';

function page(): Page {
  const made = Page.empty(1);
  made.set(0, { hash: Buffer.alloc(32, 0x11), pack: PACK, number: 7 });
  made.set(1023, { hash: Buffer.alloc(32, 0x22), pack: PACK, number: 0x01020304 });
  return made;
}

// A change here is a change of the format: what is stored could not be read any more.
describe('the format, byte for byte', () => {
  it('of a page and its hash', () => {
    const bytes = page().encode();
    const slot = (hash: number, number: string): string =>
      Buffer.alloc(32, hash).toString('hex') + packIdBytes(PACK).toString('hex') + number;
    expect(bytes.subarray(0, -32).toString('hex')).toBe(
      `80${'00'.repeat(126)}01${slot(0x11, '00000007')}${slot(0x22, '01020304')}`,
    );
    expect(sha256Of(bytes.subarray(0, -32))).toBe(bytes.subarray(-32).toString('hex'));
    expect(page().hash().toString('hex')).toMatchInlineSnapshot(
      `"0fbdfa3859973a7abf115497f77c490a8b5a5f40c82d43f01d9116f5413cf0a5"`,
    );
    expect(page().hash(Buffer.alloc(32, 1)).toString('hex')).toMatchInlineSnapshot(
      `"e43fc9afb5d214d49fdfe7721a2d0a95fa326edc6a4e37d6691149f5e48c7e5b"`,
    );
    const again = Page.decode(1, bytes);
    expect(again).toBeInstanceOf(Page);
    expect((again as Page).encode().equals(bytes)).toBe(true);
  });

  it('of the end of a pack', () => {
    const entries = Buffer.alloc(ENTRY_BYTES);
    const entry = { number: 9, offset: 2, length: 3, kind: KIND.page, packing: PACKING.deflate };
    encodeEntry({ ...entry, hash: Buffer.alloc(32, 0xab) }, entry, entries, 0);
    const bytes = encodeTable(PACK, 5, { keySlot: Buffer.from('key'), entries });
    expect(bytes.subarray(0, 51).toString('hex')).toBe(
      `6b657900000009000000020000000301010000${'ab'.repeat(32)}`,
    );
    expect(bytes.subarray(51).toString('hex')).toMatchInlineSnapshot(
      `"4c5453425041434b0001000000000003000000000000000500000001000000002333737cc6c685487226752cfa3e405f07f646c37e465ed4be02c43c6d7c1dd0"`,
    );
    const trailer = decodeTrailer(bytes.subarray(-64), 5 + bytes.length);
    if (typeof trailer === 'string') return expect.fail(trailer);
    expect(trailer).toEqual({ offset: 5, keySlotBytes: 3, tableBytes: 48 });
    expect(decodeTable(PACK, bytes, trailer)).toEqual({ keySlot: Buffer.from('key'), entries });
  });

  it('of a name', () => {
    expect(packIdText(packIdBytes(PACK))).toBe(PACK);
    expect(packIdBytes('7ZZZZZZZZZZZZZZZZZZZZZZZZZ').toString('hex')).toBe('ff'.repeat(16));
    expect(parsePackName(packName(PACK, 12))).toEqual({ pack: PACK, generation: 12 });
    for (const name of [
      `packs/${PACK}`,
      `packs/${PACK}.01`,
      `packs/${PACK}.-1`,
      `packs/8${PACK.slice(1)}.0`,
      `x${PACK}.0`,
    ])
      expect(parsePackName(name), name).toBeUndefined();
  });

  it('of a block that is short', () => {
    const input = new SharedArrayBuffer(65536);
    new Uint8Array(input).fill(5, 0, 3);
    const expected = new Uint8Array(32);
    const result = blockWork()({ type: 'hash', input, places: Uint32Array.of(0, 3), expected, packing: 0 });
    const padded = Buffer.alloc(65536);
    padded.fill(5, 0, 3);
    expect('hashes' in result && Buffer.from(result.hashes).toString('hex')).toBe(sha256Of(padded));
  });

  it('of a manifest', () => {
    const manifest = encodeManifest(pointOf({ id: '01J00000000000000000000000' }));
    expect(sha256Of(manifest)).toMatchInlineSnapshot(
      `"fbd4f05dc0ef408437843ec821f617e2dcb2ee9576d700cd6d35d932ad9cc388"`,
    );
  });
});
