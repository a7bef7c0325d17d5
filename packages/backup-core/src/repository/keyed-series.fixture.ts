import { ulid } from '../words/ulid.ts';
import { checkPoints, KeptSeries } from './kept-series.fixture.ts';
import type { EncryptionOptions, OpeningKeys } from './key-envelope.ts';
import { TestStorage } from './memory-storage.fixture.ts';
import { UUID } from './point.fixture.ts';
import { type Compression, createRepositoryFile, openRepositoryFile } from './repository-file.ts';

/** Points of an encrypted repository, taken and read back with whatever key one has. */
export class KeySeries {
  readonly storage: TestStorage = new TestStorage();
  readonly disks: Map<string, Buffer> = new Map<string, Buffer>();

  static async create(
    encryption: EncryptionOptions | undefined,
    compression: Compression = 'none',
  ): Promise<KeySeries> {
    const series = new KeySeries();
    await createRepositoryFile(series.storage, { encryption, compression, companions: {} });
    if (encryption !== undefined) await series.take({ key: encryption.key });
    else await series.take({});
    return series;
  }

  /** Takes a point, of a domain whose name is a secret. */
  async take(keys: OpeningKeys): Promise<string> {
    const file = await openRepositoryFile(this.storage, keys);
    const fields = { domain: { name: `secret ${ulid()}`, uuid: UUID } };
    const series = new KeptSeries(this.storage, { file, fields });
    const id = await series.take([
      { first: 0, count: 3, fill: 'random' },
      { first: 5, count: 1, fill: 7 },
    ]);
    for (const [point, disk] of series.disks) this.disks.set(point, disk);
    return id;
  }

  /** Every point is what it was. */
  async expectWhole(keys: OpeningKeys): Promise<void> {
    const file = await openRepositoryFile(this.storage, keys);
    const ids = await checkPoints(this.storage, this.disks, file);
    if (ids.length !== this.disks.size) throw new Error(`${ids.length} of ${this.disks.size} points`);
  }
}
