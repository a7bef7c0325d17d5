import { expect } from 'vitest';
import { BackupRepository } from '../backup-repository.ts';
import type { OpenRepositoryOptions } from '../repository-options.ts';
import { FakeHypervisor, noFiles } from '../fake-hypervisor.fixture.ts';
import type { BlockSource } from '../ports/block-source.ts';
import type { HypervisorDomain } from '../ports/domain.ts';
import type { Sink } from '../ports/sink.ts';
import type { Storage } from '../ports/storage.ts';
import { BLOCK_SIZE } from '../repository/format.ts';
import type { Point } from '../repository/point.ts';
import { createRepositoryFile } from '../repository/repository-file.ts';
import { TreeStore } from '../repository/tree/tree-store.ts';
import { BackupError } from '../words/errors.ts';
import type { Owners } from '../words/owner.ts';
import { type BackupResult, takeBackup, type TakeBackupOptions } from './take-backup.ts';

/** A disk whose blocks are all different. */
export function diskOf(blocks: number, first = 1): Buffer {
  const disk = Buffer.alloc(blocks * BLOCK_SIZE);
  for (let block = 0; block < blocks; block++)
    disk.fill(`block ${first + block} `, block * BLOCK_SIZE, (block + 1) * BLOCK_SIZE);
  return disk;
}

/** A running domain with one disk of that many blocks. */
export function domainOf(blocks: number): FakeHypervisor {
  const domain = new FakeHypervisor();
  domain.addDisk('vda', diskOf(blocks));
  return domain;
}

/** A write of the guest, which fills a block. */
export function writeBlock(domain: FakeHypervisor, block: number, byte: number, disk = 'vda'): void {
  domain.write(disk, block * BLOCK_SIZE, Buffer.alloc(BLOCK_SIZE, byte));
}

/** What is on a disk now. */
export function contentOf(domain: FakeHypervisor, disk = 'vda'): Buffer {
  return Buffer.from(domain.disks.get(disk)?.content ?? expect.fail(`no disk ${disk}`));
}

/** Opens a repository for the disks of that domain. */
export function openFor(
  domain: FakeHypervisor,
  place: string | Storage,
  options: OpenRepositoryOptions = {},
): Promise<BackupRepository> {
  return BackupRepository.open(place, { workers: 0, openExport: domain.openExport, ...options });
}

/** Takes a backup as a process of its own; a repository is made where there is none. */
export async function backupAs(
  owners: Owners,
  domain: FakeHypervisor,
  storage: Storage,
  options: TakeBackupOptions = {},
): Promise<BackupResult> {
  const file = await createRepositoryFile(storage);
  const store = new TreeStore(storage, file, { workers: 0 });
  const tools = { openExport: domain.openExport, files: noFiles };
  return takeBackup({ repository: { id: file.id, store, owners }, domain, tools }, options);
}

/** What a point has of a disk. */
export async function readBack(repository: BackupRepository, point: Point, disk = 'vda'): Promise<Buffer> {
  const bytes = Buffer.alloc(point.disks.find(({ name }) => name === disk)?.size ?? 0);
  const sink: Sink = {
    write: (offset, chunk) => {
      bytes.set(chunk, offset);
      return Promise.resolve();
    },
    zero: () => Promise.resolve(),
    finish: () => Promise.resolve(),
    discard: () => Promise.resolve(),
  };
  await repository.restore(point, disk, sink);
  return bytes;
}

/** What a promise is rejected with. */
export async function failure(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => expect.fail('it succeeded'),
    (error: unknown) => error,
  );
}

/** Nothing raw: one of our errors, or the reason of the signal. */
export function expectOurs(error: unknown, reason?: unknown): void {
  if (error !== reason) expect(error).toBeInstanceOf(BackupError);
}

/** Called before each call of a domain; throws what the call is to fail with. */
export type OnCall = (call: { readonly number: number; readonly name: string }) => void;

/** The domain, each of whose calls, from 1 on, is told first. */
export function watched(domain: FakeHypervisor, onCall: OnCall): HypervisorDomain {
  let number = 0;
  return new Proxy<HypervisorDomain>(domain, {
    get(target, name: keyof HypervisorDomain) {
      const member: unknown = Reflect.get(target, name);
      if (typeof member !== 'function') return member;
      return async (...args: unknown[]): Promise<unknown> => {
        onCall({ number: ++number, name });
        const result: unknown = await Reflect.apply(member, target, args);
        return result;
      };
    },
  });
}

/** Lets something happen before each read of a disk. */
export function onRead(domain: FakeHypervisor, happen: () => Promise<void> | void): void {
  domain.wrapSource = (source: BlockSource): BlockSource => ({
    ...source,
    read: async (...args) => {
      await happen();
      return source.read(...args);
    },
    readInto: async (...args) => {
      await happen();
      await source.readInto(...args);
    },
  });
}
