import { getEventListeners } from 'node:events';
import { setImmediate } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { onAbort } from './abort-listeners.ts';
import { answerVersion, failure, silence, VERSION, XML, xmlOf } from './calls.fixture.ts';
import { connect } from './connect.ts';
import { FakeLibvirtd } from './fake-libvirtd.fixture.ts';

const listeners = (signal: AbortSignal): number => getEventListeners(signal, 'abort').length;

/** What Node keeps in a signal of the composite ones that depend on it. */
const dependants = (signal: AbortSignal): number =>
  Object.getOwnPropertySymbols(signal)
    .filter((symbol) => symbol.description === 'kDependantSignals')
    .map((symbol) => (signal as unknown as Record<symbol, { readonly size?: number } | undefined>)[symbol])
    .reduce((count, set) => count + (set?.size ?? 0), 0);

function warningsOfProcess(): Error[] {
  const warnings: Error[] = [];
  const take = (warning: Error): void => {
    warnings.push(warning);
  };
  process.on('warning', take);
  onTestFinished(() => {
    process.off('warning', take);
  });
  return warnings;
}

test('all are called back once, those that stepped out are not, and nothing is left on the signal', () => {
  const controller = new AbortController();
  const { signal } = controller;
  const called: string[] = [];
  onAbort(signal, () => called.push('a'));
  const stop = onAbort(signal, () => called.push('b'));
  onAbort(signal, () => called.push('c'));
  expect(listeners(signal)).toBe(1);
  stop();
  stop();
  controller.abort();
  expect(called).toEqual(['a', 'c']);
  expect(listeners(signal)).toBe(0);
  onAbort(signal, () => called.push('late'));
  expect(called).toEqual(['a', 'c', 'late']);
  const other = new AbortController().signal;
  onAbort(other, () => undefined)();
  expect(listeners(other)).toBe(0);
});

test('many calls and event streams under one signal: one listener, no warning, none left', async () => {
  const warnings = warningsOfProcess();
  await using fake = await FakeLibvirtd.start({ [VERSION]: answerVersion });
  await using libvirt = await connect(fake.uri);
  const { signal } = new AbortController();
  const calls = Array.from({ length: 50 }, () => libvirt.getLibVersion({ signal }));
  const streams = Array.from({ length: 20 }, () => libvirt.domainEvents('lifecycle', { signal }));
  for (const stream of streams) stream.ready.catch(() => undefined);
  await setImmediate();
  expect(listeners(signal)).toBeLessThanOrEqual(1);
  await Promise.all(calls);
  for (const stream of streams) await stream.return();
  await setImmediate();
  expect(listeners(signal)).toBe(0);
  expect(warnings).toEqual([]);
});

test('connecting again and again under one signal leaves nothing in it, failed or not', async () => {
  const warnings = warningsOfProcess();
  await using fake = await FakeLibvirtd.start();
  const { signal } = new AbortController();
  const tries = Array.from({ length: 12 }, async () => {
    await (await connect(fake.uri, { signal })).close();
  });
  const failures = Array.from({ length: 12 }, () => failure(connect(`${fake.uri}no`, { signal })));
  await Promise.all([...tries, ...failures]);
  expect([listeners(signal), dependants(signal)]).toEqual([0, 0]);
  expect(warnings).toEqual([]);
});

test('twenty thousand waiting calls are given up by one signal at once', async () => {
  await using fake = await FakeLibvirtd.start({ [XML]: silence });
  const libvirt = await connect(fake.uri);
  const controller = new AbortController();
  const reason = new Error('enough');
  const calls = Array.from({ length: 20_000 }, () => failure(xmlOf(libvirt, { signal: controller.signal })));
  await setImmediate();
  const before = performance.now();
  controller.abort(reason);
  const reasons = new Set(await Promise.all(calls));
  expect([...reasons]).toEqual([reason]);
  expect(performance.now() - before).toBeLessThan(1_000); // 1.3 s on an idle machine when it was quadratic
  libvirt.destroy();
});
