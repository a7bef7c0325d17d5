import { describe, expect, it } from 'vitest';
import {
  begunJob,
  committedJob,
  endedJob,
  type JobRecord,
  plannedJob,
  transferringJob,
} from './job-record.ts';
import { planJob } from './plan.ts';
import { diskFacts, domainFacts } from './facts.fixture.ts';

const domain = { name: 'web1', uuid: '11111111-2222-3333-4444-555555555555' };
const at = new Date(0);

function planned(): ReturnType<typeof plannedJob> {
  const known = { running: null, checkpointNames: [], checkpoints: new Map(), bitmaps: [] };
  const input = { domain, facts: domainFacts([diskFacts('vda')]), ...known };
  return plannedJob(planJob(input, { name: 'n', scratchDir: '/s' }), domain, at);
}

describe('JobRecord', () => {
  it('says what is needed to recognise a job and to end it, and survives JSON in every state', () => {
    const begun = begunJob(planned(), at);
    const transferring = transferringJob(begun, at);
    const committed = committedJob(transferring, at);
    const records: JobRecord[] = [planned(), begun, transferring, committed, endedJob(committed, [], at)];
    expect(records.map(({ state }) => state)).toEqual([
      'planned',
      'begun',
      'transferring',
      'committed',
      'ended',
    ]);
    for (const record of records) {
      expect(JSON.parse(JSON.stringify(record))).toEqual(record);
      expect(record).toMatchObject({
        ...{ name: 'n', domain, socket: '/s/n.sock', checkpoint: 'n' },
        disks: [{ name: 'vda', scratch: '/s/n.vda.scratch', reading: { mode: 'full', reason: 'asked' } }],
        plannedAt: '1970-01-01T00:00:00.000Z',
      });
    }
  });

  it('is completed where the data was safe, aborted from every other state', () => {
    const transferring = transferringJob(begunJob(planned()));
    expect(endedJob(transferring, [new Error('left')])).toMatchObject({ outcome: 'aborted', left: ['left'] });
    expect(endedJob(planned(), []).outcome).toBe('aborted');
    expect(endedJob(committedJob(transferring), []).outcome).toBe('completed');
  });
});
