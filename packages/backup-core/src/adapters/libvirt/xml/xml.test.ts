import { describe, expect, it } from 'vitest';
import { buildDomainBackup, parseDomainBackup } from './domain-backup.ts';
import { buildDomainCheckpoint, parseCheckpointSizes } from './domain-checkpoint.ts';
import { parseDomainDisks } from './domain-disks.ts';
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
      { name: 'vdc', source: { type: 'other', kind: 'network' } },
      { name: 'sda', device: 'cdrom', source: { type: 'none' }, isReadOnly: true },
    ]);
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
          name: 'vda',
          scratch: '/s/a',
          exportName: 'vda',
          incremental: { checkpoint: 'c1', exportBitmap: 'b' },
        },
        { name: 'vdb', scratch: '/s/b', exportName: 'vdb' },
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
    expect(parseDomainBackup(xml)).toEqual({ socket: `/s/<'"&>.sock`, disks: ['vda', 'vdb'] });
  });
});

describe('<domaincheckpoint>', () => {
  it('tracks the disks of the job and no other', () => {
    const checkpoint = parseXml(buildDomainCheckpoint('c1', ['vda'], ['sda']), 'domaincheckpoint');
    const disks = children(child(checkpoint, 'disks') ?? {}, 'disk');
    expect(disks.map((disk) => [attribute(disk, 'name'), attribute(disk, 'checkpoint')])).toEqual([
      ['vda', 'bitmap'],
      ['sda', 'no'],
    ]);
  });

  it('has the size of healthy bitmaps only', () => {
    const xml = `<domaincheckpoint><name>c1</name><disks>
      <disk name='vda' checkpoint='bitmap' bitmap='c1' size='65536'/>
      <disk name='vdb' checkpoint='bitmap' bitmap='c1'/><disk name='sda' checkpoint='no'/></disks></domaincheckpoint>`;
    expect([...parseCheckpointSizes(xml)]).toEqual([['vda', 65536]]);
  });
});
