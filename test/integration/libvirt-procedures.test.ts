import fc from 'fast-check';
import { connect, LibvirtError, type Procedure, procedures } from 'libvirt-ts-rpc';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { arbitraryFields } from '../../packages/libvirt-rpc/src/codec/arbitrary.fixture.ts';
import { leftovers, type PrivateLibvirtd, requireServers, startLibvirtd } from '../harness/index.ts';

const servers = requireServers('libvirtd');

/** The connection's own, which `call` refuses. */
const LEFT_OUT =
  /_(?:AUTH_\w+|CONNECT_OPEN|CONNECT_CLOSE|\w*EVENT_\w*REGISTER\w*|\w*REGISTER_CLOSE_CALLBACK)$/;

const rows = Object.values(procedures).filter(
  (row: Procedure) => row.stream === undefined && row.fileDescriptors !== true && !LEFT_OUT.test(row.name),
);

/** What the daemon says about a call whose arguments mean nothing: undefined if it has answered it. */
async function answer(call: Promise<unknown>): Promise<LibvirtError | undefined> {
  try {
    await call;
    return undefined;
  } catch (error) {
    if (error instanceof LibvirtError) return error;
    throw error;
  }
}

/** Arguments about these objects, and otherwise as little as there can be. Undefined if it is about another kind. */
function plainArguments(
  { args }: Procedure,
  objects: Readonly<Record<string, unknown>>,
): Record<string, unknown> | undefined {
  const value = (name: string, type: string): unknown => {
    if (type in objects) return objects[type];
    if (type.endsWith('?')) return null;
    if (type.endsWith(']')) return /^(opaque|char)/.test(type) ? new Uint8Array() : [];
    if (type === 'str') return 'none';
    if (type === 'uuid') return '00000000-0000-4000-8000-000000000000';
    if (type === 'i64' || type === 'u64') return 0n;
    if (type === 'bool') return false;
    if (!/^[iu]32$/.test(type)) return undefined;
    return /^(max|need|ncpus)/.test(name) ? 1 : 0;
  };
  const values = Object.entries(args).map(([name, type]): [string, unknown] => [name, value(name, type)]);
  return values.some(([, given]) => given === undefined) ? undefined : Object.fromEntries(values);
}

describe.skipIf(servers.skip)(servers.title('every procedure'), () => {
  let libvirtd: PrivateLibvirtd;
  let uri: string;

  beforeAll(async () => {
    libvirtd = await startLibvirtd();
    uri = `test+unix:///default?socket=${libvirtd.socketPath}`;
  });

  afterAll(async () => {
    await libvirtd.stop();
    expect(leftovers()).toEqual([]);
  });

  test.each([1, 2, 3])('a daemon can read the arguments of all, and we its replies (%i)', async (seed) => {
    await using libvirt = await connect(uri);
    const notRead: string[] = [];
    const notKnown: number[] = [];
    let answered = 0;
    for (const row of rows) {
      const [args = {}] = fc.sample(arbitraryFields(row.args), { numRuns: 1, seed });
      const error = await answer(libvirt.call<Procedure>(row, args as never));
      if (error === undefined) answered++;
      else if (error.code !== 'ERR_LIBVIRT_RPC') continue;
      else if (error.isUnsupported) notKnown.push(row.number);
      else if (/decode/.test(error.message)) notRead.push(error.message);
    }
    expect(notRead).toEqual([]);
    expect(answered).toBeGreaterThan(20);
    // Only what is newer than the daemon is unknown to it: the numbers of what it knows have no gap.
    const known = rows.filter(({ program, number }) => program === 'REMOTE' && !notKnown.includes(number));
    for (const number of notKnown)
      expect(number).toBeGreaterThan(Math.max(...known.map((row) => row.number)));
  });
  test('what only asks is answered with what its row says', async () => {
    await using libvirt = await connect(uri);
    const [domain] = await libvirt.listAllDomains();
    const all = { needResults: 1, flags: 0 };
    const { pools } = await libvirt.call(procedures.connectListAllStoragePools, all);
    const { nets } = await libvirt.call(procedures.connectListAllNetworks, all);
    const { ifaces } = await libvirt.call(procedures.connectListAllInterfaces, all);
    const objects = { domain: domain?.ref, storagePool: pools[0], network: nets[0], interface: ifaces[0] };
    const answered: string[] = [];
    for (const [key, row] of Object.entries(procedures) as [string, Procedure][]) {
      if (!rows.includes(row as never) || !/(Get|Is|Has|List|NumOf)[A-Z]/.test(key)) continue;
      const args = plainArguments(row, objects);
      if (args === undefined) continue;
      // Given what there is, the daemon answers or says what it cannot do; an answer that breaks the row throws.
      const error = await answer(libvirt.call<Procedure>(row, args as never));
      if (error === undefined) answered.push(key);
    }
    expect(answered.length).toBeGreaterThan(70);
    // One of each kind of struct that the test driver knows.
    expect(answered).toEqual(
      expect.arrayContaining([
        'connectGetAllDomainStats',
        'connectListAllNodeDevices',
        'domainGetDiskErrors',
        'domainGetFsinfo',
        'domainGetSecurityLabel',
        'domainGetVcpus',
        'networkGetXmlDesc',
        'nodeGetInfo',
        'nodeGetSecurityModel',
        'storagePoolGetInfo',
      ]),
    );
  });
  test('a daemon can read what is about objects that there are, and we what it answers', async () => {
    await using libvirt = await connect(uri);
    const { ref: domain } = await libvirt.domainCreateXml(
      "<domain type='test'><name>rows</name><memory>1024</memory><os><type>hvm</type></os></domain>",
    );
    const named = { name: 'x', uuid: domain.uuid };
    const secret = { uuid: domain.uuid, usageType: 1, usageID: 'x' };
    const objects = {
      ...{
        domain,
        'domain?': domain,
        checkpoint: { name: 'x', dom: domain },
        snapshot: { name: 'x', dom: domain },
      },
      ...{ storagePool: named, 'storagePool?': named, storageVol: { pool: 'x', name: 'x', key: 'x' } },
      ...{
        network: named,
        'network?': named,
        networkPort: { net: named, uuid: domain.uuid },
        nwfilter: named,
      },
      ...{ nwfilterBinding: { portdev: 'x', filtername: 'x' }, interface: { name: 'x', mac: 'x' } },
      ...{ nodeDevice: { name: 'x' }, 'nodeDevice?': { name: 'x' }, secret, 'secret?': secret, 'str?': 'x' },
    };
    const notRead: string[] = [];
    const left: string[] = [];
    for (const row of rows) {
      const args = plainArguments(row, objects);
      if (args === undefined) left.push(row.name);
      else {
        const error = await answer(libvirt.call<Procedure>(row, args as never));
        if (error?.code === 'ERR_LIBVIRT_RPC' && !error.isUnsupported) notRead.push(error.message);
      }
    }
    expect(notRead).toEqual([]);
    expect(left).toEqual([]);
    expect(await libvirt.getType()).toBe('TEST');
  });
});
