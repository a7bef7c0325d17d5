import { connect } from 'libvirt-ts-rpc';
import { formatTable, printLine } from './cli/output.ts';
import { runCommand } from './cli/run.ts';

const help = `[--connect URI] [--json]

Lists the domains of a libvirt daemon, running or not.

  --connect URI  such as qemu:///system; default LIBVIRT_DEFAULT_URI
  --json         an array of {name, uuid, id, state, checkpoints}`;

/** virDomainState, in the order of its values. */
const STATES = ['no state', 'running', 'blocked', 'paused', 'shutdown', 'shut off', 'crashed', 'pmsuspended'];

await runCommand(
  { name: 'list-domains', help, positionals: [], switches: ['json'], settings: ['connect'] },
  async (args, signal) => {
    await using libvirt = await connect(args.get('connect'), { signal });
    const domains = [];
    for (const domain of await libvirt.listAllDomains()) {
      const { state } = await domain.getState();
      const checkpoints = await domain.listAllCheckpoints();
      const { name, uuid, id } = domain;
      domains.push({
        name,
        uuid,
        id,
        state: STATES[state] ?? String(state),
        checkpoints: checkpoints.length,
      });
    }
    if (args.has('json')) {
      await printLine(JSON.stringify(domains, null, 2), signal);
      return;
    }
    const rows = domains.map((domain) => [
      domain.id < 0 ? '-' : String(domain.id),
      domain.name,
      domain.uuid,
      String(domain.checkpoints),
      domain.state,
    ]);
    await printLine(formatTable([['ID', 'NAME', 'UUID', 'CHECKPOINTS', 'STATE'], ...rows]), signal);
  },
);
