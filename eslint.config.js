import eslint from '@eslint/js';
import { defineConfig } from 'eslint/config';
import globals from 'globals';
import tseslint from 'typescript-eslint';
import { LIMITS, sizeExceptions } from './scripts/size-exceptions.mjs';

const SIZES = Object.fromEntries(
  Object.entries(LIMITS).map(([rule, max]) => [
    rule,
    ['error', { max, skipBlankLines: true, skipComments: true }],
  ]),
);

export default defineConfig(
  { ignores: ['**/dist/', 'packages/cli/bundle/', 'coverage/'] },
  eslint.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: {
      parserOptions: { project: './tsconfig.tests.json', tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      '@typescript-eslint/explicit-module-boundary-types': 'error',
    },
  },
  {
    files: ['packages/*/src/**/*.ts'],
    ignores: ['**/*.test.ts'],
    rules: { 'no-console': 'error' },
  },
  {
    files: ['packages/*/src/**/*.ts'],
    ignores: ['**/*.{test,fixture}.ts'],
    rules: SIZES,
  },
  ...sizeExceptions.map(({ path, rule }) => ({ files: [path], rules: { [rule]: 'off' } })),
  { files: ['**/*.{js,mjs}'], languageOptions: { globals: globals.node } },
);
