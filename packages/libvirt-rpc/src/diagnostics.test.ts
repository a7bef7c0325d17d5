import { tracingChannel } from 'node:diagnostics_channel';
import { expect, test } from 'vitest';
import { answerVersion, TYPE, VERSION } from './calls.fixture.ts';
import { connect } from './connect.ts';
import type { CallTrace, ConnectTrace } from './diagnostics.ts';
import { FakeLibvirtd } from './fake-libvirtd.fixture.ts';

test('calls and connections can be watched; arguments and secrets are not shown', async () => {
  await using fake = await FakeLibvirtd.start({
    [VERSION]: answerVersion,
    [TYPE]: (call) => {
      call.client.refuse(call, 38);
    },
  });
  const seen: unknown[] = [];
  const calls = tracingChannel<unknown, CallTrace>('libvirt-ts-rpc:call');
  const connects = tracingChannel<unknown, ConnectTrace>('libvirt-ts-rpc:connect');
  const nothing = (): void => undefined;
  const callHandlers = {
    start: nothing,
    end: nothing,
    asyncStart: nothing,
    asyncEnd: (trace: CallTrace): void => {
      seen.push({ ...trace });
    },
    error: nothing,
  };
  const connectHandlers = {
    ...callHandlers,
    asyncEnd: nothing,
    start: ({ uri }: ConnectTrace) => seen.push(uri),
  };
  calls.subscribe(callHandlers);
  connects.subscribe(connectHandlers);
  try {
    await using libvirt = await connect(fake.uri);
    await libvirt.getLibVersion();
    await expect(libvirt.getType()).rejects.toThrow();
  } finally {
    calls.unsubscribe(callHandlers);
    connects.unsubscribe(connectHandlers);
  }
  expect(seen[0]).toBe('qemu+unix:///system');
  const traces = seen.slice(1) as CallTrace[];
  expect(traces.map(({ number }) => number)).toEqual([66, 60, 1, 157, 3]);
  expect(traces.at(-2)).toEqual({ procedure: VERSION, program: 'REMOTE', number: 157 });
  expect(traces.at(-1)).toMatchObject({ procedure: TYPE, program: 'REMOTE', virErrorNumber: 38 });
});
