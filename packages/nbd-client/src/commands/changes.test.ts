import { describe, expect, it } from 'vitest';
import { connect } from '../connect.ts';
import { NbdUsageError } from '../errors.ts';
import { FakeServer, type Script } from '../fake-server.fixture.ts';
import { NBD_CMD, NBD_CMD_FLAG, NBD_FLAG } from '../protocol/constants.ts';
import { error } from '../wire.fixture.ts';

const KIB = 1024;
const ALL =
  NBD_FLAG.HAS_FLAGS |
  NBD_FLAG.SEND_FLUSH |
  NBD_FLAG.SEND_FUA |
  NBD_FLAG.SEND_TRIM |
  NBD_FLAG.SEND_WRITE_ZEROES |
  NBD_FLAG.SEND_FAST_ZERO |
  NBD_FLAG.SEND_CACHE;

const writable: Script = { transmissionFlags: ALL, blockSize: [1, 4096, 64 * KIB] };

describe.each([
  ['structured', {}],
  ['simple', { structured: false }],
  ['extended', { extended: true }],
] as const)('with %s replies', (style, script) => {
  it('each change is sent as the specification has it', async () => {
    await using server = await FakeServer.start({ ...writable, ...script });
    await using nbd = await connect(server.endpoint);
    const bytes = Buffer.alloc(150 * KIB, 7);
    await nbd.write(512, bytes, { fua: true });
    await nbd.writeZeroes(0, 4096, { noHole: true, fastZero: true });
    await nbd.trim(4096, 4096);
    await nbd.cache(0, 100 * KIB);
    await nbd.flush();
    const { FUA, NO_HOLE, FAST_ZERO, PAYLOAD_LEN } = NBD_CMD_FLAG;
    const writeFlags = style === 'extended' ? FUA | PAYLOAD_LEN : FUA;
    expect(server.requests.map(({ type, flags, offset, length }) => [type, flags, offset, length])).toEqual([
      [NBD_CMD.WRITE, writeFlags, 512, 64 * KIB],
      [NBD_CMD.WRITE, writeFlags, 512 + 64 * KIB, 64 * KIB],
      [NBD_CMD.WRITE, writeFlags, 512 + 128 * KIB, 22 * KIB],
      [NBD_CMD.WRITE_ZEROES, NO_HOLE | FAST_ZERO, 0, 4096],
      [NBD_CMD.TRIM, 0, 4096, 4096],
      [NBD_CMD.CACHE, 0, 0, 64 * KIB],
      [NBD_CMD.CACHE, 0, 64 * KIB, 36 * KIB],
      [NBD_CMD.FLUSH, 0, 0, 0],
    ]);
    expect(Buffer.concat(server.requests.map(({ payload }) => payload)).equals(bytes)).toBe(true);
  });
});

describe('changes', () => {
  it('fail alone', async () => {
    await using server = await FakeServer.start({
      ...writable,
      request: (request) => (request.type === NBD_CMD.WRITE ? error(request, 28, 'full') : undefined),
    });
    await using nbd = await connect(server.endpoint);
    const write = nbd.write(0, Buffer.alloc(512));
    await expect(write).rejects.toMatchObject({ errnoName: 'ENOSPC', command: 'NBD_CMD_WRITE' });
    await nbd.flush();
  });

  it('that are aborted leave the caller its bytes', async () => {
    await using server = await FakeServer.start(writable);
    await using nbd = await connect(server.endpoint);
    const abort = new AbortController();
    const bytes = Buffer.alloc(512, 1);
    const write = nbd.write(0, bytes, { signal: abort.signal });
    await Promise.resolve();
    abort.abort();
    bytes.fill(2);
    await expect(write).rejects.toBe(abort.signal.reason);
    await nbd.flush();
    for (const { payload } of server.requests) expect(payload.includes(2)).toBe(false);
  });

  it('that the export does not take are found before anything is sent', async () => {
    await using bare = await FakeServer.start({ transmissionFlags: NBD_FLAG.HAS_FLAGS });
    await using nbd = await connect(bare.endpoint);
    await expect(nbd.flush()).rejects.toThrow(NbdUsageError);
    await expect(nbd.trim(0, 512)).rejects.toThrow(/NBD_CMD_TRIM/);
    await expect(nbd.writeZeroes(0, 512)).rejects.toThrow(/NBD_CMD_WRITE_ZEROES/);
    await expect(nbd.cache(0, 512)).rejects.toThrow(/NBD_CMD_CACHE/);
    await expect(nbd.write(0, Buffer.alloc(1), { fua: true })).rejects.toThrow(/FUA/);
    await expect(nbd.write(2 ** 20, Buffer.alloc(1))).rejects.toThrow(/beyond the export/);
    await using readOnly = await FakeServer.start({ transmissionFlags: ALL | NBD_FLAG.READ_ONLY });
    await using other = await connect(readOnly.endpoint);
    await expect(other.write(0, Buffer.alloc(1))).rejects.toThrow(/read-only/);
    expect([...bare.requests, ...readOnly.requests]).toEqual([]);
  });
});
