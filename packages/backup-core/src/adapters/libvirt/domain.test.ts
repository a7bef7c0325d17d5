import {
  type Domain,
  LibvirtConnectionClosedError,
  LibvirtError,
  LibvirtTimeoutError,
  virErrorNumber,
} from 'libvirt-ts-rpc';
import { describe, expect, it } from 'vitest';
import { planJob } from '../../job/plan.ts';
import { HypervisorError } from '../../words/errors.ts';
import { hypervisorDomain, LibvirtDomain } from './domain.ts';

const UUID = '11111111-2222-3333-4444-555555555555';

function reply(code: number, message = 'no', int1 = 0): LibvirtError {
  const nothing = { dom: null, str1: null, str2: null, str3: null, int2: 0, net: null };
  return new LibvirtError({ code, domain: 10, message, level: 2, int1, ...nothing }, 'REMOTE_PROC_X');
}

interface Script {
  readonly uuid?: string;
  readonly disksXml?: string;
  readonly checkpoints?: readonly string[];
  readonly backupXml?: string;
  readonly checkpointXml?: string;
  /** Answers of the monitor by the name of the command. */
  readonly monitor?: Readonly<Record<string, () => unknown>>;
  readonly fail?: Readonly<Record<string, Error>>;
}

/** A daemon that says what no real one says. What is asked of it is noted. */
function daemon(script: Script, asked: string[] = []): LibvirtDomain {
  const answer = <T>(call: string, value: () => T): Promise<T> => {
    asked.push(call);
    const failure = script.fail?.[call];
    return failure === undefined ? Promise.resolve().then(value) : Promise.reject(failure);
  };
  const live = `<domain><devices>${script.disksXml ?? ''}</devices></domain>`;
  const checkpoint = (name: string): object => ({
    name,
    getXmlDesc: ({ flags = 0 }: { flags?: number }) =>
      answer(`getXmlDesc ${flags}`, () => script.checkpointXml ?? ''),
    delete: ({ flags = 0 }: { flags?: number }) => answer(`delete ${flags}`, () => undefined),
  });
  const fake = {
    name: 'web1',
    uuid: script.uuid ?? UUID,
    connection: {
      getLibVersion: () => answer('getLibVersion', () => 9_001_002),
      getVersion: () => answer('getVersion', () => 7_002_022),
    },
    getXmlDesc: () => answer('getXmlDesc', () => live),
    isActive: () => answer('isActive', () => true),
    isPersistent: () => answer('isPersistent', () => false),
    checkpointCreateXml: () => answer('redefine', () => checkpoint('c1')),
    getBlockInfo: (disk: string) => answer(`getBlockInfo ${disk}`, () => ({ capacity: 4096 })),
    listAllCheckpoints: () => answer('listAllCheckpoints', () => (script.checkpoints ?? []).map(checkpoint)),
    checkpointLookupByName: (name: string) => answer('lookup', () => checkpoint(name)),
    backupGetXmlDesc: () => answer('backupGetXmlDesc', () => script.backupXml ?? ''),
    backupBegin: () => answer('backupBegin', () => undefined),
    abortJob: () => answer('abortJob', () => undefined),
    monitorCommand: (text: string) =>
      answer('monitorCommand', () => {
        const { execute } = JSON.parse(text) as { execute: string };
        asked.push(execute);
        return JSON.stringify(script.monitor?.[execute]?.());
      }),
  };
  return new LibvirtDomain(fake as unknown as Domain);
}

function disk(target: string, more = `<source file='/i/a'/>`): string {
  return `<disk type='file' device='disk'><driver type='qcow2'/>${more}<target dev='${target}'/></disk>`;
}

