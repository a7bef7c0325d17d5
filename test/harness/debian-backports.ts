import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run, runAny } from './processes.ts';
import { commandPath } from './requirements.ts';

const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';
const APT_FOLDER = '/etc/apt';

/** Where the machine's own packages come from. */
interface Mirror {
  readonly uri: string;
  readonly signedBy: string;
}

/** The machine's release of Debian, such as `bookworm`. Undefined on anything else. */
export function debianCodename(): string | undefined {
  const release = readIfPresent('/etc/os-release');
  if (!/^ID="?debian"?$/m.test(release)) return undefined;
  return /^VERSION_CODENAME="?([a-z]+)"?$/m.exec(release)?.[1];
}

/**
 * Unpacks a package of the release's backports into a folder of its own and returns the folder. Nothing is
 * installed, and apt's own lists stay as they are. Kept below node_modules, so it is fetched once a clone.
 *
 * Rejects where the machine is no Debian, or its mirror has no such package.
 */
export async function unpackFromBackports(packageName: string): Promise<string> {
  const codename = debianCodename();
  if (codename === undefined) throw new Error('this machine does not run Debian');
  const cache = cacheFolder();
  const target = join(cache, `${packageName}-${codename}-backports`);
  if (existsSync(target)) return target;
  const work = mkdtempSync(join(cache, 'apt-'));
  try {
    const archive = await download(work, packageName, `${codename}-backports`, mirrorOf(codename));
    const unpacked = join(work, 'unpacked');
    await run(commandPath('dpkg'), ['-x', archive, unpacked]);
    // Another process may have been faster; what it unpacked is the same.
    if (!existsSync(target)) renameSync(unpacked, target);
    return target;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** apt with lists, cache and sources in `work`; proxies and credentials are the machine's. */
async function download(work: string, packageName: string, suite: string, mirror: Mirror): Promise<string> {
  const sources = join(work, 'backports.sources');
  writeFileSync(
    sources,
    `Types: deb\nURIs: ${mirror.uri}\nSuites: ${suite}\nComponents: main\nSigned-By: ${mirror.signedBy}\n`,
  );
  for (const folder of ['state/lists/partial', 'cache/archives/partial'])
    mkdirSync(join(work, folder), { recursive: true });
  const settings = [
    `Dir::Etc::sourcelist=${sources}`,
    'Dir::Etc::sourceparts=/dev/null',
    `Dir::State=${join(work, 'state')}`,
    'Dir::State::status=/var/lib/dpkg/status',
    `Dir::Cache=${join(work, 'cache')}`,
    'APT::Sandbox::User=root', // else apt's own user would have to reach the folder
    'Acquire::Retries=1',
    'Acquire::http::Timeout=20',
    'Acquire::https::Timeout=20',
  ].flatMap((setting) => ['-o', setting]);
  const apt = async (...args: string[]): Promise<void> => {
    const { code, stderr } = await runAny(commandPath('apt-get'), ['-q', ...settings, ...args], {
      cwd: work,
    });
    if (code !== 0) throw new Error(`apt-get ${args[0] ?? ''}: ${/^E: .*$/m.exec(stderr)?.[0] ?? stderr}`);
  };
  await apt('update', '-o', 'APT::Update::Error-Mode=any');
  await apt('download', packageName);
  const archive = readdirSync(work).find((name) => name.endsWith('.deb'));
  if (archive === undefined) throw new Error(`apt-get download ${packageName} left no package`);
  return join(work, archive);
}

function mirrorOf(codename: string): Mirror {
  const files = [
    join(APT_FOLDER, 'sources.list'),
    ...readdirSync(join(APT_FOLDER, 'sources.list.d'))
      .sort()
      .map((name) => join(APT_FOLDER, 'sources.list.d', name)),
  ];
  for (const file of files) {
    const text = readIfPresent(file).replace(/^\s*#.*\n?/gm, '');
    const mirror = file.endsWith('.sources') ? fromStanzas(text, codename) : fromLines(text, codename);
    if (mirror !== undefined) return mirror;
  }
  throw new Error(`no source of ${codename} main in ${APT_FOLDER}`);
}

/** Stanzas of fields: sources.list(5), "DEB822-STYLE FORMAT". */
function fromStanzas(text: string, codename: string): Mirror | undefined {
  for (const stanza of text.split(/\n\s*\n/)) {
    const field = (name: string): string =>
      new RegExp(`^${name}:[ \\t]*(.*(?:\\n[ \\t].*)*)`, 'im').exec(stanza)?.[1] ?? '';
    const has = (name: string, word: string): boolean => field(name).split(/\s+/).includes(word);
    if (!has('Types', 'deb') || !has('Suites', codename) || !has('Components', 'main')) continue;
    if (has('Enabled', 'no')) continue;
    const [uri] = field('URIs').trim().split(/\s+/);
    if (uri !== undefined) return { uri, signedBy: field('Signed-By') || KEYRING };
  }
  return undefined;
}

/** `deb [option=value …] uri suite component …` */
function fromLines(text: string, codename: string): Mirror | undefined {
  for (const line of text.split('\n')) {
    const [, options = '', uri = '', suite, components = ''] =
      /^\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s+(.*)$/.exec(line) ?? [];
    if (suite !== codename || !components.split(/\s+/).includes('main')) continue;
    return { uri, signedBy: /(?:^|\s)signed-by=(\S+)/.exec(options)?.[1] ?? KEYRING };
  }
  return undefined;
}

/** node_modules/.cache of the repository, wherever this file was compiled to. */
/** Below node_modules: what is fetched once a clone. */
export function cacheFolder(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package-lock.json'))) {
    if (folder === dirname(folder)) throw new Error('no package-lock.json above the test harness');
    folder = dirname(folder);
  }
  const cache = join(folder, 'node_modules/.cache');
  mkdirSync(cache, { recursive: true });
  return cache;
}

function readIfPresent(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
