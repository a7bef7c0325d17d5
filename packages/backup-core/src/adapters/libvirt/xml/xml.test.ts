import { describe, expect, it } from 'vitest';
import { buildDomainBackup, parseDomainBackup } from './domain-backup.ts';
import {
  buildDomainCheckpoint,
  buildRedefinedCheckpoint,
  parseDomainCheckpoint,
} from './domain-checkpoint.ts';
import { parseDomainDisks } from './domain-disks.ts';
import { target } from '../../../job/facts.fixture.ts';
import { attribute, child, children, parseXml } from './xml.ts';

describe('parseDomainDisks', () => {
  it('reads files, block devices, network disks, empty drives and escaped names', () => {
    const xml = `<?xml version="1.0"?><domain type='kvm'><devices>
      <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/a &amp; b/x.qcow2'/><target dev='vda'/></disk>
      <disk type='block' device='disk'><driver name='qemu' type='raw'/><source dev='/dev/vg/lv'/><target dev='vdb'/></disk>
      <disk type='network' device='disk'><driver type='raw'/><source protocol='rbd' name='p/i'/><target dev='vdc'/></disk>
      <disk type='file' device='cdrom'><target dev='sda'/><readonly/></disk>
    </devices></domain>`;
    expect(parseDomainDisks(xml)).toMatchObject([
      { name: 'vda', format: 'qcow2', source: { type: 'file', path: '/a & b/x.qcow2' }, isReadOnly: false },
      { name: 'vdb', format: 'raw', source: { type: 'block', path: '/dev/vg/lv' } },
      { name: 'vdc', source: { type: 'network', description: 'rbd/p/i' }, chain: ['rbd/p/i'] },
      { name: 'sda', device: 'cdrom', source: { type: 'none' }, isReadOnly: true },
    ]);
  });

  it('follows the images that back a disk, and what else is said of it', () => {
    const xml = `<domain><devices>
      <disk type='file' device='disk'><driver type='qcow2'/><source file='/top'/>
        <backingStore type='file'><format type='qcow2'/><source file='/middle'/>
          <backingStore type='network'><format type='raw'/><source protocol='nbd' name='base'/><backingStore/></backingStore>
        </backingStore><target dev='vda'/><shareable/><transient/></disk>
      <disk type='volume' device='disk'><source pool='p' volume='v'><encryption format='luks'/></source><target dev='vdb'/></disk>
      <disk type='vhostvdpa' device='disk'><source dev='/dev/vhost'/><target dev='vdc'/></disk>
    </devices></domain>`;
    expect(parseDomainDisks(xml)).toMatchObject([
      { chain: ['/top', '/middle', 'nbd/base'], isShareable: true, isTransient: true, isEncrypted: false },
      { source: { type: 'volume', description: 'p/v' }, isEncrypted: true, isTransient: false },
      { source: { type: 'other', description: 'vhostvdpa' } },
    ]);
  });

  it.each([
    [
      'hosts',
      `<source protocol='nbd' name='x'><host name='one' port='10809'/></source>`,
      `name='one'`,
      `name='two'`,
    ],
    [
      'sockets',
      `<source protocol='nbd' tls='no'><host transport='unix' socket='/s/a'/></source>`,
      '/s/a',
      '/s/b',
    ],
    [
      'devices',
      `<source namespace='1'><address domain='0' bus='1' slot='0'/></source>`,
      `bus='1'`,
      `bus='2'`,
    ],
  ])('tells images from each other that differ in their %s alone', (_, source, one, other) => {
    const chainOf = (text: string): readonly string[] | undefined =>
      parseDomainDisks(
        `<domain><devices><disk type='${text.includes('nbd') ? 'network' : 'nvme'}'>${text}<target dev='vda'/></disk></devices></domain>`,
      )[0]?.chain;
    expect(chainOf(source)).not.toEqual(chainOf(source.replace(one, other)));
    // What a running domain has besides.
    expect(chainOf(source)).toEqual(chainOf(source.replace('<source', `<source index='1'`)));
  });

  it('takes paths as they are', () => {
    const xml = `<domain><devices><disk><source file='/a  b '/><target dev='vda'/></disk></devices></domain>`;
    expect(parseDomainDisks(xml)).toMatchObject([{ chain: ['/a  b '] }]);
  });

  it('reads a domain without disks, and refuses what is not a domain', () => {
    expect(parseDomainDisks('<domain><devices/></domain>')).toEqual([]);
    expect(() => parseDomainDisks('<network/>')).toThrow(/root/);
    expect(() => parseDomainDisks('<domain><devices></domain>')).toThrow(/well-formed/);
  });
});

