import { defineConfig } from 'eslint/config';
import tseslint from 'typescript-eslint';

const passedIn = 'Time, chance and ids are passed in: see src/model/clock.ts.';

export default defineConfig(
  { ignores: ['dist/'] },
  tseslint.configs.strictTypeChecked,
  {
    languageOptions: {
      parserOptions: {
        projectService: {
          allowDefaultProject: ['eslint.config.js', 'vitest.config.ts', 'vitest.faults.config.ts'],
        },
      },
    },
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      // A lost promise is a lost error: the reason this linter is here.
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_' }],
      '@typescript-eslint/no-misused-promises': 'error',
      // Indexes are checked by noUncheckedIndexedAccess; `!` says that the line above has looked.
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/restrict-template-expressions': 'off',
      '@typescript-eslint/no-confusing-void-expression': 'off',
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/no-meaningless-void-operator': 'off',
      '@typescript-eslint/no-invalid-void-type': 'off',
      '@typescript-eslint/no-unnecessary-condition': 'off',
      '@typescript-eslint/prefer-promise-reject-errors': 'off',
      '@typescript-eslint/only-throw-error': 'off',
    },
  },
  {
    files: ['src/**', 'actors/**'],
    ignores: ['src/model/clock.ts'],
    rules: {
      'no-restricted-properties': [
        'error',
        { object: 'Date', property: 'now', message: passedIn },
        { object: 'Math', property: 'random', message: passedIn },
        { object: 'performance', property: 'now', message: passedIn },
        { object: 'process', property: 'exit', message: 'The host process is never ended.' },
      ],
      'no-restricted-globals': [
        'error',
        { name: 'setTimeout', message: passedIn },
        { name: 'setInterval', message: passedIn },
      ],
      'no-console': 'error',
    },
  },
  // Programs of their own; the library never logs.
  { files: ['src/cli.ts', 'src/backends/file/hub-program.ts'], rules: { 'no-console': 'off' } },
  {
    files: ['test/**', 'bench/**'],
    rules: {
      '@typescript-eslint/no-empty-function': 'off',
      '@typescript-eslint/unbound-method': 'off',
      '@typescript-eslint/no-unsafe-class-instance-assignment': 'off',
    },
  },
  {
    // Only the compiler reads them, and it is asked about types of things that are never used.
    files: ['test/types/**'],
    rules: {
      '@typescript-eslint/no-unused-vars': 'off',
      '@typescript-eslint/no-unnecessary-type-parameters': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
    },
  },
);
