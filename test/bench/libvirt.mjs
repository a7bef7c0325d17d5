// The libvirt client against python3-libvirt and virsh, on a private libvirtd.
import { spawn, spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { makeTemporaryFolder, startLibvirtd, virsh } from '../dist/harness/index.js';
import { measure } from './measure.mjs';
import { compared, limited, median, noted, pairs, report } from './pairs.mjs';

const CALLS = 2000;
const CALL_PAIRS = 15;
const DOWNLOAD_PAIRS = 7;
const MiB = 1024 * 1024;
const SIZE = 1024 * MiB;
const PEAK_MIB = 120;

const PYTHON = `
import libvirt, sys, time
conn = libvirt.open(sys.argv[1])
for line in sys.stdin:
    count = int(line)
    start, cpu = time.perf_counter(), time.process_time()
    for _ in range(count):
        conn.getLibVersion()
    print(time.perf_counter() - start, time.process_time() - cpu, flush=True)
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
      const [wallSeconds, cpuSeconds] = value.split(' ').map(Number);
      return { wallSeconds, cpuSeconds };
    },
    stop: () => child.stdin.end(),
  };
}

/** By the clock and of CPU, of what this process does. */
async function timed(work) {
  const cpu = process.cpuUsage();
  const start = process.hrtime.bigint();
  await work();
  const wallSeconds = Number(process.hrtime.bigint() - start) / 1e9;
  const { user, system } = process.cpuUsage(cpu);
  return { wallSeconds, cpuSeconds: (user + system) / 1e6 };
}

/** Rows for the rate and, without a goal, for the CPU time, out of the same pairs of runs. */
async function contest({ name, unit, goal, amount, count }, ours, theirs) {
  process.stderr.write(`${name} …\n`);
  const cpu = { ours: [], theirs: [] };
  const noting = (side, run) => async () => {
    const { wallSeconds, cpuSeconds } = await run();
    cpu[side].push(cpuSeconds);
    return amount / wallSeconds;
  };
  const rates = await pairs(count, noting('ours', ours), noting('theirs', theirs));
  // The first one of each was the warm-up.
  return [
    compared(name, `${unit}/s`, goal, rates),
    noted(`${name}, CPU of the client`, 's', cpu.ours.slice(1), cpu.theirs.slice(1)),
  ];
}

async function smallCalls(libvirt, uri) {
  const python = startPython(uri);
  const theirs = () => python.run();
  const sequential = () =>
    timed(async () => {
      for (let index = 0; index < CALLS; index++) await libvirt.getLibVersion();
    });
  const atOnce = () => timed(() => Promise.all(Array.from({ length: CALLS }, () => libvirt.getLibVersion())));
  const kind = { unit: 'calls', amount: CALLS, count: CALL_PAIRS };
  try {
    return [
      ...(await contest({ ...kind, name: '2,000 calls, one by one', goal: 0.9 }, sequential, theirs)),
      ...(await contest({ ...kind, name: '2,000 calls at once', goal: 1 }, atOnce, theirs)),
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

async function download(libvirtd, folder) {
  const target = join(folder, 'copy.img');
  const peaks = [];
  const ours = () => {
    rmSync(target, { force: true });
    const result = inChild('libvirt-download.mjs', libvirtd.uri, target);
    peaks.push(result.peakMiB);
    return Promise.resolve(result);
  };
  const theirs = () => {
    rmSync(target, { force: true });
    const args = ['-q', '-c', libvirtd.uri, 'vol-download', 'large', target, '--pool', 'bench'];
    return measure('virsh', args);
  };
  const kind = { unit: 'MiB', amount: SIZE / MiB, count: DOWNLOAD_PAIRS };
  const name = 'download of 1 GiB to a file';
  return [
    ...(await contest({ ...kind, name, goal: 1 }, ours, theirs)),
    limited(`${name}, peak memory`, 'MiB', Math.max(...peaks), PEAK_MIB),
  ];
}

/** A volume without holes. */
async function fill(libvirt) {
  const pool = await libvirt.lookupStoragePoolByName('bench');
  const upload = await (await pool.storageVolLookupByName('large')).upload();
  const block = Buffer.alloc(MiB, 0xa5);
  for (let index = 0; index < SIZE / MiB; index++)
    if (!upload.write(block)) await new Promise((resolve) => upload.once('drain', resolve));
  await new Promise((resolve, reject) => upload.once('error', reject).end(resolve));
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
  // On tmpfs: the disk of the machine is not what is measured.
  const folder = makeTemporaryFolder('bench', '/dev/shm');
  const libvirtd = await startLibvirtd();
  try {
    const libvirt = await connect(libvirtd.uri);
    rows.push(...(await smallCalls(libvirt, libvirtd.uri)));
    const images = folder.subfolder('images', libvirtd.user);
    await virsh(libvirtd.uri, 'pool-create-as', 'bench', 'dir', '--target', images);
    await virsh(libvirtd.uri, 'vol-create-as', 'bench', 'large', `${SIZE}b`);
    await fill(libvirt);
    await libvirt.close();
    rows.push(...(await download(libvirtd, folder.path)));
    const { peakMiB, bytes } = inChild('libvirt-slow-reader.mjs', libvirtd.uri);
    if (bytes !== SIZE) throw new Error(`the slow reader has read ${bytes} bytes`);
    rows.push(limited('slow reader of 1 GiB, peak memory', 'MiB', peakMiB, PEAK_MIB));
  } finally {
    await libvirtd.stop();
    folder.remove();
  }
  const imports = Array.from({ length: 11 }, () => inChild('libvirt-import.mjs').ms);
  rows.push(limited('import of the package', 'ms', median(imports), 60));
  rows.push(limited('packed size', 'kB', packedSize(root), 150));
  return report(root, 'libvirt', rows);
}
