// The disks that the NBD benchmarks read.
import { closeSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { randomFillSync } from 'node:crypto';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const MIB = 1024 * 1024;

/** A raw image without zeroes. */
export function makeDataImage(folder, gibibytes) {
  const image = join(folder, 'data.raw');
  const file = openSync(image, 'w');
  const block = Buffer.allocUnsafe(MIB);
  for (let written = 0; written < gibibytes * 1024; written++) writeSync(file, randomFillSync(block));
  closeSync(file);
  return image;
}

/** A qcow2 image of which every other extent of `bytes` is data. */
export function makeScatteredImage(folder, { count, bytes }) {
  const image = join(folder, 'scattered.qcow2');
  run('qemu-img', ['create', '-q', '-f', 'qcow2', image, String(2 * count * bytes)]);
  everyOther(folder, image, count, bytes, `write -q -P 17`);
  return image;
}

/** A qcow2 image with a dirty bitmap of which every other extent of `bytes` is dirty. */
export function makeDirtyImage(folder, { extents, bytes, name }) {
  const image = join(folder, 'dirty.qcow2');
  run('qemu-img', ['create', '-q', '-f', 'qcow2', image, String(extents * bytes)]);
  run('qemu-img', ['bitmap', '--add', '--enable', '-g', String(bytes), '-f', 'qcow2', image, name]);
  everyOther(folder, image, extents / 2, bytes, 'write -q -z');
  return image;
}

/** By one qemu-io, from its standard input, a command a line. */
function everyOther(folder, image, count, bytes, command) {
  const script = join(folder, 'commands');
  let lines = '';
  for (let index = 0; index < count; index++) lines += `${command} ${2 * index * bytes} ${bytes}\n`;
  writeFileSync(script, lines);
  run('qemu-io', ['-f', 'qcow2', image], openSync(script, 'r'));
}

/**
 * @param {string} command
 * @param {readonly string[]} args
 * @param {'ignore' | number} input
 */
function run(command, args, input = 'ignore') {
  const { status, stderr, error } = spawnSync(command, args, { stdio: [input, 'ignore', 'pipe'] });
  if (typeof input === 'number') closeSync(input);
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${error?.message ?? stderr}`);
}
