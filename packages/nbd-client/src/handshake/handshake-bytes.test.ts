import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NbdError, NbdUsageError } from '../errors.ts';
import type { HandshakeIo } from './ask-option.ts';
import { askForInfo, askForExports, askForMetaContexts } from './ask-server.ts';
import { HandshakeReader } from './handshake-reader.ts';
import { openExport } from './open-export.ts';
import {
  NBD_IHAVEOPT,
  NBD_INFO,
  NBD_MAGIC,
  NBD_OLDSTYLE_MAGIC,
  NBD_OPT,
  NBD_REP,
} from '../protocol/constants.ts';
import type { Transport } from '../transport/transport.ts';
import { parseNbdUri } from '../transport/uri.ts';
import { GREETING, optionReply, u16, u32, u64 } from '../wire.fixture.ts';

const request = { exportName: '', metaContexts: ['a:b'], extendedHeaders: true, tls: false };

/** A handshake whose server has said everything beforehand, in these pieces. */
async function outcome(
  pieces: readonly Buffer[],
  speak: (io: HandshakeIo) => Promise<unknown>,
): Promise<unknown> {
  const reader = new HandshakeReader();
  const transport: Transport = {
    receiver: reader,
    bytesRead: 0,
    bytesWritten: 0,
    isClogged: false,
    write: () => undefined,
    startTls: () => Promise.reject(new Error('not here')),
    end: () => {
      transport.receiver.ended(undefined);
    },
    destroy: () => undefined,
  };
  const result = speak({ transport, reader }).then(
    (value) => value,
    (reason: unknown) => {
      if (!(reason instanceof NbdError)) throw reason;
      return `${reason.name}: ${reason.message}`;
    },
  );
  try {
    for (const piece of pieces) {
      reader.receive(piece);
      // Each piece is a turn of its own.
      await Promise.resolve();
    }
  } catch (error) {
    reader.ended(error as Error);
  }
  reader.ended(undefined);
  return result;
}

const ack = (option: number): Buffer => optionReply(option, NBD_REP.ACK);
const meta = (option: number): Buffer =>
  optionReply(option, NBD_REP.META_CONTEXT, Buffer.concat([u32(1), Buffer.from('a:b')]));
const info = (option: number): Buffer =>
  Buffer.concat([
    optionReply(option, NBD_REP.INFO, Buffer.concat([u16(NBD_INFO.EXPORT), u64(4096), u16(1)])),
    optionReply(option, NBD_REP.INFO, Buffer.concat([u16(NBD_INFO.NAME), Buffer.from('vda')])),
    optionReply(
      option,
      NBD_REP.INFO,
      Buffer.concat([u16(NBD_INFO.BLOCK_SIZE), u32(1), u32(4096), u32(2 ** 20)]),
    ),
  ]);
const { EXTENDED_HEADERS, STRUCTURED_REPLY, SET_META_CONTEXT, LIST_META_CONTEXT, GO, INFO, LIST } = NBD_OPT;
const refused = (option: number): Buffer => optionReply(option, NBD_REP.ERR_UNSUP, Buffer.from('what?'));

const conversations: [string, Buffer, (io: HandshakeIo) => Promise<unknown>, unknown][] = [
  [
    'opening an export',
    Buffer.concat([
      GREETING,
      refused(EXTENDED_HEADERS),
      ack(STRUCTURED_REPLY),
      meta(SET_META_CONTEXT),
      ack(SET_META_CONTEXT),
      info(GO),
      ack(GO),
    ]),
    (io) => openExport(io, request),
    { exportSize: 4096, style: 'structured', contexts: new Map([[1, 'a:b']]) },
  ],
  [
    'opening an export of an oldstyle server',
    Buffer.concat([u64(NBD_MAGIC), u64(NBD_OLDSTYLE_MAGIC), u64(4096), u32(3), Buffer.alloc(124)]),
    (io) => openExport(io, request),
    { exportSize: 4096, style: 'simple', transmissionFlags: 3 },
  ],
  [
    'opening an export by its name alone',
    Buffer.concat([u64(NBD_MAGIC), u64(NBD_IHAVEOPT), u16(0), u64(4096), u16(3), Buffer.alloc(124)]),
    (io) => openExport(io, request),
    { exportSize: 4096, style: 'simple', transmissionFlags: 3 },
  ],
  [
    'a refusal',
    Buffer.concat([GREETING, ack(EXTENDED_HEADERS), ack(SET_META_CONTEXT), refused(GO)]),
    (io) => openExport(io, request),
    expect.stringMatching(/ERR_UNSUP.*what\?/),
  ],
  [
    'listing exports',
    Buffer.concat([
      GREETING,
      optionReply(LIST, NBD_REP.SERVER, Buffer.concat([u32(1), Buffer.from('ab')])),
      ack(LIST),
    ]),
    (io) => askForExports(io, false),
    [{ name: 'a', description: 'b' }],
  ],
  [
    'asking about an export',
    Buffer.concat([
      GREETING,
      ack(EXTENDED_HEADERS),
      meta(LIST_META_CONTEXT),
      ack(LIST_META_CONTEXT),
      refused(LIST_META_CONTEXT),
      info(INFO),
      ack(INFO),
    ]),
    (io) => askForInfo(io, false, ''),
    { size: 4096, name: 'vda', metaContexts: ['a:b'], headerStyle: 'extended' },
  ],
  [
    'listing metadata contexts',
    Buffer.concat([GREETING, ack(EXTENDED_HEADERS), meta(LIST_META_CONTEXT), ack(LIST_META_CONTEXT)]),
    (io) => askForMetaContexts(io, false, '', ['a:']),
    ['a:b'],
  ],
];

