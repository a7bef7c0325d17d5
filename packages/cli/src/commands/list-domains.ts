import { connect, type Connection, type Domain, LibvirtError } from 'libvirt-ts-rpc';
import { type Command, defineCommand } from '../command-line/command.ts';
import { text } from '../command-line/option.ts';
import { formatTable } from '../table.ts';
import { jsonOption } from './json-option.ts';

/** virDomainState, in the order of its values. */
const STATES = ['no state', 'running', 'blocked', 'paused', 'shutdown', 'shut off', 'crashed', 'pmsuspended'];

interface Listed {
  readonly name: string;
  readonly uuid: string;
  readonly id: number;
  readonly state: string;
  /** Null where the hypervisor knows no checkpoints. */
  readonly checkpoints: number | null;
}

export const command: Command = defineCommand({
  positionals: {},
  options: {
    connect: text('URI', 'such as qemu:///system; default LIBVIRT_DEFAULT_URI'),
    json: jsonOption('an array of {name, uuid, id, state, checkpoints}'),
  },
  about: ['Lists the domains of a libvirt daemon, running or not.'],
  async run({ connect: uri, json }, { output, signal }) {
    await using libvirt = await connect(uri, { signal });
    const domains = await list(libvirt, signal);
    await output.line(json ? JSON.stringify(domains, null, 2) : table(domains, output.columns), signal);
  },
});

async function list(libvirt: Connection, signal: AbortSignal): Promise<Listed[]> {
  const listed: Listed[] = [];
  for (const domain of await libvirt.listAllDomains({ signal })) {
    try {
      const { state } = await domain.getState({ signal });
      const { name, uuid, id } = domain;
      const checkpoints = await countCheckpoints(domain, signal);
      listed.push({ name, uuid, id, state: STATES[state] ?? String(state), checkpoints });
    } catch (error) {
      // It went while we were listing.
      if (!(error instanceof LibvirtError) || !error.isNoDomain) throw error;
    }
  }
  return listed;
}

async function countCheckpoints(domain: Domain, signal: AbortSignal): Promise<number | null> {
  try {
    return (await domain.listAllCheckpoints({ signal })).length;
  } catch (error) {
    if (error instanceof LibvirtError && error.isUnsupported) return null;
    throw error;
  }
}

function table(domains: readonly Listed[], columns: number | undefined): string {
  const rows = domains.map(({ id, name, uuid, checkpoints, state }) => [
    id < 0 ? '-' : String(id),
    name,
    uuid,
    String(checkpoints ?? '-'),
    state,
  ]);
  return formatTable(rows, { headings: ['ID', 'NAME', 'UUID', 'CHECKPOINTS', 'STATE'], columns });
}
