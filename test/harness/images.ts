import { commandPath } from './requirements.ts';
import { run } from './processes.ts';
import { giveTo, type User } from './user.ts';

export type ImageFormat = 'qcow2' | 'raw';

/** Bytes `pattern` (0–255) over [offset, offset + length). */
export interface Fill {
  readonly pattern: number;
  readonly offset: number;
  readonly length: number;
}

export interface ImageOptions {
  readonly path: string;
  /** Virtual size in bytes. */
  readonly size: number;
  readonly format?: ImageFormat;
  /** Initial content; the rest is unallocated. */
  readonly fill?: readonly Fill[];
  /** Further `qemu-img create -o` options, e.g. `cluster_size=4096`. */
  readonly createOptions?: string;
  readonly backing?: { readonly path: string; readonly format: ImageFormat };
  /** Whom the file is given to. Default: the caller keeps it. */
  readonly owner?: User;
}

/** Creates a disk image and returns its path. */
export async function createImage(options: ImageOptions): Promise<string> {
  const { path, format = 'qcow2', backing } = options;
  const args = ['create', '-q', '-f', format];
  if (options.createOptions !== undefined) args.push('-o', options.createOptions);
  if (backing !== undefined) args.push('-b', backing.path, '-F', backing.format);
  await run(commandPath('qemu-img'), [...args, path, String(options.size)]);
  const writes = (options.fill ?? []).map(
    ({ pattern, offset, length }) => `write -P ${pattern} ${offset} ${length}`,
  );
  if (writes.length > 0) await imageIo(path, format, writes);
  if (options.owner !== undefined) giveTo(options.owner, path);
  return path;
}

/** Runs qemu-io commands on an image nobody else has open. Rejects when one of them fails. */
export async function imageIo(
  path: string,
  format: ImageFormat,
  commands: readonly string[],
): Promise<string> {
  // -d unmap: without it "discard" does nothing.
  const args = ['-f', format, '-d', 'unmap', ...commands.flatMap((command) => ['-c', command]), path];
  const output = await run(commandPath('qemu-io'), args);
  // qemu-io's exit status covers failed requests, not every mismatch of every version.
  if (/verification failed|failed:/i.test(output)) throw new Error(`qemu-io ${path}: ${output.trim()}`);
  return output;
}

/** Adds a persistent, enabled dirty bitmap to a qcow2 image nobody has open. */
export async function addBitmap(path: string, name: string, granularity = 65536): Promise<void> {
  await run(commandPath('qemu-img'), ['bitmap', '--add', '--enable', '-g', String(granularity), path, name]);
}

export interface ConvertOptions {
  readonly format?: ImageFormat;
  /** Read although another process has it open for writing (`-U`). The caller knows that nothing writes. */
  readonly forceShare?: boolean;
}

/** Writes the image's whole content, holes included, to the raw file `target`. */
export async function convertToRaw(
  source: string,
  target: string,
  options: ConvertOptions = {},
): Promise<string> {
  const share = options.forceShare === true ? ['-U'] : [];
  await run(commandPath('qemu-img'), [
    'convert',
    ...share,
    '-f',
    options.format ?? 'qcow2',
    '-O',
    'raw',
    source,
    target,
  ]);
  return target;
}
