import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { describe, expect, it, vi } from 'vitest';
import { connect, connectPool, exportInfo, listExports, listMetaContexts } from './connect.ts';
import type { NbdConnection } from './connection.ts';
import { NbdUsageError } from './errors.ts';
import { FakeServer, type Script } from './fake-server.fixture.ts';
import { rejection } from './hostile.fixture.ts';
import { NBD_CMD, NBD_FLAG } from './protocol/constants.ts';
import type { Endpoint } from './transport/endpoint.ts';
import { parseNbdUri } from './transport/uri.ts';
import { data, patternAt, type Request, simple } from './wire.fixture.ts';

const MIB = 2 ** 20;
const CONTEXT = 'base:allocation';
const writable: Script = {
  size: 64n * 2n ** 20n,
  transmissionFlags:
    NBD_FLAG.HAS_FLAGS | NBD_FLAG.SEND_FLUSH | NBD_FLAG.SEND_FUA | NBD_FLAG.SEND_TRIM | NBD_FLAG.SEND_CACHE,
};

function detached(): Uint8Array {
  const bytes = new Uint8Array(512);
  detach(bytes);
  return bytes;
}

function detach(bytes: Uint8Array): void {
  structuredClone(bytes.buffer, { transfer: [bytes.buffer as ArrayBuffer] });
}

const resizable = new (ArrayBuffer as new (bytes: number, options: object) => ArrayBuffer)(512, {
  maxByteLength: 1024,
});
const growable = new (SharedArrayBuffer as new (bytes: number, options: object) => SharedArrayBuffer)(512, {
  maxByteLength: 1024,
});

const NO_BYTES: readonly (readonly [string, unknown])[] = [
  ['a Uint32Array', new Uint32Array(128)],
  ['a Uint16Array', new Uint16Array(256)],
  ['a Uint8ClampedArray', new Uint8ClampedArray(512)],
  ['a DataView', new DataView(new ArrayBuffer(512))],
  ['an ArrayBuffer', new ArrayBuffer(512)],
  ['an array', Array(512).fill(1)],
  ['a string', 'x'.repeat(512)],
  ['an object with a length', { length: 512 }],
  ['something that only claims to be bytes', Object.create(Uint8Array.prototype)],
  ['null', null],
  ['nothing', undefined],
  ['detached memory', detached()],
  ['memory that may shrink', new Uint8Array(resizable)],
  ['shared memory that may grow', new Uint8Array(growable)],
];

/** The server saw nothing of what was refused, and goes on. */
async function expectNothingSent(nbd: NbdConnection, server: FakeServer): Promise<void> {
  expect(server.requests).toEqual([]);
  expect((await nbd.read(512, 512)).equals(patternAt(512, 512))).toBe(true);
  expect(server.requests).toMatchObject([{ type: NBD_CMD.READ, offset: 512, length: 512 }]);
}

describe('what is no bytes', () => {
  it.each(NO_BYTES)('%s is neither written nor read into', async (_title, value) => {
    await using server = await FakeServer.start(writable);
    await using nbd = await connect(server.endpoint);
    const bytes = value as Uint8Array;
    expect(await rejection(nbd.write(0, bytes))).toBeInstanceOf(NbdUsageError);
    expect(await rejection(nbd.readInto(bytes, 0))).toBeInstanceOf(NbdUsageError);
    const chunks = Readable.from([{ type: 'data', offset: 0, bytes }]);
    expect(await rejection(pipeline(chunks, nbd.createRestoreStream()))).toBeInstanceOf(NbdUsageError);
    await expectNothingSent(nbd, server);
  });

  it('memory that is shared and stays as long as it is will do', async () => {
    await using server = await FakeServer.start(writable);
    await using nbd = await connect(server.endpoint);
    const bytes = new Uint8Array(new SharedArrayBuffer(2 * MIB), 512, MIB);
    await nbd.readInto(bytes, 4096);
    expect(Buffer.from(bytes).equals(patternAt(4096, MIB))).toBe(true);
    await nbd.write(0, bytes);
    expect(server.requests[1]?.payload.equals(patternAt(4096, MIB))).toBe(true);
  });

  it('a length that a view only claims to have does not count', async () => {
    await using server = await FakeServer.start(writable);
    await using nbd = await connect(server.endpoint);
    class Liar extends Uint8Array {
      override get length(): number {
        return 16;
      }
    }
    await nbd.write(0, new Liar(64).fill(7));
    await nbd.flush();
    expect(server.requests).toMatchObject([{ length: 64 }, { type: NBD_CMD.FLUSH }]);
  });
});

