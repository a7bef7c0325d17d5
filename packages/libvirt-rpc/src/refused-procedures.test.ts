import fc from 'fast-check';
import { expect, test } from 'vitest';
import { answerVersion, VERSION } from './calls.fixture.ts';
import { arbitraryFields } from './codec/arbitrary.fixture.ts';
import { connect } from './connect.ts';
import { LibvirtUsageError } from './errors.ts';
import { FakeLibvirtd } from './fake-libvirtd.fixture.ts';
import { procedures } from './procedures/procedures.ts';
import type { Procedure } from './procedures/row.ts';

const rows: Procedure[] = Object.values(procedures);
const own = rows.filter(({ name }) =>
  /_(?:AUTH_\w+|CONNECT_OPEN|CONNECT_CLOSE|\w*EVENT_\w*REGISTER\w*|\w*REGISTER_CLOSE_CALLBACK)$/.test(name),
);
const OWN = [
  ...['QEMU 4', 'QEMU 5', 'REMOTE 1', 'REMOTE 105', 'REMOTE 106', 'REMOTE 167', 'REMOTE 168', 'REMOTE 2'],
  ...['REMOTE 313', 'REMOTE 314', 'REMOTE 316', 'REMOTE 317', 'REMOTE 360', 'REMOTE 361', 'REMOTE 368'],
  ...['REMOTE 369', 'REMOTE 374', 'REMOTE 375', 'REMOTE 380', 'REMOTE 381', 'REMOTE 66', 'REMOTE 67'],
  ...['REMOTE 68', 'REMOTE 69', 'REMOTE 70'],
];
const passDescriptors = rows.filter(({ fileDescriptors }) => fileDescriptors);
const openStreams = rows.filter(({ stream }) => stream !== undefined);

test('which procedures pass file descriptors, open a stream, or are of the connection', () => {
  expect(own.map(({ program, number }) => `${program} ${number}`).sort()).toEqual(OWN);
  expect(passDescriptors.map(({ program, number }) => `${program} ${number}`).sort()).toEqual([
    'QEMU 7',
    'REMOTE 249',
    'REMOTE 309',
    'REMOTE 310',
    'REMOTE 343',
    'REMOTE 443',
  ]);
  expect(openStreams.map(({ number, stream }) => `${stream ?? ''} ${number}`).sort()).toEqual([
    'download 209',
    'download 211',
    'duplex 201',
    'duplex 296',
    'upload 148',
    'upload 208',
    'upload 215',
    'upload 304',
  ]);
});

test.each([
  ['passes file descriptors, which Node cannot do', passDescriptors],
  ["is the connection's own: connect, close and the methods for events do it", own],
  ['is followed by a stream: it has a method of its own', openStreams],
])('a procedure that %s is refused, and not a byte is sent', async (why, refused) => {
  await using fake = await FakeLibvirtd.start({ [VERSION]: answerVersion });
  await using libvirt = await connect(fake.uri);
  const before = fake.client.calls.length;
  for (const row of refused) {
    const [args = {}] = fc.sample(arbitraryFields(row.args), { numRuns: 1, seed: 1 });
    const call = libvirt.call(row, args as never);
    await expect(call).rejects.toThrow(`${row.name} ${why}`);
    await expect(call).rejects.toBeInstanceOf(LibvirtUsageError);
  }
  await libvirt.getLibVersion();
  expect(fake.client.calls.slice(before).map(({ row }) => row.name)).toEqual([VERSION]);
});

test("a row of somebody's own does not get at what is the connection's, keepalive included", async () => {
  await using fake = await FakeLibvirtd.start({ [VERSION]: answerVersion });
  await using libvirt = await connect(fake.uri);
  const before = fake.client.calls.length;
  const named = { ...procedures.connectClose, name: 'REMOTE_PROC_CONNECT_GET_TYPE' };
  await expect(libvirt.call(named, {})).rejects.toMatchObject({ code: 'ERR_LIBVIRT_USAGE' });
  const ping = { ...procedures.connectGetType, program: 'KEEPALIVE', number: 1 } as unknown as Procedure;
  await expect(libvirt.call(ping, {})).rejects.toMatchObject({ code: 'ERR_LIBVIRT_USAGE' });
  expect(fake.client.calls).toHaveLength(before);
  expect(fake.client.keepalive).toEqual([]);
});
