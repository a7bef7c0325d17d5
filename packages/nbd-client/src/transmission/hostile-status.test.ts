import { describe, expect, it } from 'vitest';
import { expectAlive, expectDead, withReply } from '../hostile.fixture.ts';
import { NBD_REPLY_TYPE, NBD_STATE_HOLE, NBD_STATE_ZERO } from '../protocol/constants.ts';
import {
  chunk,
  data,
  error,
  extendedChunk,
  none,
  type Request,
  simple,
  status,
  u32,
  u64,
} from '../wire.fixture.ts';

const KIB = 1024;
const CONTEXT = 'base:allocation';

const raw = (request: Request, type: number, payload: Buffer, length?: number): Buffer =>
  chunk(request, type, payload, length === undefined ? {} : { length });
const MAX32 = 0xffffffff;

describe('a BLOCK_STATUS is answered with', () => {
  const dead: [string, (request: Request) => Buffer][] = [
    ['H24 nothing but NONE', (r) => none(r)],
    ['H24 a simple success', (r) => simple(r, 0)],
    ['H24 an unknown context only', (r) => status(r, 7, [[r.length, 0]])],
    [
      'H25 the same context twice',
      (r) => Buffer.concat([status(r, 1, [[r.length, 0]], false), status(r, 1, [[r.length, 3]])]),
    ],
    [
      'H22 a first extent of 0 bytes',
      (r) =>
        status(r, 1, [
          [0, 0],
          [r.length, 0],
        ]),
    ],
    [
      'H23 a later extent of 0 bytes',
      (r) =>
        status(r, 1, [
          [512, 0],
          [0, 0],
        ]),
    ],
    [
      'H27 extents behind the one that covers it',
      (r) =>
        status(r, 1, [
          [r.length, 0],
          [512, 0],
        ]),
    ],
    ['H28 no extents', (r) => raw(r, NBD_REPLY_TYPE.BLOCK_STATUS, u32(1))],
    ['H28 half an extent', (r) => raw(r, NBD_REPLY_TYPE.BLOCK_STATUS, Buffer.alloc(10))],
    [
      'H29 64-bit extents',
      (r) => raw(r, NBD_REPLY_TYPE.BLOCK_STATUS_EXT, Buffer.concat([u32(1), u32(1), u64(512), u64(0)])),
    ],
    ['H09 data', (r) => data(r, r.offset, r.length)],
    ['H17 a status chunk of 4 GiB', (r) => raw(r, NBD_REPLY_TYPE.BLOCK_STATUS, u32(1), MAX32 - 3)],
  ];

  it.each(dead)('%s: dead', async (_title, reply) => {
    await withReply(reply, (nbd) => expectDead(nbd, () => nbd.blockStatus(0, 64 * KIB)));
  });

  it('H30 two extents in spite of REQ_ONE: dead', async () => {
    const two = (r: Request): Buffer =>
      status(r, 1, [
        [512, 0],
        [512, 1],
      ]);
    await withReply(two, (nbd) => expectDead(nbd, () => nbd.blockStatus(0, 1024, { reqOne: true })));
  });

  it('H24 one of two contexts: dead', async () => {
    const reply = (r: Request): Buffer => status(r, 1, [[r.length, 0]]);
    const options = { metaContexts: [CONTEXT, 'x:y'] };
    await withReply(reply, (nbd) => expectDead(nbd, () => nbd.blockStatus(0, 1024)), {}, options);
  });

  it('H26 a last extent beyond the request: cut to it', async () => {
    await withReply(
      (r) =>
        status(r, 1, [
          [512, 3],
          [0xfffffe00, 0],
        ]),
      async (nbd) => {
        expect((await nbd.blockStatus(0, 1024)).get(CONTEXT)).toEqual([
          { offset: 0, length: 512, flags: 3 },
          { offset: 512, length: 512, flags: 0 },
        ]);
      },
    );
  });

  it('an error: this command fails', async () => {
    await withReply(
      (r) => error(r, 22),
      async (nbd) => {
        expect(await expectAlive(nbd, () => nbd.blockStatus(0, 1024))).toMatchObject({ errnoName: 'EINVAL' });
      },
    );
  });

  it('H30 an extent longer than was asked for in spite of REQ_ONE: cut to it', async () => {
    await withReply(
      (r) => status(r, 1, [[4096, 1]]),
      async (nbd) => {
        const answer = await nbd.blockStatus(0, 1024, { reqOne: true });
        expect(answer.get(CONTEXT)).toEqual([{ offset: 0, length: 1024, flags: 1 }]);
      },
    );
  });

  it('H31 HOLE without ZERO and unknown bits: the flags come as they are, only ZERO promises zeroes', async () => {
    await withReply(
      (r) =>
        status(r, 1, [
          [512, 0x1],
          [512, 0xff00],
        ]),
      async (nbd) => {
        const flags = (await nbd.blockStatus(0, 1024)).get(CONTEXT)?.map((extent) => extent.flags);
        expect(flags).toEqual([NBD_STATE_HOLE, 0xff00]);
        expect(flags?.every((each) => (each & NBD_STATE_ZERO) === 0)).toBe(true);
      },
    );
  });

  const wide = (request: Request, flags: bigint): Buffer =>
    extendedChunk(
      request,
      NBD_REPLY_TYPE.BLOCK_STATUS_EXT,
      Buffer.concat([u32(1), u32(1), u64(request.length), u64(flags)]),
    );

  it.each([
    ['H32 of base:allocation: ignored', CONTEXT, (1n << 40n) | 3n, 3],
    ['H32 of another context: part of the value', 'x:depth', (1n << 40n) | 3n, 2 ** 40 + 3],
  ])('flags over 32 bits %s', async (_title, name, flags, expected) => {
    const options = { metaContexts: [name] };
    await withReply(
      (r) => wide(r, flags),
      async (nbd) => {
        expect((await nbd.blockStatus(0, 512)).get(name)?.[0]?.flags).toBe(expected);
      },
      { extended: true },
      options,
    );
  });

  it('H32 flags that no number holds: dead', async () => {
    const options = { metaContexts: ['x:depth'] };
    const reply = (r: Request): Buffer => wide(r, 2n ** 64n - 1n);
    await withReply(
      reply,
      (nbd) => expectDead(nbd, () => nbd.blockStatus(0, 512)),
      { extended: true },
      options,
    );
  });
});