describe('memory that is given away while it is in use', () => {
  it.each([
    ['at once', 16],
    ['while it waits for the window', 1],
  ])('%s: the write fails, and no other', async (_title, maxRequests) => {
    await using server = await FakeServer.start(writable);
    await using nbd = await connect(server.endpoint, { maxRequests });
    const before = nbd.read(0, 512);
    const bytes = new Uint8Array(4096).fill(1);
    const write = rejection(nbd.write(0, bytes));
    const after = nbd.write(8192, Buffer.alloc(512, 2));
    detach(bytes);
    expect(await write).toBeInstanceOf(NbdUsageError);
    expect((await before).equals(patternAt(0, 512))).toBe(true);
    await after;
    await nbd.flush();
    expect(server.requests.map(({ type, offset, length }) => [type, offset, length])).toEqual([
      [NBD_CMD.READ, 0, 512],
      [NBD_CMD.WRITE, 8192, 512],
      [NBD_CMD.FLUSH, 0, 0],
    ]);
  });

  it('while the server takes nothing: what waits behind a full socket is not taken for something else', async () => {
    await using server = await FakeServer.start(writable);
    await using nbd = await connect(server.endpoint, { maxRequests: 64 });
    await nbd.flush();
    const socket = server.connections[0]?.socket;
    socket?.pause();
    // More than the kernel keeps: the socket does, and the turns after this one come behind it.
    const writes = [nbd.write(0, Buffer.alloc(4 * MIB, 1))];
    const given: Uint8Array[] = [];
    const failures: Promise<unknown>[] = [];
    for (let index = 1; index < 8; index++) {
      await new Promise((resolve) => setImmediate(resolve));
      writes.push(nbd.write(16 * MIB + index * 4096, Buffer.alloc(4096, index)));
      const bytes = new Uint8Array(8192).fill(0xff);
      failures.push(rejection(nbd.write(32 * MIB + index * 8192, bytes)));
      given.push(bytes);
    }
    await new Promise((resolve) => setImmediate(resolve));
    given.forEach(detach);
    socket?.resume();
    await Promise.all(writes);
    for (const failure of await Promise.all(failures)) expect(failure).toBeInstanceOf(NbdUsageError);
    await nbd.flush();
    for (const { type, offset, length, payload } of server.requests.filter((each) => each.length > 0)) {
      expect([type, length === 4096 || length === 4 * MIB]).toEqual([NBD_CMD.WRITE, true]);
      expect(payload.equals(Buffer.alloc(length, Math.max(1, (offset - 16 * MIB) / 4096)))).toBe(true);
    }
    expect(server.requests.filter(({ length }) => length > 0)).toHaveLength(8);
  });

  it.each([4096, MIB])('a read of %i bytes into it fails, and no other', async (length) => {
    const held: Request[] = [];
    await using server = await FakeServer.start({
      ...writable,
      request: (request) =>
        request.offset === 0 && request.type === NBD_CMD.READ ? hold(request) : undefined,
    });
    const hold = (request: Request): 'nothing' => {
      held.push(request);
      return 'nothing';
    };
    await using nbd = await connect(server.endpoint);
    const [early, late] = [new Uint8Array(length), new Uint8Array(length)];
    const reads = [early, late].map((buffer) => rejection(nbd.readInto(buffer, 0)));
    await vi.waitFor(() => {
      expect(held).toHaveLength(2);
    });
    detach(early);
    const socket = server.connections[0]?.socket;
    socket?.write(data(held[0] as Request, 0, length));
    const reply = data(held[1] as Request, 0, length);
    socket?.write(reply.subarray(0, length / 2));
    await vi.waitFor(() => {
      expect(late[length / 4]).toBe(patternAt(length / 4, 1)[0]);
    });
    detach(late);
    socket?.write(reply.subarray(length / 2));
    for (const read of reads) expect(await read).toBeInstanceOf(NbdUsageError);
    expect((await nbd.read(512, 512)).equals(patternAt(512, 512))).toBe(true);
  });
});

