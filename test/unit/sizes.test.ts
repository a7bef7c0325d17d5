import { fileURLToPath } from 'node:url';
import { ESLint } from 'eslint';
import tseslint from 'typescript-eslint';
import { expect, it } from 'vitest';
import { LIMITS, sizeExceptions } from '../../scripts/size-exceptions.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));

it(
  'sources are no longer than they may be, but for those on the list, all of which still are',
  { timeout: 180_000 },
  async () => {
    const options = { skipBlankLines: true, skipComments: true };
    const eslint = new ESLint({
      cwd: root,
      overrideConfigFile: true,
      // Comments that turn the rules off are no way around the list.
      allowInlineConfig: false,
      overrideConfig: {
        files: ['**/*.ts'],
        languageOptions: { parser: tseslint.parser },
        rules: Object.fromEntries(
          Object.entries(LIMITS).map(([rule, max]) => [rule, ['error', { max, ...options }]]),
        ),
      },
    });
    const results = await eslint.lintFiles(['packages/*/src/**/*.ts']);
    expect(results.length).toBeGreaterThan(100);
    const long = results
      .filter(({ filePath }) => !/\.(test|fixture)\.ts$/.test(filePath))
      .flatMap(({ filePath, messages }) =>
        messages.map(({ ruleId }) => `${filePath.slice(root.length)} ${ruleId ?? ''}`),
      );
    const listed = sizeExceptions.map(({ path, rule }) => `${path} ${rule}`);
    expect([...new Set(long)].sort()).toEqual([...listed].sort());
    for (const { path, reason } of sizeExceptions) expect(reason, path).not.toBe('');
  },
);
