// @vates/nbd-client, fetched when the benchmark runs, in a folder of its own.
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const PACKAGE = {
  private: true,
  dependencies: { '@vates/nbd-client': '3.6.0' },
  // Its newest dependencies are not on every mirror.
  overrides: { '@xen-orchestra/async-map': '0.1.4', 'xen-api': '4.7.6' },
};

/** A function that gives the command for one run, or the reason why there is none. */
export async function installVates(folder) {
  const path = join(folder, 'vates');
  mkdirSync(path);
  writeFileSync(join(path, 'package.json'), JSON.stringify(PACKAGE));
  process.stderr.write('Fetching @vates/nbd-client …\n');
  const args = ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--omit=dev'];
  const { status, stderr, error } = spawnSync('npm', args, { cwd: path, encoding: 'utf8', timeout: 180_000 });
  if (status !== 0) {
    const why = error?.message ?? stderr.trim().split('\n')[0];
    return `@vates/nbd-client cannot be had, so it is left out: ${why}`;
  }
  const reader = join(path, 'reader.mjs');
  writeFileSync(reader, READER);
  return ({ uri, blockBytes, inFlight, dataOnly = false }) => {
    const { hostname, port } = new URL(uri);
    return [process.execPath, reader, hostname, port, String(blockBytes), String(inFlight), String(dataOnly)];
  };
}

/** Reads every block, or every block of data as its own map has them, so many at a time. */
const READER = `
import NbdClient from '@vates/nbd-client';
const [address, port, blockBytes, inFlight, dataOnly] = process.argv.slice(2);
const client = new NbdClient({ address, port: Number(port), exportname: '' });
await client.connect();
const size = Number(blockBytes);
const indexes = [];
if (dataOnly === 'true') {
  for (const { offset, length, type } of await client.getMap())
    if (type === 0) for (let at = offset; at < offset + length; at += size) indexes.push(at / size);
} else {
  for (let at = 0; at < Number(client.exportSize); at += size) indexes.push(at / size);
}
let next = 0;
let bytes = 0;
const work = async () => {
  while (next < indexes.length) {
    const block = await client.readBlock(indexes[next++], size);
    bytes += block.length;
  }
};
await Promise.all(Array.from({ length: Number(inFlight) }, work));
await client.disconnect();
if (bytes !== indexes.length * size) throw new Error('read ' + bytes + ' bytes');
`;
