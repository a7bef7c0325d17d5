import type { ImageBitmap } from '../../ports/domain.ts';

/** What asks QEMU for its block nodes, without repeating what backs each of them. */
export const QUERY_BLOCK_NODES: string = JSON.stringify({
  execute: 'query-named-block-nodes',
  arguments: { flat: true },
});

/** What asks QEMU to drop a bitmap from memory and image. */
export function removeBitmapCommand(node: string, name: string): string {
  return JSON.stringify({ execute: 'block-dirty-bitmap-remove', arguments: { node, name } });
}

/** QEMU's answer to a command of QMP. @throws Error with what QEMU said, or if it is no answer at all */
export function parseMonitorReply(text: string): unknown {
  const reply = JSON.parse(text) as {
    readonly return?: unknown;
    readonly error?: { readonly desc?: unknown };
  } | null;
  if (reply?.error !== undefined) throw new Error(`QEMU said: ${String(reply.error.desc)}`);
  if (reply?.return === undefined) throw new Error('QEMU gave no answer');
  return reply.return;
}

/** The bitmaps of the images, from the answer to `QUERY_BLOCK_NODES`. @throws Error if it is not what QEMU says */
export function parseImageBitmaps(nodes: unknown): readonly ImageBitmap[] {
  if (!Array.isArray(nodes)) throw new Error('QEMU gave no list of block nodes');
  return nodes.flatMap((node: BlockNode) =>
    (node['dirty-bitmaps'] ?? []).flatMap((bitmap) => {
      // One without a name is a job's own.
      if (typeof bitmap.name !== 'string' || bitmap.name === '') return [];
      return [
        {
          node: String(node['node-name']),
          image: imagePath(node.file ?? ''),
          imageSize: node.image?.['virtual-size'],
          clusterSize: node.image?.['cluster-size'],
          name: bitmap.name,
          dirtyBytes: bitmap.count ?? 0,
          granularity: bitmap.granularity ?? 0,
          isRecording: bitmap.recording === true,
          isBusy: bitmap.busy === true,
          isPersistent: bitmap.persistent === true,
          isInconsistent: bitmap.inconsistent === true,
        },
      ];
    }),
  );
}

/** The fields of QMP's `BlockDeviceInfo` and `BlockDirtyInfo` that are used. */
interface BlockNode {
  readonly 'node-name'?: string;
  readonly file?: string;
  readonly image?: { readonly 'virtual-size'?: number; readonly 'cluster-size'?: number };
  readonly 'dirty-bitmaps'?: readonly {
    readonly name?: string;
    readonly count?: number;
    readonly granularity?: number;
    readonly recording?: boolean;
    readonly busy?: boolean;
    readonly persistent?: boolean;
    readonly inconsistent?: boolean;
  }[];
}

const JSON_FILENAME = 'json:';

/** QEMU describes a file by JSON where its path alone would not open it in the same way. */
function imagePath(file: string): string {
  if (!file.startsWith(JSON_FILENAME)) return file;
  let description = JSON.parse(file.slice(JSON_FILENAME.length)) as FileDescription;
  while (typeof description.file === 'object') description = description.file;
  return description.filename ?? description['file.filename'] ?? file;
}

interface FileDescription {
  readonly file?: FileDescription | string;
  readonly filename?: string;
  readonly 'file.filename'?: string;
}
