// The libvirt client against python3-libvirt and virsh, on a private libvirtd.
import { spawn, spawnSync } from 'node:child_process';
import { closeSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { startLibvirtd, virsh } from '../dist/harness/index.js';
import { compared, limited, median, pairs, report } from './pairs.mjs';

const CALLS = 2000;
const PAIRS = 7;
const MiB = 1024 * 1024;
const SIZE = 1024 * MiB;

const PYTHON = `
import libvirt, sys, time
conn = libvirt.open(sys.argv[1])
for line in sys.stdin:
    count = int(line)
    start = time.perf_counter()
    for _ in range(count):
        conn.getLibVersion()
    print(count / (time.perf_counter() - start), flush=True)
`;

/** One Python process with one connection; every line it is sent is one run. */
function startPython(uri) {
  const child = spawn('/usr/bin/python3', ['-c', PYTHON, uri], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    async run() {
      child.stdin.write(`${CALLS}\n`);
      const { value, done } = await lines.next();
      if (done) throw new Error('Python has ended');
      return Number(value);
    },
    stop: () => child.stdin.end(),
  };
}

const secondsSince = (start) => Number(process.hrtime.bigint() - start) / 1e9;

async function smallCalls(libvirt, uri) {
  const python = startPython(uri);
  const sequential = async () => {
    const start = process.hrtime.bigint();
    for (let index = 0; index < CALLS; index++) await libvirt.getLibVersion();
    return CALLS / secondsSince(start);
  };
  const atOnce = async () => {
    const start = process.hrtime.bigint();
    await Promise.all(Array.from({ length: CALLS }, () => libvirt.getLibVersion()));
    return CALLS / secondsSince(start);
  };
  try {
    const theirs = () => python.run();
    return [
      compared('2,000 calls, one after another', 'calls/s', 0.9, await pairs(PAIRS, sequential, theirs)),
      compared('2,000 calls at once', 'calls/s', 1, await pairs(PAIRS, atOnce, theirs)),
    ];
  } finally {
    python.stop();
  }
}

/** Runs a script of this folder in a Node of its own; resolves with the JSON that it prints. */
function inChild(script, ...args) {
  const path = join(import.meta.dirname, script);
  const { status, stdout } = spawnSync(process.execPath, [path, ...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (status !== 0) throw new Error(`${script} has ended with ${status}`);
  return JSON.parse(stdout);
}

async function download(libvirt, libvirtd) {
  const pool = await libvirt.lookupStoragePoolByName('bench');
  const volume = await pool.storageVolLookupByName('large');
  const target = join(libvirtd.workDir, 'copy.img');
  const ours = async () => {
    rmSync(target, { force: true });
    const start = process.hrtime.bigint();
    // Written as virsh writes: by the thread that reads.
    const file = openSync(target, 'w');
    for await (const chunk of await volume.download()) writeSync(file, chunk);
    closeSync(file);
    return SIZE / MiB / secondsSince(start);
  };
  const theirs = async () => {
    rmSync(target, { force: true });
    const start = process.hrtime.bigint();
    await virsh(libvirtd.uri, 'vol-download', 'large', target, '--pool', 'bench');
    return SIZE / MiB / secondsSince(start);
  };
  return compared('download of 1 GiB to a file', 'MiB/s', 1, await pairs(7, ours, theirs));
}

function packedSize(root) {
  const folder = join(root, 'packages/libvirt-rpc');
  const { stdout } = spawnSync('npm', ['pack', '--dry-run', '--json', '--silent'], {
    cwd: folder,
    encoding: 'utf8',
  });
  return JSON.parse(stdout)[0].size / 1000;
}

export default async function run({ root }) {
  const { connect } = await import('libvirt-ts-rpc');
  const rows = [];
  const libvirtd = await startLibvirtd();
  try {
    const libvirt = await connect(libvirtd.uri);
    rows.push(...(await smallCalls(libvirt, libvirtd.uri)));
    await virsh(libvirtd.uri, 'pool-create-as', 'bench', 'dir', '--target', libvirtd.imagesDir);
    await virsh(libvirtd.uri, 'vol-create-as', 'bench', 'large', `${SIZE}b`);
    const pool = await libvirt.lookupStoragePoolByName('bench');
    const upload = await (await pool.storageVolLookupByName('large')).upload();
    const block = Buffer.alloc(MiB, 0xa5);
    for (let index = 0; index < SIZE / MiB; index++)
      if (!upload.write(block)) await new Promise((resolve) => upload.once('drain', resolve));
    await new Promise((resolve, reject) => upload.once('error', reject).end(resolve));
    rows.push(await download(libvirt, libvirtd));
    const { peakMiB } = inChild('libvirt-slow-reader.mjs', libvirtd.uri);
    rows.push(limited('peak memory of a slow reader of 1 GiB', 'MiB', peakMiB, 120));
    await libvirt.close();
  } finally {
    await libvirtd.stop();
  }
  const imports = Array.from({ length: 9 }, () => inChild('libvirt-import.mjs').ms);
  rows.push(limited('import of the package', 'ms', median(imports), 60));
  rows.push(limited('packed size', 'kB', packedSize(root), 150));
  return report(root, 'libvirt', rows);
}
