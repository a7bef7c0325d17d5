import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connect, NbdCommandError, NbdUsageError } from 'nbd-ts-client';
import {
  leftovers,
  makeTemporaryFolder,
  requireServers,
  startNbdkit,
  type TemporaryFolder,
} from '../harness/index.ts';
import {
  ALLOCATION,
  changeEverything,
  collect,
  expectBytes,
  expectFacts,
  expectMaps,
  KIB,
  MIB,
  rejection,
  rejections,
} from './nbd-checks.fixture.ts';

const servers = requireServers('nbdkit', 'nbdinfo');

describe.skipIf(servers.skip)(servers.title('nbdkit with filters'), () => {
  let folder: TemporaryFolder;

  beforeAll(() => {
    folder = makeTemporaryFolder('nbd');
  });

  afterAll(() => {
    folder.remove();
    expect(leftovers()).toEqual([]);
  });

  it('a block size policy is kept to, and a caller who does not is told before anything is sent', async () => {
    await using server = await startNbdkit({
      plugin: 'memory',
      parameters: [
        ...['64M', 'blocksize-minimum=4096', 'blocksize-preferred=64K', 'blocksize-maximum=1M'],
        'blocksize-error-policy=error',
      ],
      filters: ['blocksize-policy'],
    });
    await expectFacts(server.uri);
    await using nbd = await connect(server.uri, { metaContexts: [ALLOCATION] });
    expect(nbd.blockSize).toEqual({ minimum: 4096, preferred: 65_536, maximum: MIB });
    const unaligned = [
      nbd.read(512, 4096),
      nbd.read(0, 512),
      nbd.write(4095, Buffer.alloc(4096)),
      nbd.writeZeroes(4096, 1),
      nbd.trim(1, 4096),
      nbd.blockStatus(0, 4097),
    ];
    for (const failure of await rejections(...unaligned)) {
      expect(failure).toBeInstanceOf(NbdUsageError);
      expect(failure.message).toMatch(/multiples of the block size 4096/);
    }
    expect(nbd.statistics.requests).toBe(0);
    const content = Buffer.alloc(64 * MIB);
    await changeEverything(nbd, content);
    await expectBytes(nbd, content);
    await expectMaps(server.uri, nbd);
  });

  it.each([
    ['noextents', ['noextents'], []],
    ['nozero', ['nozero'], []],
    ['nozero, emulated', ['nozero'], ['zeromode=emulate']],
    ['no FUA', ['fua'], []],
    ['FUA emulated by a flush', ['fua'], ['fuamode=emulate']],
    ['no trim', ['nozero', 'cow'], []],
    ['cache emulated', ['cache'], []],
    ['a block size that is read, changed and written back', ['blocksize'], ['minblock=4096', 'maxdata=64K']],
  ])('%s: facts and changes', async (_title, filters, parameters) => {
    await using server = await startNbdkit({ plugin: 'memory', parameters: ['12M', ...parameters], filters });
    await expectFacts(server.uri);
    await using nbd = await connect(server.uri, { metaContexts: [ALLOCATION] });
    const content = Buffer.alloc(12 * MIB);
    await changeEverything(nbd, content);
    await expectBytes(nbd, content);
    if (nbd.metaContexts.length > 0) await expectMaps(server.uri, nbd);
  });

  it('the flags of every command arrive as they were asked for', async () => {
    const log = join(folder.path, 'log');
    await using server = await startNbdkit({
      plugin: 'memory',
      parameters: ['1M', 'fuamode=native', `logfile=${log}`],
      filters: ['log', 'fua'],
    });
    const nbd = await connect(server.uri, { metaContexts: [ALLOCATION] });
    await nbd.write(1024, Buffer.alloc(512, 1), { fua: true });
    await nbd.write(2048, Buffer.alloc(256, 1));
    await nbd.trim(4096, 4096, { fua: true });
    await nbd.writeZeroes(8192, 4096, { noHole: true });
    await nbd.writeZeroes(16_384, 4096, { fua: true });
    await nbd.writeZeroes(20_480, 4096, { fastZero: nbd.canFastZero });
    await nbd.flush();
    await nbd.read(1024, 512);
    await nbd.blockStatus(0, 65_536, { reqOne: true });
    await nbd.blockStatus(65_536, 65_536);
    if (nbd.canCache) await nbd.cache(0, 4096);
    await nbd.close();
    const lines = readFileSync(log, 'utf8').split('\n');
    const requests = lines.flatMap(
      (line) => / connection=\d+ (?!Preconnect|Connect|Disconnect)([A-Z].*?) \.\.\.$/.exec(line)?.[1] ?? [],
    );
    const logged = requests.map((request) => request.replace(/ id=\d+/, ''));
    expect(logged).toEqual([
      'Write offset=0x400 count=0x200 fua=1',
      'Write offset=0x800 count=0x100 fua=0',
      'Trim offset=0x1000 count=0x1000 fua=1',
      'Zero offset=0x2000 count=0x1000 trim=0 fua=0 fast=0',
      'Zero offset=0x4000 count=0x1000 trim=1 fua=1 fast=0',
      `Zero offset=0x5000 count=0x1000 trim=1 fua=0 fast=${nbd.canFastZero ? 1 : 0}`,
      'Flush',
      'Read offset=0x400 count=0x200',
      'Extents offset=0x0 count=0x10000 req_one=1',
      'Extents offset=0x10000 count=0x10000 req_one=0',
      ...(nbd.canCache ? ['Cache offset=0x0 count=0x1000'] : []),
    ]);
    expect(lines.some((line) => line.includes('Disconnect'))).toBe(true);
  });

  it('the extents of a list, however odd', async () => {
    const list = join(folder.path, 'extents');
    writeFileSync(list, '0 1\n1 511 hole\n512 64K zero\n66048 1000 hole,zero\n67048 8\n');
    await using server = await startNbdkit({
      plugin: 'memory',
      parameters: ['1M', `extentlist=${list}`],
      filters: ['extentlist'],
    });
    await using nbd = await connect(server.uri, { metaContexts: [ALLOCATION] });
    await expectMaps(server.uri, nbd);
    const extents = await collect(nbd.extents(ALLOCATION));
    expect(extents.slice(0, 5).map(({ length, flags }) => [length, flags])).toEqual([
      ...[
        [1, 0],
        [511, 1],
        [65_536, 2],
        [1000, 3],
        [8, 0],
      ],
    ]);
    expect(await collect(nbd.extents(ALLOCATION, { start: 100, end: 600 }))).toEqual([
      { offset: 100, length: 412, flags: 1 },
      { offset: 512, length: 88, flags: 2 },
    ]);
  });

  it('errors of every kind of command, while a file says so; the connection goes on', async () => {
    const trigger = join(folder.path, 'fail');
    await using server = await startNbdkit({
      plugin: 'memory',
      parameters: ['1M', 'error=EIO', 'error-rate=100%', `error-file=${trigger}`],
      filters: ['error'],
      exportName: 'vda',
    });
    await using nbd = await connect(server.uri, { metaContexts: [ALLOCATION] });
    await nbd.write(0, Buffer.alloc(KIB, 7));
    writeFileSync(trigger, '');
    const failing: readonly [string, () => Promise<unknown>][] = [
      ['NBD_CMD_READ', () => nbd.read(4096, KIB)],
      ['NBD_CMD_WRITE', () => nbd.write(4096, Buffer.alloc(KIB))],
      ['NBD_CMD_WRITE_ZEROES', () => nbd.writeZeroes(4096, KIB)],
      ['NBD_CMD_TRIM', () => nbd.trim(4096, KIB)],
      ['NBD_CMD_BLOCK_STATUS', () => nbd.blockStatus(4096, KIB)],
    ];
    const reasons = await rejections(...failing.map(([, command]) => command()));
    for (const [index, reason] of reasons.entries()) {
      expect(reason).toBeInstanceOf(NbdCommandError);
      expect(reason).toMatchObject({
        ...{ errnoName: 'EIO', command: failing[index]?.[0], exportName: 'vda', offset: 4096, length: KIB },
      });
    }
    expect(await rejection(collect(nbd.extents(ALLOCATION)))).toBeInstanceOf(NbdCommandError);
    expect(await rejection(collect(nbd.createReadStream()))).toBeInstanceOf(NbdCommandError);
    rmSync(trigger);
    expect((await nbd.read(0, KIB)).equals(Buffer.alloc(KIB, 7))).toBe(true);
    await expectMaps(server.uri, nbd);
  });

  it('some reads fail, at random: the others are whole', async () => {
    await using server = await startNbdkit({
      plugin: 'pattern',
      parameters: ['16M', 'error-pread=ENOMEM', 'error-pread-rate=30%'],
      filters: ['error'],
    });
    await using nbd = await connect(server.uri);
    const reads = Array.from({ length: 256 }, (_, index) => nbd.read(index * 64 * KIB, 64 * KIB));
    const outcomes = await Promise.allSettled(reads);
    for (const [index, outcome] of outcomes.entries()) {
      if (outcome.status === 'fulfilled')
        expect(outcome.value.readBigUInt64BE(65_528)).toBe(BigInt((index + 1) * 65_536 - 8));
      else expect(outcome.reason).toMatchObject({ errnoName: 'ENOMEM', offset: index * 65_536 });
    }
    const failed = outcomes.filter(({ status }) => status === 'rejected').length;
    expect(failed).toBeGreaterThan(20);
    expect(failed).toBeLessThan(200);
  });

  it('slow reads are under way together; one that is given up does not hold up the others', async () => {
    await using server = await startNbdkit({
      plugin: 'pattern',
      parameters: ['16M', 'delay-read=1'],
      filters: ['delay'],
    });
    await using nbd = await connect(server.uri);
    const abort = new AbortController();
    const abandoned = rejection(nbd.read(0, MIB, { signal: abort.signal }));
    const reads = Array.from({ length: 14 }, (_, index) => nbd.read(index * MIB, MIB));
    const reason = new Error('enough');
    abort.abort(reason);
    expect(await abandoned).toBe(reason);
    const started = performance.now();
    for (const [index, bytes] of (await Promise.all(reads)).entries())
      expect(bytes.readBigUInt64BE(8)).toBe(BigInt(index * MIB + 8));
    // One after the other would take 14 s.
    expect(performance.now() - started).toBeLessThan(10_000);
    expect((await nbd.read(8, 8)).readBigUInt64BE()).toBe(8n);
  });

  it('a trickle arrives whole', async () => {
    await using server = await startNbdkit({
      plugin: 'pattern',
      parameters: ['1M', 'rate=16M', 'burstiness=0.1'],
      filters: ['rate'],
    });
    await using nbd = await connect(server.uri, { idleTimeoutMs: 10_000 });
    const bytes = Buffer.concat(await collect(nbd.createReadStream() as AsyncIterable<Buffer>));
    for (let at = 0; at < MIB; at += 8) if (bytes.readBigUInt64BE(at) !== BigInt(at)) expect.fail(`at ${at}`);
  });

  it('every byte of a copy is written where it belongs', async () => {
    await using source = await startNbdkit({ plugin: 'pattern', parameters: ['8M'] });
    // Refuses each write that does not hold what is there already.
    await using target = await startNbdkit({
      plugin: 'pattern',
      parameters: ['8M'],
      filters: ['checkwrite'],
    });
    await using from = await connect(source.uri);
    await using to = await connect(target.uri);
    await pipeline(from.createReadStream(), to.createWriteStream());
    expect(to.statistics.bytesSent).toBeGreaterThan(8 * MIB);
    expect(await rejection(to.write(0, Buffer.alloc(8, 1)))).toBeInstanceOf(NbdCommandError);
    const misplaced = pipeline(from.createReadStream({ start: 8, end: 16 }), to.createWriteStream());
    expect(await rejection(misplaced)).toBeInstanceOf(NbdCommandError);
  });
});
