import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { connect, type Connection, LibvirtConnectionClosedError, type StorageVolume } from 'libvirt-ts-rpc';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  leftovers,
  type PrivateLibvirtd,
  requireServers,
  startLibvirtd,
  virsh,
  waitUntil,
} from '../harness/index.ts';

const servers = requireServers('libvirtd', 'virsh', 'qemu-system-x86_64');
const MiB = 1024 * 1024;
const CALLS = 400;

/** How many sockets this process has, and timers but for those of the test runner. */
function handles(): { readonly sockets: number; readonly timers: number } {
  const names = process.getActiveResourcesInfo();
  const count = (wanted: string): number => names.filter((name) => name === wanted).length;
  return { sockets: count('PipeWrap'), timers: count('Timeout') };
}

/** Of the test runner itself, at any moment. */
const TIMERS_OF_RUNNER = 1;

/** The daemon is back, and nobody has come back by himself. */
async function nothingIsLeft(before: { readonly sockets: number }): Promise<void> {
  const isClean = (): boolean => {
    const { sockets, timers } = handles();
    return sockets <= before.sockets && timers <= TIMERS_OF_RUNNER;
  };
  await waitUntil(isClean, 10_000, `no more than ${JSON.stringify(before)} handles`);
}

/** Everything a connection can have under way at once. */
class Load {
  readonly libvirt: Connection;
  readonly #outcomes: Promise<PromiseSettledResult<unknown>>[] = [];
  answered = 0;
  received = 0;
  events = 0;

  constructor(libvirt: Connection) {
    this.libvirt = libvirt;
  }

  async start(source: StorageVolume, target: StorageVolume): Promise<void> {
    const { libvirt } = this;
    const refreshed = libvirt.storagePoolEvents('refresh');
    const lifecycle = libvirt.domainEvents('lifecycle');
    await Promise.all([refreshed.ready, lifecycle.ready]);
    this.#add(this.#count(refreshed));
    this.#add(this.#count(lifecycle));
    this.#add(this.#readSlowly(await source.download()));
    this.#add(pipeline(Readable.from(slowly()), await target.upload()));
    for (let index = 0; index < CALLS; index++)
      this.#add(
        (index % 2 === 0 ? libvirt.getCapabilities() : libvirt.getType()).then(() => this.answered++),
      );
  }

  async outcomes(): Promise<PromiseSettledResult<unknown>[]> {
    return Promise.all(this.#outcomes);
  }

  #add(work: Promise<unknown>): void {
    this.#outcomes.push(Promise.allSettled([work]).then(([outcome]) => outcome));
  }

  async #count(stream: AsyncIterable<unknown>): Promise<void> {
    for await (const event of stream) if (event !== undefined) this.events++;
  }

  async #readSlowly(stream: AsyncIterable<unknown>): Promise<void> {
    for await (const chunk of stream) {
      this.received += (chunk as Buffer).length;
      await delay(2);
    }
  }
}

async function* slowly(): AsyncGenerator<Buffer> {
  for (;;) {
    yield Buffer.alloc(4096, 1);
    await delay(5);
  }
}