const NO_OFFSETS: readonly unknown[] = ['512', 512n, null, undefined, {}, [512], Symbol('512'), Number.NaN];

describe('what is no offset or length', () => {
  it.each(NO_OFFSETS.map((value) => [String(value), value]))('%s is refused', async (_title, value) => {
    await using server = await FakeServer.start(writable);
    await using nbd = await connect(server.endpoint, { metaContexts: [CONTEXT] });
    const wrong = value as number;
    const bytes = Buffer.alloc(512);
    const zero = (chunk: object): Promise<void> =>
      pipeline(Readable.from([{ type: 'zero', ...chunk }]), nbd.createRestoreStream());
    for (const attempt of [
      () => nbd.read(wrong, 512),
      () => nbd.read(0, wrong),
      () => nbd.readInto(bytes, wrong),
      () => nbd.write(wrong, bytes),
      () => nbd.trim(wrong, 512),
      () => nbd.trim(0, wrong),
      () => nbd.writeZeroes(wrong, 512),
      () => nbd.cache(0, wrong),
      () => nbd.blockStatus(0, wrong),
      // Without WRITE_ZEROES a range is cut into writes here: '4096' behind 512 would be 5124096.
      () => zero({ offset: 512, length: wrong }),
      () => zero({ offset: wrong, length: 512 }),
    ])
      expect(await rejection(attempt())).toBeInstanceOf(NbdUsageError);
    if (value !== undefined)
      for (const attempt of [
        () => nbd.createReadStream({ start: wrong }),
        () => nbd.createReadStream({ end: wrong }),
        () => nbd.createWriteStream({ start: wrong }),
        () => nbd.extents(CONTEXT, { end: wrong }),
      ])
        expect(attempt).toThrow(NbdUsageError);
    await expectNothingSent(nbd, server);
  });
});

describe('options', () => {
  it.each([
    ['a number', 1],
    ['null', null],
    ['an array', []],
    ['one that there is none of', { fau: true }],
    ['a signal that is none', { signal: 'stop' }],
    ['a signal that is an EventTarget', { signal: new EventTarget() }],
  ])('%s are refused', async (_title, value) => {
    await using server = await FakeServer.start(writable);
    await using nbd = await connect(server.endpoint, { metaContexts: [CONTEXT] });
    const options = value as object;
    for (const attempt of [
      () => nbd.read(0, 512, options),
      () => nbd.readInto(Buffer.alloc(512), 0, options),
      () => nbd.write(0, Buffer.alloc(512), options),
      () => nbd.writeZeroes(0, 512, options),
      () => nbd.trim(0, 512, options),
      () => nbd.cache(0, 512, options),
      () => nbd.flush(options),
      () => nbd.blockStatus(0, 512, options),
    ])
      expect(await rejection(attempt())).toBeInstanceOf(NbdUsageError);
    expect(() => nbd.createReadStream(options)).toThrow(NbdUsageError);
    expect(() => nbd.createWriteStream(options)).toThrow(NbdUsageError);
    expect(() => nbd.createRestoreStream(options)).toThrow(NbdUsageError);
    expect(() => nbd.extents(CONTEXT, options)).toThrow(NbdUsageError);
    await expectNothingSent(nbd, server);
  });

  it('of the wrong type are refused, one by one', async () => {
    await using server = await FakeServer.start(writable);
    await using nbd = await connect(server.endpoint, { metaContexts: [CONTEXT] });
    for (const attempt of [
      nbd.read(0, 512, { df: 1 } as never),
      nbd.write(0, Buffer.alloc(512), { fua: 'yes' } as never),
      nbd.writeZeroes(0, 512, { noHole: 0 } as never),
      nbd.blockStatus(0, 512, { contexts: CONTEXT } as never),
      nbd.blockStatus(0, 512, { reqOne: {} } as never),
    ])
      expect(await rejection(attempt)).toMatchObject({ code: 'ERR_NBD_USAGE' });
    expect(() => nbd.extents(5n as never)).toThrow(NbdUsageError);
    await expectNothingSent(nbd, server);
  });

  it('that are undefined are not there', async () => {
    await using server = await FakeServer.start(writable);
    await using nbd = await connect(server.endpoint);
    await nbd.read(0, 512, { signal: undefined, df: undefined });
    await nbd.write(0, Buffer.alloc(512), { signal: undefined, fua: undefined });
    expect(server.requests).toHaveLength(2);
  });
});

