// `LIBVIRT_SOURCE=FOLDER npm run check:protocol` compares the table of procedures with libvirt's own files.
// The last line is `N of N procedures match`; where they do not it ends with status 1, and with 2 if it cannot tell.
import { spawnSync } from 'node:child_process';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { checkProtocol } from './protocol/check.mjs';
import { SourceError } from './protocol/tokens.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));

/** The table as it is now, not as it was when somebody built it last. */
async function loadTables() {
  const args = [join(root, 'node_modules/typescript/bin/tsc'), '-b', join(root, 'packages/libvirt-rpc')];
  const { status } = spawnSync(process.execPath, args, { stdio: ['ignore', 2, 2] });
  if (status !== 0) throw new SourceError('The table of procedures could not be built: run "npm ci" first.');
  const load = (path) => import(new URL(`../packages/libvirt-rpc/dist/${path}.js`, import.meta.url).href);
  const { procedures } = await load('procedures/procedures');
  const { events } = await load('procedures/events');
  const { objectEvents } = await load('procedures/object-events');
  const { legacyEvents } = await load('procedures/legacy-events');
  const { virErrorNumber } = await load('protocol/error-numbers');
  const { virErrorDomain, virErrorLevel } = await load('protocol/error-domains');
  return {
    errorNumbers: { ...virErrorNumber, ...virErrorDomain, ...virErrorLevel },
    procedures: Object.values(procedures),
    messages: Object.values({ ...events, ...objectEvents, ...legacyEvents }),
    ...(await load('procedures/error-fields')),
    ...(await load('codec/shape')),
    ...(await load('codec/structs')),
    ...(await load('protocol/constants')),
    ...(await load('protocol/limits')),
  };
}

const { LIBVIRT_SOURCE: source, INIT_CWD: whereTheUserStands = '.' } = process.env;
const folder = source && resolve(whereTheUserStands, source);
const { status, output, error } = await checkProtocol(folder, loadTables);
if (error) process.stderr.write(`${error}\n`);
if (output) process.stdout.write(`${output}\n`);
process.exitCode = status;
