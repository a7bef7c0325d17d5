import { run } from './processes.ts';
import { commandPath } from './requirements.ts';

/** One extent of a metadata context, as a tool that knows nothing of the client under test sees it. */
export interface MapExtent {
  readonly offset: number;
  readonly length: number;
  readonly flags: number;
}

/** What `nbdinfo --json` says of one export. */
export interface NbdinfoExport {
  readonly 'export-name': string;
  readonly 'export-size': number;
  readonly description?: string;
  readonly contexts?: readonly string[];
  readonly block_size_minimum?: number;
  readonly block_size_preferred?: number;
  readonly block_size_maximum?: number;
  readonly is_read_only: boolean;
  readonly is_rotational: boolean;
  readonly can_cache: boolean;
  readonly can_df: boolean;
  readonly can_fast_zero: boolean;
  readonly can_flush: boolean;
  readonly can_fua: boolean;
  readonly can_multi_conn: boolean;
  readonly can_trim: boolean;
  readonly can_zero: boolean;
}

/** The export that the URI names, by nbdinfo. */
export async function nbdinfoExport(uri: string): Promise<NbdinfoExport> {
  const output = await run(commandPath('nbdinfo'), ['--json', '--no-content', uri]);
  const { exports } = JSON.parse(output) as { readonly exports: readonly NbdinfoExport[] };
  const [only] = exports;
  if (only === undefined || exports.length !== 1) throw new Error(`nbdinfo ${uri}: ${output}`);
  return only;
}

/** A whole metadata context by nbdinfo, neighbours with the same flags joined. */
export async function nbdinfoMap(uri: string, context: string): Promise<MapExtent[]> {
  const output = await run(commandPath('nbdinfo'), ['--json', `--map=${context}`, uri]);
  const map = JSON.parse(output) as readonly { offset: number; length: number; type: number }[];
  return joined(map.map(({ offset, length, type }) => ({ offset, length, flags: type })));
}

/** The map of an image by qemu-img, in flags of `base:allocation`: 1 a hole, 2 zeroes. */
export async function qemuImgMap(
  image: string,
  format: string,
  command: string = commandPath('qemu-img'),
): Promise<MapExtent[]> {
  const output = await run(command, ['map', '-U', '--output=json', '-f', format, image]);
  const map = JSON.parse(output) as readonly {
    start: number;
    length: number;
    data: boolean;
    zero: boolean;
  }[];
  return joined(
    map.map(({ start, length, data, zero }) => ({
      offset: start,
      length,
      flags: (data ? 0 : 1) | (zero ? 2 : 0),
    })),
  );
}

/** Copies an export, holes as zeroes, into a raw file and returns its path. */
export async function nbdcopyToFile(uri: string, path: string): Promise<string> {
  await run(commandPath('nbdcopy'), [uri, path]);
  return path;
}

function joined(extents: readonly MapExtent[]): MapExtent[] {
  const result: MapExtent[] = [];
  for (const extent of extents) {
    const last = result.at(-1);
    if (last?.flags === extent.flags)
      result[result.length - 1] = { ...last, length: last.length + extent.length };
    else result.push(extent);
  }
  return result;
}
