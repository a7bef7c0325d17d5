import type { Point } from 'libvirt-ts-backup';

/** A point for `--json`: everything but the domain's XML, other points by their ids. */
export function describePoint(point: Point): object {
  return {
    ...point,
    parent: point.parent?.id ?? null,
    previous: point.previous?.id ?? null,
    domainXml: undefined,
  };
}