describe('the bytes of a handshake', () => {
  it.each(conversations)('%s: the same wherever they are cut', async (_title, bytes, speak, expected) => {
    const whole = await outcome([bytes], speak);
    if (typeof expected === 'object' && !Array.isArray(expected) && typeof whole === 'object')
      expect(whole).toMatchObject(expected as object);
    else expect(whole).toEqual(expected);
    for (let cut = 1; cut < bytes.length; cut++) {
      const pieces = [bytes.subarray(0, cut), bytes.subarray(cut)];
      expect(await outcome(pieces, speak), `cut at ${cut}`).toEqual(whole);
    }
    const single = Array.from(bytes, (_, at) => bytes.subarray(at, at + 1));
    expect(await outcome(single, speak)).toEqual(whole);
  });

  it.each(conversations)('%s: a stream that ends too early is an error', async (_title, bytes, speak) => {
    for (let end = 0; end < bytes.length; end += 3)
      expect(await outcome([bytes.subarray(0, end)], speak), `end at ${end}`).toEqual(
        expect.stringMatching(/^Nbd\w+Error: /),
      );
  });

  it.each(conversations)('%s: damaged and random bytes are harmless', async (_title, bytes, speak) => {
    const flips = fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { minLength: 1, maxLength: 5 });
    const damaged = flips.map((changes) => {
      const copy = Buffer.from(bytes);
      for (const [at, value] of changes) copy[at] = value;
      return copy;
    });
    const random = fc
      .uint8Array({ maxLength: 300 })
      .map((some) => Buffer.concat([bytes.subarray(0, 18), some]));
    await fc.assert(
      // `outcome` itself rejects on anything but an NbdError, and hangs on nothing: all bytes are there.
      fc.asyncProperty(fc.oneof(damaged, random), async (some) => {
        await outcome([some], speak);
      }),
      { numRuns: 200 },
    );
  });
});

describe('URIs', () => {
  it('random text is an endpoint or a usage error', () => {
    const piece = fc.constantFrom(
      'nbd',
      's',
      '+unix',
      '://',
      '/',
      '?',
      '&',
      '=',
      'socket',
      '%00',
      '%',
      '[',
      ']',
      ':',
      '@',
      '#',
      'ä',
    );
    const text = fc.oneof(
      fc.string(),
      fc.array(fc.oneof(piece, fc.string({ maxLength: 3 }))).map((all) => `nbd${all.join('')}`),
    );
    fc.assert(
      fc.property(text, (uri) => {
        try {
          expect(parseNbdUri(uri).address).toBeDefined();
        } catch (error) {
          if (!(error instanceof NbdUsageError)) throw error;
        }
      }),
      { numRuns: 1000 },
    );
  });

  it('every export name and socket path goes through a URI unchanged', () => {
    const name = fc.string({ unit: 'binary', maxLength: 30 }).filter((text) => !text.includes('\0'));
    fc.assert(
      fc.property(name, name, (exportName, rest) => {
        const path = `/${rest}`;
        if (Buffer.byteLength(path) > 107) return;
        const uri = `nbd+unix:///${encodeURIComponent(exportName)}?socket=${encodeURIComponent(path)}`;
        expect(parseNbdUri(uri)).toEqual({ address: { path }, exportName });
      }),
    );
  });
});
