import { describe, expect, it } from 'vitest';
import {
  digest,
  expectRandomBytesAreHarmless,
  expectSplitsAgree,
  feeds,
  parsePieces,
  READ_BYTES,
  READ_COOKIE,
  STATUS_COOKIE,
} from './codec-checks.fixture.ts';
import { NbdProtocolError, sanitize } from './errors.ts';
import {
  encodeInfoRequest,
  encodeMetaContextRequest,
  encodeOption,
  parseInfo,
  parseMetaContext,
  parseOptionReplyHeader,
} from './handshake/option-messages.ts';
import { NBD_CMD, NBD_CMD_FLAG, NBD_OPT, NBD_REP, NBD_REPLY_TYPE } from './protocol/constants.ts';
import { encodeRequest } from './transmission/request.ts';
import {
  chunk,
  data,
  error,
  extendedChunk,
  hole,
  optionReply,
  patternAt,
  simple,
  status,
  u16,
  u32,
  u64,
} from './wire.fixture.ts';

const request = {
  flags: 0,
  type: NBD_CMD.READ,
  cookie: BigInt(READ_COOKIE),
  offset: 0,
  length: READ_BYTES,
  payload: Buffer.alloc(0),
};
const statusRequest = { ...request, cookie: BigInt(STATUS_COOKIE), length: 4096 };

const structured = Buffer.concat([
  data(request, 0, READ_BYTES - 2048, false),
  status(statusRequest, 1, [
    [512, 3],
    [8192, 0],
  ]),
  hole(request, READ_BYTES - 2048, 1024, false),
  data(request, READ_BYTES - 1024, 1024),
]);

const extended = Buffer.concat([
  extendedChunk(request, NBD_REPLY_TYPE.OFFSET_DATA, Buffer.concat([u64(0), patternAt(0, READ_BYTES)])),
  extendedChunk(
    statusRequest,
    NBD_REPLY_TYPE.BLOCK_STATUS_EXT,
    Buffer.concat([u32(1), u32(2), u64(512), u64(3), u64(2 ** 40), u64(0)]),
  ),
]);

const extents = new Map([
  [
    'base:allocation',
    [
      { offset: 0, length: 512, flags: 3 },
      { offset: 512, length: 3584, flags: 0 },
    ],
  ],
]);

/** Everywhere around headers, and now and then within payloads. */
const cutsOf = (bytes: Buffer): number[] =>
  Array.from(bytes, (_, at) => at).filter(
    (at) => at < 100 || at % 997 === 0 || (at > READ_BYTES - 2100 && at % 7 === 0) || at > bytes.length - 60,
  );

describe('replies', () => {
  const expected = Buffer.concat([
    patternAt(0, READ_BYTES - 2048),
    Buffer.alloc(1024),
    patternAt(READ_BYTES - 1024, 1024),
  ]);

  it('structured chunks that interleave give what they say, wherever they are cut', async () => {
    const outcome = await parsePieces('structured', [structured], feeds.receive);
    expect(outcome).toEqual({ results: [digest(expected), extents], idle: true });
    await expectSplitsAgree('structured', structured, cutsOf(structured));
  });

  it('extended chunks give what they say, wherever they are cut', async () => {
    const outcome = await parsePieces('extended', [extended], feeds.receive);
    expect(outcome).toEqual({ results: [digest(patternAt(0, READ_BYTES)), extents], idle: true });
    await expectSplitsAgree('extended', extended, cutsOf(extended));
  });

  it('simple replies give what they say, wherever they are cut', async () => {
    const bytes = simple(request, 0, patternAt(0, READ_BYTES));
    expect((await parsePieces('simple', [bytes], feeds.target)).results[0]).toBe(
      digest(patternAt(0, READ_BYTES)),
    );
    await expectSplitsAgree('simple', bytes, cutsOf(bytes));
    await expectSplitsAgree('simple', simple(request, 5), [0, 1, 8, 15]);
  });

  it('an error is the same wherever it is cut', async () => {
    const bytes = error(request, 5, 'no such sector');
    expect((await parsePieces('structured', [bytes], feeds.receive)).results[0]).toMatch(
      /EIO.*no such sector/,
    );
    await expectSplitsAgree('structured', bytes, bytes.keys());
  });

  it.each([
    ['structured', structured],
    ['extended', extended],
    ['simple', simple(request, 0, patternAt(0, READ_BYTES))],
  ] as const)('random and damaged bytes are harmless: %s', async (style, bytes) => {
    await expectRandomBytesAreHarmless(style, bytes);
  });

  it.each([
    [
      'an offset that is not the request’s',
      extendedChunk(request, NBD_REPLY_TYPE.NONE, Buffer.alloc(0), { offset: 1n }),
    ],
    [
      'H17 a length of 2^63',
      extendedChunk(request, NBD_REPLY_TYPE.OFFSET_DATA, u64(0), { length: 2n ** 63n }),
    ],
    [
      'H29 32-bit extents',
      extendedChunk(statusRequest, NBD_REPLY_TYPE.BLOCK_STATUS, Buffer.concat([u32(1), u32(512), u32(0)])),
    ],
    [
      'H29 a count of extents that is not theirs',
      extendedChunk(
        statusRequest,
        NBD_REPLY_TYPE.BLOCK_STATUS_EXT,
        Buffer.concat([u32(1), u32(2), u64(512), u64(0)]),
      ),
    ],
    ['H18 a simple reply', Buffer.concat([simple(request, 0), Buffer.alloc(16)])],
    [
      'H18 a structured chunk',
      Buffer.concat([chunk(request, NBD_REPLY_TYPE.NONE, Buffer.alloc(0)), Buffer.alloc(12)]),
    ],
  ])('extended headers with %s are a protocol error', async (_title, bytes) => {
    await expect(parsePieces('extended', [bytes], feeds.receive)).rejects.toThrow(NbdProtocolError);
  });
});