it('a chunk to restore that is none is refused', async () => {
  await using server = await FakeServer.start({
    ...writable,
    request: (request) => (request.type === NBD_CMD.WRITE ? simple(request, 0) : undefined),
  });
  await using nbd = await connect(server.endpoint);
  for (const chunk of [{}, { type: 'hole', offset: 0, length: 512 }, 5, 'data'])
    expect(await rejection(pipeline(Readable.from([chunk]), nbd.createRestoreStream()))).toBeInstanceOf(
      NbdUsageError,
    );
  await expectNothingSent(nbd, server);
});

describe('what connects', () => {
  const path = '/nowhere/s';
  it.each<[string, unknown, unknown]>([
    ['a target that is none', 5, {}],
    ['a target that is null', null, {}],
    ['an endpoint without an address', {}, {}],
    ['an address with neither path nor host', { address: {} }, {}],
    ['an address with both', { address: { path, host: 'h' } }, {}],
    ['a path that is no string', { address: { path: 7 } }, {}],
    ['a port in a string', { address: { host: 'h', port: '10809' } }, {}],
    ['an export name that is no string', { address: { path }, exportName: 7 }, {}],
    // It would open the default export.
    ['an export name that is misspelt', { address: { path }, exportname: 'vda' }, {}],
    ['tls that is only true', { address: { path }, tls: true }, {}],
    ['tls of no kind', { address: { path }, tls: {} }, {}],
    ['tls of another kind', { address: { path }, tls: { type: 'anon' } }, {}],
    ['a key in a string', { address: { path }, tls: { type: 'psk', identity: 'me', key: 'secret' } }, {}],
    ['no key', { address: { path }, tls: { type: 'psk', identity: 'me' } }, {}],
    [
      // It would check the certificate all the same, but nobody should have to know.
      'a verification that is a string',
      { address: { path }, tls: { type: 'x509', hostname: 'h', verifyPeer: 'false' } },
      {},
    ],
    ['no options but null', { address: { path } }, null],
    ['an option that there is none of', { address: { path } }, { connectTimeout: 5 }],
    ['a signal that is none', { address: { path } }, { signal: {} }],
    ['a timeout in a string', { address: { path } }, { connectTimeoutMs: '5' }],
    ['a timeout that is a symbol', { address: { path } }, { idleTimeoutMs: Symbol('never') }],
    // It would be taken apart into letters.
    ['one metadata context without a list', { address: { path } }, { metaContexts: CONTEXT }],
    ['a metadata context that is no string', { address: { path } }, { metaContexts: [7] }],
    ['extended headers that are only true', { address: { path } }, { extendedHeaders: 1 }],
  ])('%s is refused before anything is dialled', async (_title, target, options) => {
    expect(await rejection(connect(target as Endpoint, options as object))).toBeInstanceOf(NbdUsageError);
  });

  it.each<[string, (options: never) => Promise<unknown>, unknown]>([
    ['exports', (options) => listExports({ address: { path } }, options), { allowLocalFiles: 'no' }],
    ['exports of null', (options) => listExports({ address: { path } }, options), null],
    ['facts', (options) => exportInfo({ address: { path } }, options), { metaContexts: [] }],
    ['contexts', (options) => listMetaContexts({ address: { path } }, options), { queries: 'qemu:' }],
    ['a pool of nothing', (options) => connectPool({ address: { path } }, options), undefined],
    ['a pool of a string', (options) => connectPool({ address: { path } }, options), { connections: '2' }],
    [
      'a pool that reconnects for ever',
      (options) => connectPool({ address: { path } }, options),
      { connections: 1, reconnect: true },
    ],
    [
      'a pool with a misspelt delay',
      (options) => connectPool({ address: { path } }, options),
      { connections: 1, reconnect: { delayMs: 1 } },
    ],
  ])('%s: options are checked', async (_title, ask, options) => {
    expect(await rejection(ask(options as never))).toBeInstanceOf(NbdUsageError);
  });

  it('no URI is refused', () => {
    expect(() => parseNbdUri(undefined as never)).toThrow(NbdUsageError);
  });
});