describe('<domainbackup>', () => {
  it('names mode, export, bitmap and scratch of each disk, escaped', () => {
    const xml = buildDomainBackup({
      socket: `/s/<'"&>.sock`,
      disks: [
        {
          name: target('vda'),
          scratch: '/s/a',
          exportName: 'vda',
          incremental: { checkpoint: 'c1', exportBitmap: 'b' },
        },
        { name: target('vdb'), scratch: '/s/b', exportName: 'vdb' },
      ],
    });
    const backup = parseXml(xml, 'domainbackup');
    expect(attribute(backup, 'mode')).toBe('pull');
    const disks = children(child(backup, 'disks') ?? {}, 'disk');
    expect(disks.map((disk) => [attribute(disk, 'backupmode'), attribute(disk, 'incremental')])).toEqual([
      ['incremental', 'c1'],
      ['full', undefined],
    ]);
    expect(disks.map((disk) => attribute(child(disk, 'scratch'), 'file'))).toEqual(['/s/a', '/s/b']);
    expect(parseDomainBackup(xml)).toEqual({
      mode: 'pull',
      socket: `/s/<'"&>.sock`,
      disks: [
        { name: 'vda', exportName: 'vda', scratch: '/s/a' },
        { name: 'vdb', exportName: 'vdb', scratch: '/s/b' },
      ],
    });
  });
});

describe('<domaincheckpoint>', () => {
  it('tracks the disks of the job and no other', () => {
    const xml = buildDomainCheckpoint({ name: 'c1', tracked: [target('vda')], untracked: [target('sda')] });
    const checkpoint = parseXml(xml, 'domaincheckpoint');
    const disks = children(child(checkpoint, 'disks') ?? {}, 'disk');
    expect(disks.map((disk) => [attribute(disk, 'name'), attribute(disk, 'checkpoint')])).toEqual([
      ['vda', 'bitmap'],
      ['sda', 'no'],
    ]);
  });

  it('has the size of healthy bitmaps only', () => {
    const xml = `<domaincheckpoint><name>c1</name><creationTime>1700000000</creationTime><disks>
      <disk name='vda' checkpoint='bitmap' bitmap='c1' size='65536'/>
      <disk name='vdb' checkpoint='bitmap' bitmap='b'/><disk name='sda' checkpoint='no'/></disks></domaincheckpoint>`;
    expect(parseDomainCheckpoint(xml, 'c1')).toEqual({
      name: 'c1',
      creationTime: 1_700_000_000,
      disks: [
        { name: 'vda', bitmap: 'c1', dirtyBytes: 65536 },
        { name: 'vdb', bitmap: 'b', dirtyBytes: undefined },
      ],
    });
    expect(() => parseDomainCheckpoint(xml.replace('1700000000', 'x'), 'c1')).toThrow(/creationTime/);
  });

  it('is redefined by no more than libvirt needs', () => {
    const disks = [{ name: target('vda'), bitmap: 'b&' }];
    const xml = buildRedefinedCheckpoint({ name: 'c<1', creationTime: 17, disks });
    expect(parseDomainCheckpoint(xml, 'c<1')).toMatchObject({ creationTime: 17, disks: [{ bitmap: 'b&' }] });
    expect(xml).not.toContain('parent');
  });
});
