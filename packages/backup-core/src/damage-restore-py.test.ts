import { execFile } from 'node:child_process';
import { link, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type Bench, type KnownPoint, makeBench } from './damaged-repository.fixture.ts';
import {
  changesOfManifests,
  changesOfPacks,
  type Damage,
  flipsInPacks,
  someOfEachKind,
} from './damages.fixture.ts';
import { BLOCK_SIZE } from './repository/format.ts';

const run = promisify(execFile);
/** Runs the program for every point of many folders, and says what came of each. */
const DRIVER = String.raw`
import importlib.util, json, os, sys
spec = importlib.util.spec_from_file_location('restore', sys.argv[1])
program = importlib.util.module_from_spec(spec)
spec.loader.exec_module(program)
def restored(folder, point, truth):
    output = os.path.join(folder, 'output')
    try:
        program.restore(folder, point, point['disks'][0], output)
    except (program.Damaged, OSError):
        return 'damaged'
    try:
        with open(output, 'rb') as file:
            if os.fstat(file.fileno()).st_size != truth['size']:
                return 'wrong size'
            for block, path in truth['blocks'].items():
                file.seek(int(block) * 65536)
                with open(path, 'rb') as expected:
                    if file.read(65536) != expected.read():
                        return 'wrong at block ' + block
            # Nothing else takes room: it is zeroes.
            data, at = 0, 0
            while True:
                try:
                    start = os.lseek(file.fileno(), at, os.SEEK_DATA)
                except OSError:
                    break
                at = os.lseek(file.fileno(), start, os.SEEK_HOLE)
                data += at - start
            return 'whole' if data == 65536 * len(truth['blocks']) else 'too much'
    finally:
        os.unlink(output)
truths = json.load(open(sys.argv[2]))
for folder in sys.argv[3:]:
    found = {}
    for point, _ in program.points(folder):
        if point is not None:
            found[point['id']] = restored(folder, point, truths[point['id']])
    print(json.dumps(found))
`;

/** Where only the mark of the end is damaged, python gives the right content; the library wants the mark, too. */
const END_OF_DEFLATED = 'flip: block, last byte';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dpy-'));
});
afterEach(() => rm(folder, { recursive: true }));

async function put(path: string, bytes: Uint8Array): Promise<string> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, bytes);
  return path;
}

/** What python has to compare with. */
async function writeTruths(known: readonly KnownPoint[]): Promise<string> {
  const truths: Record<string, unknown> = {};
  for (const { point, truth } of known) {
    const blocks: Record<number, string> = {};
    for (const [block, bytes] of truth.blocks) {
      expect(bytes).toHaveLength(BLOCK_SIZE);
      blocks[block] = await put(join(folder, 'truths', `${point.id}.${block}`), bytes);
    }
    truths[point.id] = { size: truth.size, blocks };
  }
  return put(join(folder, 'truths.json'), Buffer.from(JSON.stringify(truths)));
}

/** A folder with the damaged repository; what is not damaged is there once. */
async function layOut(bench: Bench, damage: Damage, path: string): Promise<string> {
  const objects = new Map(bench.storage.objects);
  damage.do(objects);
  for (const [name, bytes] of objects) {
    const whole = join(folder, 'whole', name);
    if (bench.storage.objects.get(name) !== bytes) await put(join(path, name), bytes);
    else {
      await mkdir(dirname(join(path, name)), { recursive: true });
      await link(whole, join(path, name));
    }
  }
  return path;
}

it.each(['plain', 'deflate'] as const)(
  'restore.py restores exactly the points that hold nothing damaged (%s)',
  { timeout: 120_000 },
  async (flavour) => {
    const bench = await makeBench(flavour);
    const other = await makeBench(flavour);
    for (const [name, bytes] of bench.storage.objects) await put(join(folder, 'whole', name), bytes);
    const damages = [flipsInPacks(bench), changesOfPacks(bench, other), changesOfManifests(bench, other)]
      .flatMap((each) => someOfEachKind(each, 1))
      .filter(({ kind }) => flavour === 'plain' || kind !== END_OF_DEFLATED);
    const places: string[] = [];
    for (const [index, damage] of damages.entries())
      places.push(await layOut(bench, damage, join(folder, String(index))));
    const script = join(folder, 'whole', 'restore.py');
    const { stdout } = await run('python3', [
      '-c',
      DRIVER,
      script,
      await writeTruths(bench.known),
      ...places,
    ]);
    const found = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, string>);
    expect(found).toHaveLength(damages.length);
    for (const [index, { what, lost = () => false, lostManifests = [] }] of damages.entries()) {
      const listed = bench.known.filter(({ object }) => !lostManifests.includes(object));
      const expected = listed.map(({ point, pieces }) => [
        point.id,
        [...pieces].some(lost) ? 'damaged' : 'whole',
      ]);
      expect(found[index], what).toEqual(Object.fromEntries(expected));
    }
  },
);

it('restore.py does without repository.json', async () => {
  const { storage, known } = await makeBench('plain');
  const place = join(folder, 'whole');
  for (const [name, bytes] of storage.objects) await put(join(place, name), bytes);
  const script = join(place, 'restore.py');
  const [{ point, truth } = expect.fail()] = known;
  for (const damage of ['damaged', 'gone'] as const) {
    if (damage === 'damaged') await writeFile(join(place, 'repository.json'), '{"form');
    else await rm(join(place, 'repository.json'));
    const { stdout, stderr } = await run('python3', [script, place]);
    expect(stdout.trim().split('\n')).toHaveLength(known.length);
    expect(stderr).toContain('repository.json is missing or damaged');
    const output = join(folder, `output-${damage}`);
    await run('python3', [script, place, point.id, 'vda', output]);
    expect((await readFile(output)).equals(Buffer.concat([...truth.blocks.values()]))).toBe(true);
  }
});