describe('requests have the bytes of the specification', () => {
  it('compact', () => {
    const command = { type: NBD_CMD.READ, flags: NBD_CMD_FLAG.DF, offset: 2 ** 40 + 3, length: 0x10000 };
    expect(encodeRequest('structured', command, 0xaabbccdd, 7).toString('hex')).toBe(
      ['25609513', '0004', '0000', 'aabbccdd', '00000007', '0000010000000003', '00010000'].join(''),
    );
  });

  it('extended, where a WRITE announces its payload', () => {
    const command = { type: NBD_CMD.WRITE, flags: NBD_CMD_FLAG.FUA, offset: 1, length: 2 ** 33 };
    expect(encodeRequest('extended', command, 1, 2).toString('hex')).toBe(
      ['21e41c71', '0021', '0001', '00000001', '00000002', '0000000000000001', '0000000200000000'].join(''),
    );
  });
});

describe('options have the bytes of the specification', () => {
  it('requests', () => {
    expect(encodeOption(NBD_OPT.STRUCTURED_REPLY).toString('hex')).toBe(`49484156454f50540000000800000000`);
    expect(encodeOption(NBD_OPT.GO, encodeInfoRequest('vda', [3])).toString('hex')).toBe(
      ['49484156454f5054', '00000007', '0000000b', '00000003', '766461', '0001', '0003'].join(''),
    );
    expect(encodeMetaContextRequest('ä', ['a:b']).toString('hex')).toBe(
      ['00000002', 'c3a4', '00000001', '00000003', '613a62'].join(''),
    );
  });

  it('replies', () => {
    const header = optionReply(NBD_OPT.GO, NBD_REP.ERR_UNKNOWN, Buffer.from('x'));
    expect(parseOptionReplyHeader(header, NBD_OPT.GO)).toEqual({ type: NBD_REP.ERR_UNKNOWN, length: 1 });
    expect(parseInfo(Buffer.concat([u16(3), u32(1), u32(4096), u32(0xffffffff)]))).toEqual({
      kind: 'block-size',
      blockSize: { minimum: 1, preferred: 4096, maximum: 0xffffffff },
    });
    expect(parseInfo(Buffer.concat([u16(1), Buffer.from('disk')]))).toEqual({ kind: 'name', name: 'disk' });
    expect(parseInfo(u16(77))).toEqual({ kind: 'unknown' });
    expect(parseMetaContext(Buffer.concat([u32(9), Buffer.from('a:b')]))).toEqual({ id: 9, name: 'a:b' });
    for (const bad of [
      Buffer.alloc(1),
      Buffer.concat([u16(3), u32(1)]),
      Buffer.concat([u16(1), Buffer.alloc(4097, 'x')]),
    ])
      expect(() => parseInfo(bad)).toThrow(NbdProtocolError);
  });
});

describe('sanitize', () => {
  it('makes control, format and line separator characters visible', () => {
    expect(sanitize('a\u001b[2J\n\u202eb\u2028ä')).toBe('a\\u{1b}[2J\\u{a}\\u{202e}b\\u{2028}ä');
  });
});
