// Removes all but the newest points of a repository of stubs, which is as small as one that would be swept each time.
// Arguments: folder, points to keep.
import { BackupRepository } from 'libvirt-ts-backup';

const SWEEP_SHARE = 1 / 16;

const [folder = '', keepLast] = process.argv.slice(2);
const repository = await BackupRepository.open(folder, { create: false });
const report = await repository.prune({ keepLast: Number(keepLast) }, { sweepShare: SWEEP_SHARE });
await repository.close();
if (report.remove.length !== 1) throw new Error(`${report.remove.length} points were removed`);
process.stdout.write(`${JSON.stringify(report)}\n`);
