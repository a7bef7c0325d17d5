import {
  connect,
  type Extent,
  NBD_META_BASE_ALLOCATION,
  NBD_META_QEMU_DIRTY_BITMAP,
  NBD_STATE_DIRTY,
  NBD_STATE_HOLE,
  NBD_STATE_ZERO,
} from 'nbd-ts-client';
import { type Command, defineCommand } from '../command-line/command.ts';
import { text } from '../command-line/option.ts';
import { jsonOption } from './json-option.ts';

const SPACES = ' '.repeat(12);

export const command: Command = defineCommand({
  positionals: { uri: { shown: '<nbd-uri>', help: 'such as nbd+unix:///vda?socket=/run/backup.sock' } },
  options: {
    context: text('NAME', 'metadata context; default base:allocation, of QEMU also qemu:dirty-bitmap:NAME'),
    json: jsonOption('an array of {offset, length, flags, type}'),
  },
  about: [
    'Lists the extents of an NBD export, neighbours with the same flags joined.',
    'Without --json one extent a line: offset, length, flags, type. Offsets and lengths are bytes.',
  ],
  async run({ uri, context = NBD_META_BASE_ALLOCATION, json }, { output, signal }) {
    // The URI is the user's own: it may name certificates and keys.
    await using nbd = await connect(uri, { metaContexts: [context], signal, allowLocalFiles: true });
    if (!nbd.metaContexts.includes(context))
      throw new Error(`the server at ${uri} does not offer the metadata context ${context}`);
    const batches = nbd.extentBatches(context, { signal });
    const typeOf = typesOf(context);
    if (json) {
      const element = (extent: Extent): string => JSON.stringify({ ...extent, type: typeOf(extent.flags) });
      await output.jsonArray(batches, element, signal);
      return;
    }
    const line = ({ offset, length, flags }: Extent): string =>
      `${padded(offset)} ${padded(length)} ${flags} ${typeOf(flags)}\n`;
    for await (const batch of batches) {
      await output.each(batch, line, signal);
      if (!output.hasReader) return;
    }
  },
});

function padded(value: number): string {
  const text = decimal(value);
  return SPACES.slice(text.length) + text;
}

/** As `String` does, in two parts: for numbers beyond 31 bits that takes it three times as long. */
function decimal(value: number): string {
  if (value < 2 ** 30) return String(value);
  const millions = Math.floor(value / 1e6);
  return String(millions) + String(1e6 + value - millions * 1e6).slice(1);
}

/** What flags mean, where the context is known. */
function typesOf(context: string): (flags: number) => string {
  if (context === NBD_META_BASE_ALLOCATION)
    return (flags) => {
      const words = [flags & NBD_STATE_HOLE ? 'hole' : '', flags & NBD_STATE_ZERO ? 'zero' : ''];
      return words.filter((word) => word !== '').join(',') || 'data';
    };
  if (context.startsWith(NBD_META_QEMU_DIRTY_BITMAP))
    return (flags) => (flags & NBD_STATE_DIRTY ? 'dirty' : 'clean');
  return () => '';
}
