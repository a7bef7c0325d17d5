/** What is to be kept. Each number counts points of one domain; what is not said, or 0, keeps nothing by itself. */
export interface KeepPolicy {
  /** The newest points. */
  readonly keepLast?: number | undefined;
  /** The newest point of each of so many hours that have one; further back than what other rules keep. */
  readonly keepHourly?: number | undefined;
  /** The same for days, in UTC. */
  readonly keepDaily?: number | undefined;
  /** Weeks begin on Mondays (ISO 8601). */
  readonly keepWeekly?: number | undefined;
  /** The same for months, in UTC. */
  readonly keepMonthly?: number | undefined;
  /** The same for years, in UTC. */
  readonly keepYearly?: number | undefined;
  /** Milliseconds for which each point is kept. */
  readonly minAgeMs?: number | undefined;
  /** Ids of points that are kept. */
  readonly protected?: readonly string[] | undefined;
}

/** What a policy knows of a point. */
export interface KeepablePoint {
  readonly id: string;
  readonly createdAt: Date;
  /** UUID: each domain is looked at by itself. */
  readonly domain: string;
  readonly protected?: boolean | undefined;
}

/** Why a point is kept. */
export type KeepReason =
  | 'newest'
  | 'last'
  | 'hourly'
  | 'daily'
  | 'weekly'
  | 'monthly'
  | 'yearly'
  | 'young'
  | 'protected'
  /** The policy says nothing of what to keep. */
  | 'no-policy';

/** What a policy says. */
export interface KeepPlan {
  readonly keep: ReadonlyMap<string, readonly KeepReason[]>;
  /** Ids, the oldest first. */
  readonly remove: readonly string[];
}

const DAY_MS = 86_400_000;
/** 1970-01-01 was a Thursday. */
const DAYS_TO_MONDAY = 3;

type Rule = readonly [
  reason: KeepReason,
  count: number | undefined,
  periodOf: (point: KeepablePoint) => string,
];

/**
 * Decides which points are kept. The newest of a domain always is, whatever the policy; an empty policy removes
 * nothing. Days and hours are those of UTC.
 *
 * A rule keeps the newest point of each of its periods, from the newest back. A period of which an earlier rule kept
 * a point needs none of its own, and is not counted: seven days and four weeks are a week by days and four weeks
 * before it.
 */
export function keepPolicy(points: readonly KeepablePoint[], policy: KeepPolicy, now: Date): KeepPlan {
  const keep = new Map<string, KeepReason[]>();
  for (const series of byDomain(points)) markSeries(series, policy, now, keep);
  const remove = points
    .filter(({ id }) => !keep.has(id))
    .sort((one, other) => -newestFirst(one, other))
    .map(({ id }) => id);
  return { keep, remove };
}

function markSeries(
  series: readonly KeepablePoint[],
  policy: KeepPolicy,
  now: Date,
  keep: Map<string, KeepReason[]>,
): void {
  const mark = ({ id }: KeepablePoint, reason: KeepReason): void => {
    keep.set(id, [...(keep.get(id) ?? []), reason]);
  };
  for (const [reason, count, periodOf] of rulesOf(policy))
    markRule(series, keep, mark, reason, count ?? 0, periodOf);
  const isEmpty = !rulesOf(policy).some(([, count]) => (count ?? 0) > 0) && (policy.minAgeMs ?? 0) <= 0;
  for (const [index, point] of series.entries()) {
    if (index === 0) mark(point, 'newest');
    if (point.protected === true || policy.protected?.includes(point.id) === true) mark(point, 'protected');
    if (now.getTime() - point.createdAt.getTime() < (policy.minAgeMs ?? 0)) mark(point, 'young');
    if (isEmpty) mark(point, 'no-policy');
  }
}

function markRule(
  series: readonly KeepablePoint[],
  kept: ReadonlyMap<string, unknown>,
  mark: (point: KeepablePoint, reason: KeepReason) => void,
  reason: KeepReason,
  count: number,
  periodOf: (point: KeepablePoint) => string,
): void {
  const covered = new Set(series.filter(({ id }) => kept.has(id)).map(periodOf));
  const chosen = new Set<string>();
  for (const point of series) {
    const period = periodOf(point);
    if (covered.has(period) || chosen.has(period)) continue;
    if (chosen.size >= count) return;
    chosen.add(period);
    mark(point, reason);
  }
}

function rulesOf(policy: KeepPolicy): readonly Rule[] {
  const text = ({ createdAt }: KeepablePoint): string => createdAt.toISOString();
  return [
    ['last', policy.keepLast, ({ id }) => id],
    ['hourly', policy.keepHourly, (point) => text(point).slice(0, -11)],
    ['daily', policy.keepDaily, (point) => text(point).slice(0, -14)],
    ['weekly', policy.keepWeekly, weekOf],
    ['monthly', policy.keepMonthly, (point) => text(point).slice(0, -17)],
    ['yearly', policy.keepYearly, (point) => text(point).slice(0, -20)],
  ];
}

function weekOf({ createdAt }: KeepablePoint): string {
  return String(Math.floor((createdAt.getTime() / DAY_MS + DAYS_TO_MONDAY) / 7));
}

/** Points of one domain each, the newest first. */
function byDomain(points: readonly KeepablePoint[]): KeepablePoint[][] {
  const domains = new Map<string, KeepablePoint[]>();
  for (const point of [...points].sort(newestFirst)) {
    const series = domains.get(point.domain);
    if (series === undefined) domains.set(point.domain, [point]);
    else series.push(point);
  }
  return [...domains.values()];
}

/** By their ids, which are in the order in which the points of a domain were taken, whatever the clocks said. */
function newestFirst(one: KeepablePoint, other: KeepablePoint): number {
  return one.id < other.id ? 1 : -1;
}
