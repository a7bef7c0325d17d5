import { connect as connectSocket, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { connectPool, NbdConnectionClosedError, type NbdPool } from 'nbd-ts-client';
import {
  createImage,
  leftovers,
  makeTemporaryFolder,
  type NbdServer,
  requireServers,
  startNbdkit,
  startQemuNbd,
  type TemporaryFolder,
} from '../harness/index.ts';
import { ALLOCATION, KIB, MIB, rejection } from './nbd-checks.fixture.ts';

const servers = requireServers('qemu-nbd', 'qemu-img', 'qemu-io', 'nbdkit');
const RECONNECT = { attempts: 20, firstDelayMs: 20, maxDelayMs: 100 };
const SOON = { timeout: 10_000 };

/** Stands between a client and a server, and cuts what runs through it. */
class Relay implements AsyncDisposable {
  readonly links: Socket[] = [];
  readonly uri: string;
  target: string;
  readonly #server: Server;

  constructor(path: string, target: string) {
    this.uri = `nbd+unix:///?socket=${path}`;
    this.target = target;
    this.#server = createServer((client) => {
      const server = connectSocket(this.target);
      const end = (): void => {
        client.destroy();
        server.destroy();
      };
      for (const socket of [client, server]) socket.on('error', end).on('close', end);
      client.pipe(server).pipe(client);
      this.links.push(client);
    }).listen(path);
  }

  cut(index: number): void {
    this.links[index]?.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.links.forEach((link) => link.destroy());
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

const pathOf = (server: NbdServer): string => (server.endpoint as { readonly path: string }).path;

async function untilSize(pool: NbdPool, size: number): Promise<void> {
  await vi.waitFor(() => {
    expect(pool.connections).toHaveLength(size);
  }, SOON);
}

describe.skipIf(servers.skip)(servers.title('a pool at a real server'), () => {
  let folder: TemporaryFolder;
  let image: string;
  let count = 0;
  const size = 8 * MIB;

  beforeAll(async () => {
    folder = makeTemporaryFolder('nbd');
    image = join(folder.path, 'disk.raw');
    await createImage({ path: image, size, format: 'raw', fill: [{ pattern: 7, offset: 0, length: size }] });
  });

  afterAll(() => {
    folder.remove();
    expect(leftovers()).toEqual([]);
  });

  const relayTo = (server: NbdServer): Relay =>
    new Relay(join(folder.path, `relay-${++count}`), pathOf(server));

  const start = {
    'qemu-nbd': () => startQemuNbd({ image, format: 'raw', readOnly: false }),
    nbdkit: () => startNbdkit({ plugin: 'file', parameters: [image] }),
  };

  it.each(['qemu-nbd', 'nbdkit'] as const)(
    '%s: one of four connections is cut under 2,000 reads: only what it had on the wire fails',
    async (name) => {
      await using server = await start[name]();
      await using relay = relayTo(server);
      await using pool = await connectPool(relay.uri, { connections: 4, metaContexts: [ALLOCATION] });
      expect(pool.connections).toHaveLength(4);
      let answered = 0;
      const reads = Array.from({ length: 2000 }, async (_, index) => {
        const bytes = await pool.read((index % 2000) * 4 * KIB, 4 * KIB);
        expect(bytes.equals(Buffer.alloc(4 * KIB, 7))).toBe(true);
        // The first one, which was once the only one that some commands were for.
        if (++answered === 300) relay.cut(0);
      });
      const outcomes = await Promise.allSettled(reads);
      const failures = outcomes.flatMap((each) =>
        each.status === 'rejected' ? [each.reason as unknown] : [],
      );
      expect(failures.length).toBeLessThanOrEqual(16);
      for (const failure of failures) {
        expect(failure).toBeInstanceOf(NbdConnectionClosedError);
        expect(failure).toMatchObject({ sent: true });
      }
      expect(pool.connections).toHaveLength(3);
      // What goes on: everything, on any of those that are left.
      const again = await Promise.all(
        Array.from({ length: 2000 }, (_, index) => pool.read(index * 4 * KIB, KIB)),
      );
      expect(again).toHaveLength(2000);
      await pool.flush();
      expect([...(await pool.blockStatus(0, MIB)).keys()]).toEqual([ALLOCATION]);
      await pool.write(0, Buffer.alloc(KIB, 7));
    },
  );

  it('fills the place of a connection that was cut, again and again', async () => {
    await using server = await start['qemu-nbd']();
    await using relay = relayTo(server);
    await using pool = await connectPool(relay.uri, { connections: 2, reconnect: RECONNECT });
    for (let cut = 0; cut < 5; cut++) {
      relay.cut(cut);
      await vi.waitFor(() => {
        expect(relay.links).toHaveLength(3 + cut);
      }, SOON);
      await untilSize(pool, 2);
      expect((await pool.read(0, KIB)).equals(Buffer.alloc(KIB, 7))).toBe(true);
    }
  });

  it('fails at once while the server is gone, and goes on when it is there again', async () => {
    const first = await start['qemu-nbd']();
    await using relay = relayTo(first);
    await using pool = await connectPool(relay.uri, { connections: 2, reconnect: RECONNECT });
    await first.stop();
    await untilSize(pool, 0);
    expect(await rejection(pool.read(0, KIB))).toBeInstanceOf(NbdConnectionClosedError);
    await using second = await start['qemu-nbd']();
    relay.target = pathOf(second);
    await untilSize(pool, 2);
    expect((await pool.read(0, KIB)).equals(Buffer.alloc(KIB, 7))).toBe(true);
  });

  it('takes nothing else in the place of its export, were it the same server by its address', async () => {
    await using server = await start['qemu-nbd']();
    const other = join(folder.path, 'other.raw');
    await createImage({ path: other, size: 2 * size, format: 'raw' });
    await using replaced = await startQemuNbd({ image: other, format: 'raw', readOnly: false });
    await using relay = relayTo(server);
    const reconnect = { ...RECONNECT, attempts: 3 };
    const pool = await connectPool(relay.uri, { connections: 1, reconnect });
    relay.target = pathOf(replaced);
    relay.cut(0);
    await pool.closed;
    await expect(pool.read(0, KIB)).rejects.toThrow(/another export/);
  });
});
