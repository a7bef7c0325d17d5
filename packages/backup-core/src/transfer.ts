// Copying between NBD exports and sinks, without libvirt and repositories: `libvirt-ts-backup/transfer`.
export {
  BASE_ALLOCATION,
  type ByteRange,
  layout,
  type LayoutOptions,
  type LayoutRange,
} from './transfer/layout.ts';
export type { BlockSource } from './ports/block-source.ts';
export { nullSink } from './transfer/null-sink.ts';
export { createRawFile, type RawFileOptions } from './adapters/folder/raw-file.ts';
export { openExistingDisk } from './adapters/folder/existing-disk.ts';
export { type NbdSinkOptions, openNbdSink } from './adapters/nbd/nbd-sink.ts';
export type { ExistingBytes, Sink } from './ports/sink.ts';
export { copyRanges, type CopyOptions, type CopyProgress, type CopySource } from './transfer/copy.ts';
