import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import {
  assertSameContent,
  compareFiles,
  convertToRaw,
  defineDomain,
  leftovers,
  makeTemporaryFolder,
  requireServers,
  startLibvirtd,
  virsh,
  virshConnection,
} from '../harness/index.ts';

const servers = requireServers('libvirtd', 'qemu-system-x86_64', 'qemu-img', 'qemu-io', 'virsh');
const MiB = 1024 * 1024;

/** Every kind of write a guest makes, cut across cluster and block borders. */
const WRITES = [
  'write -P 0xcc 10M 5M',
  'write -P 0x11 65500 100',
  'write -z 1M 1M',
  'write -z -u 2M 1M',
  'discard 3M 1M',
  'write -P 0x22 4095 2',
  'write -P 0x33 0 512',
];

describe.skipIf(servers.skip)(servers.title('guest-less domains'), () => {
  afterEach(() => {
    expect(leftovers()).toEqual([]);
  });

  test.each(['qcow2', 'raw'] as const)('the truth about a running %s disk is exact', async (format) => {
    await using libvirtd = await startLibvirtd();
    const fill = [{ pattern: 1, offset: 0, length: 8 * MiB }];
    const disks = [
      { size: 32 * MiB, format, fill },
      { size: 16 * MiB, format },
    ];
    const domain = await defineDomain(virshConnection(libvirtd), libvirtd, { name: 'd1', disks });
    const atStart = await domain.truth(0);
    await domain.write(0, ...WRITES);
    await domain.write(1, 'write -P 0x44 1M 64k');
    await domain.io(0, 'read -P 0xcc 10M 5M');
    const truths = [await domain.truth(0), await domain.truth(1)] as const;
    await virsh(libvirtd.uri, 'destroy', domain.name);
    for (const [index, { path }] of domain.disks.entries()) {
      const stopped = await convertToRaw(path, join(libvirtd.workDir, `stopped-${index}.raw`), { format });
      await assertSameContent(truths[index] ?? '', stopped);
    }
    const changed = await compareFiles(atStart, truths[0]);
    // 5 MiB of 0xcc, 3 MiB of zeroes in place of ones, and the blocks 0 and 1
    expect(changed).toMatchObject({ equal: false, firstDifference: 0, differingBlocks: 80 + 48 + 2 });
  });

  test('without the flush the image file would not be the truth', async () => {
    await using libvirtd = await startLibvirtd();
    const spec = { name: 'd2', disks: [{ size: 16 * MiB }] };
    const domain = await defineDomain(virshConnection(libvirtd), libvirtd, spec);
    await domain.write(0, 'write -P 0x55 1M 1M');
    const early = join(libvirtd.workDir, 'early.raw');
    await convertToRaw(domain.disks[0]?.path ?? '', early, { forceShare: true });
    expect((await compareFiles(early, await domain.truth(0))).differingBlocks).toBe(16);
  });

  test('a write that has no effect is an error', async () => {
    await using libvirtd = await startLibvirtd();
    const spec = { name: 'd3', disks: [{ size: 16 * MiB }] };
    await using domain = await defineDomain(virshConnection(libvirtd), libvirtd, spec);
    await expect(domain.io(0, 'write -P 1 32M 1M')).rejects.toThrow(/Input\/output error/);
    await expect(domain.io(0, 'wrote -P 1 0 1M')).rejects.toThrow(/not found/);
    await expect(domain.io(0, 'write -P 1 0')).rejects.toThrow(/said "/);
    await expect(domain.io(0, 'read -P 7 0 1M')).rejects.toThrow(/verification failed/);
    await expect(domain.io(0, 'info')).rejects.toThrow(/said/);
    await expect(domain.io(1, 'write 0 1M')).rejects.toThrow(/no disk 1/);
  });

  test('there is no truth about a disk that a guest may be writing', async () => {
    await using libvirtd = await startLibvirtd();
    const spec = { name: 'd4', disks: [{ size: MiB }] };
    await using domain = await defineDomain(virshConnection(libvirtd), libvirtd, spec);
    await virsh(libvirtd.uri, 'resume', 'd4');
    await expect(domain.truth(0)).rejects.toThrow(/not paused.*running/);
  });
});

describe('comparison of files', () => {
  test('names the first difference and counts blocks', async () => {
    await using folder = makeTemporaryFolder();
    const [a, b] = [join(folder.path, 'a'), join(folder.path, 'b')];
    const content = Buffer.alloc(3 * MiB + 5, 7);
    writeFileSync(a, content);
    writeFileSync(b, content);
    expect(await compareFiles(a, b)).toMatchObject({
      equal: true,
      firstDifference: undefined,
      differingBlocks: 0,
    });
    content[2 * MiB + 17] = 8;
    content[3 * MiB + 4] = 8;
    writeFileSync(b, content);
    expect(await compareFiles(a, b)).toMatchObject({
      equal: false,
      firstDifference: 2 * MiB + 17,
      differingBlocks: 2,
    });
    writeFileSync(b, content.subarray(0, MiB));
    expect(await compareFiles(a, b)).toMatchObject({
      equal: false,
      firstDifference: MiB,
      differingBlocks: 33,
    });
    await expect(assertSameContent(a, b)).rejects.toThrow(/first at offset 1048576, in 33 blocks/);
  });
});