describe.skipIf(servers.skip)(servers.title('a daemon that fails under load'), () => {
  let libvirtd: PrivateLibvirtd;

  beforeAll(async () => {
    libvirtd = await startLibvirtd();
    const pool = ['--type', 'dir', '--target', libvirtd.imagesDir];
    await virsh(libvirtd.uri, 'pool-define-as', 'bulk', ...pool);
    await virsh(libvirtd.uri, 'pool-start', 'bulk');
    for (const name of ['source', 'target'])
      await virsh(libvirtd.uri, 'vol-create-as', 'bulk', name, '4GiB', '--allocation', '0');
  });

  afterAll(async () => {
    await libvirtd.stop();
    expect(leftovers()).toEqual([]);
  });

  async function loaded(): Promise<Load> {
    // Longer than a busy machine keeps a healthy daemon from answering, shorter than a test.
    const libvirt = await connect(libvirtd.uri, { keepalive: { intervalMs: 1000, count: 4 } });
    const pool = await libvirt.lookupStoragePoolByName('bulk');
    const load = new Load(libvirt);
    const volumes = ['source', 'target'].map((name) => pool.storageVolLookupByName(name));
    const [source, target] = await Promise.all(volumes);
    if (source === undefined || target === undefined) throw new Error('no volumes');
    await load.start(source, target);
    await virsh(libvirtd.uri, 'pool-refresh', 'bulk');
    await waitUntil(
      () => load.answered > 20 && load.received > MiB && load.events > 0,
      20_000,
      'calls, data and events',
    );
    return load;
  }

  /** Nothing came true that did not, nothing hangs, nothing is tried again. */
  async function checkEnd(load: Load, reasons: readonly string[]): Promise<void> {
    const outcomes = await load.outcomes();
    const { reason } = await load.libvirt.closed;
    expect(reasons).toContain(reason);
    const [refreshed, lifecycle, download, upload, ...calls] = outcomes;
    for (const outcome of [refreshed, lifecycle, download, upload])
      expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'ERR_LIBVIRT_CLOSED' } });
    const failed = calls.filter(({ status }) => status === 'rejected');
    expect(failed.length).toBeGreaterThan(0);
    expect(failed.length).toBe(CALLS - load.answered);
    for (const outcome of failed)
      expect(outcome).toMatchObject({ reason: expect.any(LibvirtConnectionClosedError) as unknown });
    await expect(load.libvirt.getType()).rejects.toMatchObject({ code: 'ERR_LIBVIRT_CLOSED' });
  }

  test.each<[NodeJS.Signals, number]>([
    ['SIGKILL', 3],
    ['SIGTERM', 1],
  ])('%s: everything settles, nothing is left, and the next daemon serves', async (signal, rounds) => {
    const before = handles();
    for (let round = 0; round < rounds; round++) {
      const load = await loaded();
      await libvirtd.kill(signal);
      await checkEnd(load, ['peer', 'error']);
      await libvirtd.restart();
      await delay(300);
      await nothingIsLeft(before);
    }
    await virsh(libvirtd.uri, 'pool-start', 'bulk').catch(() => undefined); // where it is not started by itself
    await using again = await connect(libvirtd.uri);
    await using events = again.storagePoolEvents('refresh');
    await events.ready;
    await virsh(libvirtd.uri, 'pool-refresh', 'bulk');
    expect((await events.next()).value).toMatchObject({ kind: 'refresh', pool: { name: 'bulk' } });
  });

  test('SIGSTOP: keepalive ends it, and what the daemon says when it wakes up reaches nobody', async () => {
    await virsh(libvirtd.uri, 'pool-start', 'bulk').catch(() => undefined);
    const before = handles();
    const load = await loaded();
    await libvirtd.kill('SIGSTOP');
    try {
      await checkEnd(load, ['error']);
    } finally {
      await libvirtd.kill('SIGCONT');
    }
    const { answered, received, events } = load;
    await using again = await connect(libvirtd.uri);
    expect(await again.getType()).toBe('QEMU');
    expect(load).toMatchObject({ answered, received, events });
    await again.close();
    await nothingIsLeft(before);
  });

  test('a daemon that only pauses, and less than keepalive lasts, costs nothing', async () => {
    await virsh(libvirtd.uri, 'pool-start', 'bulk').catch(() => undefined);
    await using libvirt = await connect(libvirtd.uri);
    const calls = Array.from({ length: CALLS }, () => libvirt.getCapabilities());
    await calls[5];
    await libvirtd.kill('SIGSTOP');
    await delay(1500);
    await libvirtd.kill('SIGCONT');
    expect(new Set(await Promise.all(calls)).size).toBe(1);
  });
});
