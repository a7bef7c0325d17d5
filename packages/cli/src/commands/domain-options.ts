import { NotFoundError } from 'libvirt-ts-backup';
import { type Connection, type Domain, LibvirtError } from 'libvirt-ts-rpc';
import { type Option, text } from '../command-line/option.ts';
import { UsageError } from '../command-line/usage-error.ts';

/** Which domain a command is about. */
export interface DomainChoice {
  readonly domain: string | undefined;
  readonly uuid: string | undefined;
}

/** `--domain` and `--uuid`, of which a command takes one. */
export const domainOptions: {
  readonly domain: Option<string | undefined>;
  readonly uuid: Option<string | undefined>;
} = {
  domain: text('NAME', 'the domain, by name or UUID'),
  uuid: text('UUID', 'the domain, by UUID alone'),
};

/** @throws UsageError unless there is exactly one of the two */
export function requireDomain({ domain, uuid }: DomainChoice): void {
  if (domain === undefined && uuid === undefined) throw new UsageError('--domain is missing');
  if (domain !== undefined && uuid !== undefined)
    throw new UsageError('--domain and --uuid name the same thing: give one of them');
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** The domain that was chosen. @throws NotFoundError, which says where it was looked for */
export async function lookUpDomain(
  libvirt: Connection,
  { domain, uuid }: DomainChoice,
  signal: AbortSignal,
): Promise<Domain> {
  const wanted = uuid ?? domain ?? '';
  if (uuid !== undefined && !UUID.test(uuid)) throw new UsageError(`--uuid ${uuid} is no UUID`);
  const ways = [
    ...(uuid === undefined ? [() => libvirt.lookupDomainByName(wanted, { signal })] : []),
    ...(UUID.test(wanted) ? [() => libvirt.lookupDomainByUuid(wanted, { signal })] : []),
  ];
  let cause: unknown;
  for (const lookUp of ways)
    try {
      return await lookUp();
    } catch (error) {
      if (!(error instanceof LibvirtError) || !error.isNoDomain) throw error;
      cause = error;
    }
  throw new NotFoundError(
    'domain',
    `there is no domain ${wanted} at ${libvirt.uri}: list-domains shows those there are`,
    { cause },
  );
}
