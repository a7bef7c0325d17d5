import { describe, expect, it } from 'vitest';
import { type KeepPolicy, keepPolicy, type KeepablePoint } from './keep-policy.ts';

const NOW = new Date('2026-03-10T12:00:00Z');

/** Points whose ids are their times. */
function points(...times: string[]): KeepablePoint[] {
  return times.map((time) => ({ id: time, createdAt: new Date(`${time}:00Z`), domain: 'a' }));
}

const HOURS = points('2026-03-10T09:00', '2026-03-10T10:00', '2026-03-10T10:30', '2026-03-10T11:59');
const DAYS = points(
  '2026-03-07T23:59',
  '2026-03-08T00:00',
  '2026-03-09T03:00',
  '2026-03-09T04:00',
  '2026-03-10T03:00',
);
// Sunday, Monday, Sunday, Monday.
const WEEKS = points('2026-03-01T23:59', '2026-03-02T00:00', '2026-03-08T23:59', '2026-03-09T00:00');
const YEARS = points(
  '2024-12-31T23:59',
  '2025-01-01T00:00',
  '2025-12-30T01:00',
  '2026-01-01T00:00',
  '2026-02-28T01:00',
);

const TABLE: readonly [
  title: string,
  given: KeepablePoint[],
  policy: KeepPolicy,
  kept: Record<string, string>,
][] = [
  ['nothing', [], { keepLast: 1 }, {}],
  [
    'an empty policy removes nothing',
    HOURS.slice(0, 2),
    {},
    { '2026-03-10T10:00': 'newest,no-policy', '2026-03-10T09:00': 'no-policy' },
  ],
  [
    'protected points alone are no policy',
    HOURS.slice(0, 2),
    { protected: ['2026-03-10T09:00'] },
    { '2026-03-10T10:00': 'newest,no-policy', '2026-03-10T09:00': 'protected,no-policy' },
  ],
  [
    'neither does one that says 0 of everything',
    HOURS.slice(0, 1),
    { keepLast: 0, keepDaily: 0, minAgeMs: 0 },
    { '2026-03-10T09:00': 'newest,no-policy' },
  ],
  ['the newest is kept whatever its age', DAYS, { minAgeMs: 1 }, { '2026-03-10T03:00': 'newest' }],
  ['last', HOURS, { keepLast: 2 }, { '2026-03-10T11:59': 'last,newest', '2026-03-10T10:30': 'last' }],
  ['more than there are', HOURS.slice(3), { keepLast: 9 }, { '2026-03-10T11:59': 'last,newest' }],
  [
    'the newest of each hour',
    HOURS,
    { keepHourly: 2 },
    { '2026-03-10T11:59': 'hourly,newest', '2026-03-10T10:30': 'hourly' },
  ],
  [
    'the newest of each day of UTC',
    DAYS,
    { keepDaily: 3 },
    { '2026-03-10T03:00': 'daily,newest', '2026-03-09T04:00': 'daily', '2026-03-08T00:00': 'daily' },
  ],
  [
    'weeks begin on Mondays',
    WEEKS,
    { keepWeekly: 3 },
    { '2026-03-09T00:00': 'weekly,newest', '2026-03-08T23:59': 'weekly', '2026-03-01T23:59': 'weekly' },
  ],
  [
    'months, with those that have none left out',
    YEARS,
    { keepMonthly: 3 },
    { '2026-02-28T01:00': 'monthly,newest', '2026-01-01T00:00': 'monthly', '2025-12-30T01:00': 'monthly' },
  ],
  [
    'years',
    YEARS,
    { keepYearly: 9 },
    { '2026-02-28T01:00': 'yearly,newest', '2025-12-30T01:00': 'yearly', '2024-12-31T23:59': 'yearly' },
  ],
  [
    'a period that an earlier rule covers is not counted again',
    DAYS,
    { keepLast: 1, keepDaily: 1 },
    { '2026-03-10T03:00': 'last,newest', '2026-03-09T04:00': 'daily' },
  ],
  [
    'young ones, and those from the future',
    [...HOURS, ...points('2026-03-10T12:30')],
    { minAgeMs: 90 * 60_000 },
    { '2026-03-10T12:30': 'newest,young', '2026-03-10T11:59': 'young' },
  ],
  [
    'protected ones',
    [...HOURS.slice(1), { ...HOURS[0], protected: true } as KeepablePoint],
    { keepLast: 1, protected: ['2026-03-10T10:00', 'unknown'] },
    { '2026-03-10T11:59': 'last,newest', '2026-03-10T10:00': 'protected', '2026-03-10T09:00': 'protected' },
  ],
];

describe('keep policy', () => {
  it.each(TABLE)('%s', (_, given, policy, kept) => {
    const shuffled = given.map((__, index) => given[(index * 3 + 1) % given.length] ?? given[0]);
    for (const order of [
      given,
      [...given].reverse(),
      new Set(shuffled).size === given.length ? shuffled : given,
    ]) {
      const { keep, remove } = keepPolicy(order as KeepablePoint[], policy, NOW);
      const reasons = Object.fromEntries([...keep].map(([id, all]) => [id, all.join(',')]));
      expect(reasons).toEqual(kept);
      expect(remove).toEqual(
        given
          .map(({ id }) => id)
          .filter((id) => !keep.has(id))
          .sort(),
      );
    }
  });

  it('looks at each domain by itself', () => {
    const two = [...HOURS, ...DAYS.map((point) => ({ ...point, domain: 'b' }))];
    const { keep } = keepPolicy(two, { keepLast: 1 }, NOW);
    expect([...keep.keys()].sort()).toEqual(['2026-03-10T03:00', '2026-03-10T11:59']);
  });
});