async function failure(promise: Promise<unknown>): Promise<HypervisorError> {
  const error: unknown = await promise.then(
    () => expect.fail('it succeeded'),
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(HypervisorError);
  return error as HypervisorError;
}

const HOSTILE = ['../../../../../x', '/etc/passwd', '..', 'a/b', 'vda\n', 'vd\u202Ea', '', 'x'.repeat(300)];

describe('names that a hostile daemon gives', () => {
  it.each(HOSTILE)('a disk %j never gets further than the adapter', async (name) => {
    const asked: string[] = [];
    const error = await failure(daemon({ disksXml: disk(name.replace('\n', '&#10;')) }, asked).describe());
    expect(error.message).not.toMatch(/[\n\u202E]/);
    expect(asked.filter((call) => call.startsWith('getBlockInfo'))).toEqual([]);
  });

  it.each(HOSTILE)('a UUID %j neither', (uuid) => {
    expect(() => daemon({ uuid })).toThrow(HypervisorError);
  });

  it('checkpoints of such names are as if they were not there', async () => {
    expect(await daemon({ checkpoints: [...HOSTILE, 'c1'] }).checkpointNames()).toEqual(['c1']);
  });

  it('of a running job and its exports are text for a message, made harmless', async () => {
    const xml = `<domainbackup mode='pull'><server socket='/x&#27;[31m'/><disks>
      <disk name='../x' exportname='../../y'><scratch file='/z'/></disk></disks></domainbackup>`;
    const domain = daemon({ disksXml: disk('vda'), backupXml: xml });
    const running = await domain.runningJob();
    const facts = await domain.describe();
    const input = { domain, facts, running, checkpointNames: [], checkpoints: new Map(), bitmaps: [] };
    // eslint-disable-next-line no-control-regex -- that is what is looked for
    expect(() => planJob(input, {})).toThrow(/^[^\u001b]*backup job already[^\u001b]*$/);
  });

  it('an image may be called anything: it is not a path of ours', async () => {
    const { disks } = await daemon({ disksXml: disk('vda', `<source file='../x'/>`) }).describe();
    expect(disks[0]?.chain).toEqual(['../x']);
  });
});

describe('LibvirtDomain', () => {
  it('describes a domain in facts', async () => {
    const facts = await daemon({ disksXml: disk('vda') }).describe();
    expect(facts).toMatchObject({
      isActive: true,
      isPersistent: false,
      definition: { inactive: null },
      versions: { libvirt: '9.1.2', hypervisor: '7.2.22' },
      disks: [{ name: 'vda', size: 4096, chain: ['/i/a'] }],
    });
  });

  it('does not know a size that libvirt does not tell', async () => {
    const fail = { 'getBlockInfo vda': reply(virErrorNumber.VIR_ERR_INTERNAL_ERROR) };
    expect((await daemon({ disksXml: disk('vda'), fail }).describe()).disks[0]?.size).toBe(undefined);
    const gone = { 'getBlockInfo vda': new LibvirtConnectionClosedError('gone') };
    expect((await failure(daemon({ disksXml: disk('vda'), fail: gone }).describe())).reason).toBe(
      'connection-lost',
    );
  });

  it.each([
    [reply(virErrorNumber.VIR_ERR_NO_DOMAIN), 'no-domain'],
    [reply(virErrorNumber.VIR_ERR_OPERATION_TIMEOUT), 'timeout'],
    [reply(virErrorNumber.VIR_ERR_ACCESS_DENIED), 'denied'],
    [reply(virErrorNumber.VIR_ERR_SYSTEM_ERROR, 'x', 13), 'denied'],
    [reply(virErrorNumber.VIR_ERR_INTERNAL_ERROR, 'Failed to bind socket: Permission denied'), 'denied'],
    [reply(virErrorNumber.VIR_ERR_NO_SUPPORT), 'unsupported'],
    [reply(virErrorNumber.VIR_ERR_CHECKPOINT_INCONSISTENT), 'bitmap'],
    [
      reply(virErrorNumber.VIR_ERR_INTERNAL_ERROR, "Bitmaps are of different sizes and can't be merged"),
      'bitmap',
    ],
    [reply(virErrorNumber.VIR_ERR_INTERNAL_ERROR, 'Bitmap already exists: c1'), 'failed'],
    [new LibvirtConnectionClosedError('gone'), 'connection-lost'],
    [new LibvirtTimeoutError('late'), 'timeout'],
    [new TypeError('what?'), 'failed'],
  ])('says what %s means: %s', async (cause, reason) => {
    const job = { socket: '/s', disks: [], checkpoint: null };
    const error = await failure(daemon({ fail: { backupBegin: cause } }).beginBackup(job));
    expect(error).toMatchObject({ reason, cause, code: 'ERR_BACKUP_HYPERVISOR' });
    expect(error.message).toMatch(/^cannot start a backup of domain web1: /);
  });

  it('is told which disk a bitmap is missing on', async () => {
    const said = "checkpoint inconsistent: missing or broken bitmap 'c0' for disk 'vdb'";
    const fail = { backupBegin: reply(virErrorNumber.VIR_ERR_CHECKPOINT_INCONSISTENT, said) };
    const job = { socket: '/s', disks: [], checkpoint: null };
    expect((await failure(daemon({ fail }).beginBackup(job))).disk).toBe('vdb');
  });

  it('tells no sizes where libvirt fails on them, and why', async () => {
    const checkpointXml = `<domaincheckpoint><creationTime>17</creationTime><disks>
      <disk name='vda' checkpoint='bitmap' bitmap='c1'/></disks></domaincheckpoint>`;
    const fail = { 'getXmlDesc 6': reply(virErrorNumber.VIR_ERR_INTERNAL_ERROR, 'different sizes') };
    expect(await daemon({ checkpointXml, fail }).checkpoint('c1')).toMatchObject({
      creationTime: 17,
      sizesRefused: 'different sizes',
    });
    const none = { lookup: reply(virErrorNumber.VIR_ERR_NO_DOMAIN_CHECKPOINT) };
    expect(await daemon({ fail: none }).checkpoint('c1')).toBe(null);
  });

  const nodes = [
    {
      'node-name': 'libvirt-1-format',
      file: 'json:{"driver":"qcow2","file":{"driver":"file","filename":"/i/a"}}',
      image: { 'virtual-size': 4096 },
      'dirty-bitmaps': [{ name: 'c1', count: 512, granularity: 512, recording: true, persistent: true }, {}],
    },
    { 'node-name': 'libvirt-1-storage', file: '/i/a' },
  ];

  it('finds the bitmaps in the images', async () => {
    const monitor = { 'query-named-block-nodes': () => ({ return: nodes }) };
    expect(await daemon({ monitor }).imageBitmaps()).toEqual([
      {
        ...{ node: 'libvirt-1-format', image: '/i/a', imageSize: 4096, name: 'c1', dirtyBytes: 512 },
        ...{ granularity: 512, isRecording: true, isBusy: false, isPersistent: true, isInconsistent: false },
      },
    ]);
    const off = { monitorCommand: reply(virErrorNumber.VIR_ERR_OPERATION_INVALID) };
    expect(await daemon({ fail: off }).imageBitmaps()).toEqual([]);
  });

  it('removes a bitmap, and is content where it is gone already', async () => {
    const error = (): unknown => ({ error: { desc: 'Dirty bitmap not found' } });
    const refusing = (left: readonly unknown[]): LibvirtDomain =>
      daemon({
        monitor: {
          'block-dirty-bitmap-remove': error,
          'query-named-block-nodes': () => ({ return: left }),
        },
      });
    const bitmap = { node: 'libvirt-1-format', name: 'c1' };
    await refusing([]).removeBitmap(bitmap);
    expect((await failure(refusing(nodes).removeBitmap(bitmap))).message).toMatch(/Dirty bitmap not found/);
  });

  it('does not take the word of libvirt for it that a bitmap of a backing image is gone', async () => {
    const monitor = {
      'block-dirty-bitmap-remove': (): unknown => ({ error: { desc: 'Node is read-only' } }),
      'query-named-block-nodes': () => ({ return: nodes }),
    };
    const backed = `<source file='/i/over'/><backingStore type='file'><source file='/i/a'/></backingStore>`;
    const asked: string[] = [];
    const domain = daemon({ monitor, disksXml: disk('vda', backed) }, asked);
    const error = await failure(domain.removeBitmap({ node: 'libvirt-1-format', name: 'c1' }));
    expect(error.message).toMatch(/Node is read-only/);
    expect(asked.filter((call) => /^(redefine|delete)/.test(call))).toEqual(['redefine', 'delete 0']);
  });

  it('says so where a job has a bitmap of a checkpoint in use that it can only forget', async () => {
    const busy = [{ ...nodes[0], 'dirty-bitmaps': [{ name: 'c1', busy: true }] }];
    const monitor = {
      'query-named-block-nodes': () => ({ return: busy }),
      'block-dirty-bitmap-remove': () => ({ error: { desc: 'currently in use' } }),
    };
    const fail = { 'delete 0': reply(virErrorNumber.VIR_ERR_INTERNAL_ERROR, 'currently in use') };
    const error = await failure(daemon({ monitor, fail }).deleteCheckpoint('c1'));
    expect(error.message).toMatch(/cannot remove the dirty bitmap c1 of domain web1: .*currently in use/);
  });

  it('removes the bitmaps of the other disks where it can only forget a checkpoint, because one is missing', async () => {
    const asked: string[] = [];
    const monitor = {
      'query-named-block-nodes': () => ({ return: nodes }),
      'block-dirty-bitmap-remove': () => ({ return: {} }),
    };
    const fail = {
      'delete 0': reply(virErrorNumber.VIR_ERR_INTERNAL_ERROR, 'bitmap not found in backing chain'),
    };
    await daemon({ monitor, fail }, asked).deleteCheckpoint('c1');
    expect(asked.filter((call) => call !== 'monitorCommand')).toEqual([
      'lookup',
      'delete 0',
      'delete 2',
      'query-named-block-nodes',
      'block-dirty-bitmap-remove',
    ]);
  });

  it('gives the reason of a signal back unchanged', async () => {
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(daemon({}).describe({ signal })).rejects.toBe(signal.reason);
  });

  it('is made of a domain of libvirt, and of nothing else', () => {
    for (const wrong of [undefined, null, 'web1', {}])
      expect(() => hypervisorDomain(wrong as Domain)).toThrow(
        expect.objectContaining({ code: 'ERR_BACKUP_USAGE', reason: 'option' }),
      );
  });
});
