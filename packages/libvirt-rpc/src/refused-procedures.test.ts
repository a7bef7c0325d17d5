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
const passDescriptors = rows.filter(({ fileDescriptors }) => fileDescriptors);
const openStreams = rows.filter(({ stream }) => stream !== undefined);

test('which procedures pass file descriptors, and which open a stream', () => {
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
