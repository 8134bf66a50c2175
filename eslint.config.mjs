import tseslint from "typescript-eslint";

export default tseslint.config(
  {
    ignores: [
      "**/dist/**",
      "**/node_modules/**",
      "fixtures/**",
      "packages/*/wasm/**",
      "**/assets/**",
      "**/native/build/**",
      "packages/quant-core/assembly/**", // AssemblyScript: TypeScript syntax, other semantics
    ],
  },
  ...tseslint.configs.recommended,
  ...tseslint.configs.stylistic,
  {
    rules: {
      eqeqeq: ["error", "always", { null: "ignore" }],
      "no-console": "error",
      "@typescript-eslint/consistent-type-imports": "error",
      "@typescript-eslint/no-non-null-assertion": "off", // typed-array reads in kernels under noUncheckedIndexedAccess
      "@typescript-eslint/prefer-for-of": "off",
    },
  },
  { files: ["scripts/**", "bench/**", "**/*.mjs", "packages/asr-cli/**"], rules: { "no-console": "off" } },
);
