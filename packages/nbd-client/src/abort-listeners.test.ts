import { getEventListeners } from 'node:events';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setImmediate } from 'node:timers/promises';
import { expect, it, onTestFinished, vi } from 'vitest';
import { onAbort } from './abort-listeners.ts';
import { connect, connectPool, exportInfo, listExports } from './connect.ts';
import { FakeServer } from './fake-server.fixture.ts';
import { rejection } from './hostile.fixture.ts';
import { NBD_CMD, NBD_FLAG } from './protocol/constants.ts';

const listeners = (signal: AbortSignal): number => getEventListeners(signal, 'abort').length;

/** What Node keeps in a signal for composite ones that depend on it. */
function dependants(signal: AbortSignal): number {
  const sets = Object.getOwnPropertySymbols(signal)
    .filter(({ description }) => description === 'kDependantSignals')
    .map((symbol) => (signal as unknown as Record<symbol, { readonly size?: number } | undefined>)[symbol]);
  return sets.reduce((count, set) => count + (set?.size ?? 0), 0);
}

/** Node tells of a leak in a later turn. */
function warnings(): Error[] {
  const seen: Error[] = [];
  const take = (warning: Error): void => void seen.push(warning);
  process.on('warning', take);
  onTestFinished(() => {
    process.off('warning', take);
  });
  return seen;
}

it('calls back everybody once but those who stepped out, and leaves no listener', () => {
  const abort = new AbortController();
  const { signal } = abort;
  const called: string[] = [];
  onAbort(signal, () => called.push('first'));
  const stepOut = onAbort(signal, () => called.push('second'));
  onAbort(signal, () => called.push('third'));
  expect(listeners(signal)).toBe(1);
  stepOut();
  stepOut();
  abort.abort();
  expect(called).toEqual(['first', 'third']);
  expect(listeners(signal)).toBe(0);
  onAbort(signal, () => called.push('late'));
  expect(called).toEqual(['first', 'third', 'late']);
});

it('hundreds of commands on many connections under one signal have one listener together, and leave none', async () => {
  const seen = warnings();
  await using server = await FakeServer.start({
    request: ({ type }) => (type === NBD_CMD.DISC ? undefined : 'nothing'),
  });
  await using pool = await connectPool(server.endpoint, { connections: 12, closeTimeoutMs: 50 });
  const abort = new AbortController();
  const { signal } = abort;
  const reads = Array.from({ length: 300 }, () => rejection(pool.read(0, 512, { signal })));
  await vi.waitFor(() => {
    expect(server.requests.length).toBe(12 * 16);
  });
  expect(listeners(signal)).toBe(1);
  abort.abort();
  expect(new Set(await Promise.all(reads))).toEqual(new Set([signal.reason]));
  expect([listeners(signal), seen]).toEqual([0, []]);
  pool.destroy();
});

it('answered commands let the signal go', async () => {
  await using server = await FakeServer.start();
  await using nbd = await connect(server.endpoint);
  const { signal } = new AbortController();
  await Promise.all(Array.from({ length: 50 }, () => nbd.read(0, 512, { signal })));
  await setImmediate();
  expect(listeners(signal)).toBe(0);
});

it('streams share the listener too, and fail with the reason itself', async () => {
  const seen = warnings();
  await using server = await FakeServer.start({
    transmissionFlags: NBD_FLAG.HAS_FLAGS | NBD_FLAG.SEND_WRITE_ZEROES,
    request: ({ type }) => (type === NBD_CMD.DISC ? undefined : 'nothing'),
  });
  await using nbd = await connect(server.endpoint, { closeTimeoutMs: 50 });
  const abort = new AbortController();
  const { signal } = abort;
  const zero = { type: 'zero', offset: 0, length: 512 };
  const streams = Array.from({ length: 5 }, () => [
    rejection(nbd.createReadStream({ signal }).toArray()),
    rejection(pipeline(Readable.from([Buffer.alloc(512)]), nbd.createWriteStream({ signal }))),
    rejection(pipeline(Readable.from([zero]), nbd.createRestoreStream({ signal }))),
  ]).flat();
  await vi.waitFor(() => {
    expect(nbd.statistics.requestsInFlight).toBe(16);
  });
  expect(listeners(signal)).toBe(1);
  const reason = new Error('enough');
  abort.abort(reason);
  for (const stream of streams) expect(await stream).toBe(reason);
  expect([listeners(signal), seen]).toEqual([0, []]);
  nbd.destroy();
});

it('a stream that has ended lets the signal go', async () => {
  await using server = await FakeServer.start();
  await using nbd = await connect(server.endpoint);
  const { signal } = new AbortController();
  await nbd.createReadStream({ signal }).toArray();
  nbd.createReadStream({ signal }).destroy();
  await setImmediate();
  expect(listeners(signal)).toBe(0);
});

it('connecting again and again under one signal leaves nothing in it, whether it succeeds or fails', async () => {
  const seen = warnings();
  await using server = await FakeServer.start();
  const { signal } = new AbortController();
  const nowhere = 'nbd+unix:///?socket=/nowhere/socket';
  const tries = Array.from({ length: 20 }, async () => {
    await (await connect(server.endpoint, { signal })).close();
    await exportInfo(server.endpoint, { signal });
    await rejection(listExports(nowhere, { signal }));
  });
  await Promise.all(tries);
  expect([listeners(signal), dependants(signal), seen]).toEqual([0, 0, []]);
});
