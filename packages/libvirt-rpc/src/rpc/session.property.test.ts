import fc from 'fast-check';
import { expect, test } from 'vitest';
import { dom, lifecycle } from '../calls.fixture.ts';
import { LibvirtFailure } from '../errors.ts';
import { EventStreams } from '../events/event-streams.ts';
import { errorPacket, eventPacket, replyPacket } from '../fake-libvirtd.fixture.ts';
import { connectProcedures } from '../procedures/connect.ts';
import { domainProcedures } from '../procedures/domain.ts';
import { events } from '../procedures/events.ts';
import { storageProcedures } from '../procedures/storage.ts';
import type { Receiver, Transport } from '../transports/transport.ts';
import { encodeBytesPacket, encodeKeepalive } from './packet.ts';
import { RpcSession } from './session.ts';

/** Takes everything; what it brings is up to the test. */
class MemoryTransport implements Transport {
  readonly secure = 'local';
  receiver: Receiver = { receive: () => undefined, drained: () => undefined, ended: () => undefined };
  #hasEnded = false;

  write(): boolean {
    return true;
  }

  pause(): void {
    // Nothing comes by itself.
  }

  resume(): void {
    // Nothing comes by itself.
  }

  destroy(): Promise<void> {
    this.end();
    return Promise.resolve();
  }

  end(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.receiver.ended(undefined);
  }
}

const stream = (serial: number, type: number, status: number, bytes: number): Buffer =>
  encodeBytesPacket({ program: 0x20008086, procedure: 209, type, serial, status }, Buffer.alloc(bytes));
const serials = fc.integer({ min: 0, max: 6 });

/** What a daemon might say to the calls that are made below, right or wrong. */
const packets = fc.oneof(
  serials.map((serial) => replyPacket(connectProcedures.connectGetType, serial, { type: 'QEMU' })),
  serials.map((serial) => replyPacket(domainProcedures.domainGetXmlDesc, serial, { xml: '<domain/>' })),
  serials.map((serial) => replyPacket(storageProcedures.storageVolDownload, serial, {})),
  serials.map((serial) =>
    replyPacket(connectProcedures.connectDomainEventCallbackRegisterAny, serial, { callbackID: 1 }),
  ),
  serials.map((serial) => errorPacket(domainProcedures.domainGetXmlDesc, { type: 1, serial }, 42)),
  serials.map((serial) => errorPacket(storageProcedures.storageVolDownload, { type: 3, serial }, 38)),
  fc
    .tuple(serials, fc.constantFrom(3, 6), fc.constantFrom(0, 1, 2), fc.constantFrom(0, 4, 12, 40))
    .map(([serial, type, status, bytes]) => stream(serial, type, status, bytes)),
  fc.integer({ min: 0, max: 2 }).map((id) => eventPacket(events.lifecycle, lifecycle(id, 2))),
  fc.constantFrom(1, 2, 3).map((procedure) => encodeKeepalive(procedure)),
);

const damage = fc.record({
  at: fc.nat({ max: 60 }),
  byte: fc.integer({ min: 0, max: 255 }),
});

const pieces = fc.oneof(
  { weight: 6, arbitrary: packets },
  {
    weight: 2,
    arbitrary: fc.tuple(packets, damage).map(([packet, { at, byte }]) => {
      const damaged = Buffer.from(packet);
      damaged[at % damaged.length] = byte;
      return damaged;
    }),
  },
  { weight: 1, arbitrary: packets.map((packet) => packet.subarray(0, packet.length >> 1)) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 80 }).map((bytes) => Buffer.from(bytes)) },
);

test('whatever arrives, in whatever pieces: every promise settles, with a typed error', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(pieces, { maxLength: 25 }),
      fc.integer({ min: 1, max: 200 }),
      async (said, size) => {
        const transport = new MemoryTransport();
        const session = new RpcSession(transport, {
          callTimeoutMs: 0,
          keepalive: { intervalMs: 0, count: 1 },
        });
        const eventStreams = new EventStreams(session, { events: 4, bytes: 4096 });
        let sinkEnds = 0;
        const sink = {
          data: (): void => undefined,
          hole: (): void => undefined,
          end: (): void => undefined,
          confirmed: (): void => {
            sinkEnds++;
          },
          failed: (): void => {
            sinkEnds++;
          },
        };
        const vol = { pool: 'p', name: 'v', key: 'k' };
        const volume = { vol, offset: 0n, length: 0n, flags: 0 };
        const lifecycles = eventStreams.open(
          { eventClass: 'domain', eventID: 0, dom: null },
          (raw) => raw,
          undefined,
        );
        const opening = session.openStream(storageProcedures.storageVolDownload, volume, sink);
        const promises: Promise<unknown>[] = [
          opening,
          session.call(connectProcedures.connectGetType, {}),
          session.call(domainProcedures.domainGetXmlDesc, { dom, flags: 0 }),
          session.call(domainProcedures.domainGetXmlDesc, { dom, flags: 0 }),
          lifecycles.ready,
          (async (): Promise<void> => {
            for await (const event of lifecycles) expect(event).toHaveProperty('callbackID');
          })(),
        ];
        const outcomes = Promise.allSettled(promises);
        const all = Buffer.concat(said);
        for (let at = 0; at < all.length; at += size) {
          transport.receiver.receive(Buffer.from(all.subarray(at, at + size)));
          await Promise.resolve();
        }
        transport.end();
        const settled = await outcomes;
        for (const outcome of settled)
          if (outcome.status === 'rejected') expect(outcome.reason).toBeInstanceOf(LibvirtFailure);
        const { reason, error } = await session.closed;
        expect(['peer', 'error']).toContain(reason);
        if (error !== undefined) expect(error).toBeInstanceOf(LibvirtFailure);
        // A stream that was handed out has one end; one that was not needs none.
        if (settled[0]?.status === 'fulfilled') expect(sinkEnds).toBe(1);
        else expect(sinkEnds).toBeLessThanOrEqual(1);
      },
    ),
    { numRuns: 400 },
  );
});
