import importX, { createNodeResolver } from "eslint-plugin-import-x";
import tseslint from "typescript-eslint";

/** Rooms of src/ in the order in which imports may go: a room may import itself and every room named for it. */
export const allowedImports = {
  "log.ts": ["errors.ts", "config", "line-writer.ts"],
  fusion: ["errors.ts"],
  strategies: ["errors.ts", "fusion"],
  wire: ["errors.ts", "strategies"],
  config: ["errors.ts", "strategies", "wire/token-record.ts"],
  trace: ["errors.ts", "wire"],
  store: ["errors.ts"],
  feedback: ["errors.ts", "wire", "store"],
  jinja: ["errors.ts"],
  llama: ["errors.ts", "config", "jinja"],
  grammar: ["errors.ts", "llama/types.ts"],
  sampling: ["errors.ts", "config", "fusion/types.ts", "llama/types.ts", "grammar"],
  routing: ["errors.ts", "config", "strategies"],
  rows: ["errors.ts", "config", "fusion/types.ts", "llama/types.ts"],
  rpc: ["errors.ts", "config", "llama/abi.ts"],
  protocol: [
    "errors.ts",
    "wire/token-record.ts",
    "config",
    "strategies",
    "routing/card.ts",
    "llama/types.ts",
    "rows/types.ts",
  ],
  verdicts: ["errors.ts", "config", "strategies", "protocol"],
  engine: [
    "errors.ts",
    "fair-line.ts",
    "log.ts",
    "wire",
    "config",
    "strategies",
    "llama",
    "fusion",
    "grammar",
    "sampling",
    "routing",
    "protocol",
    "rows",
    "rpc",
  ],
  calibration: ["errors.ts", "config", "strategies", "routing", "protocol", "verdicts"],
  evaluation: [
    "errors.ts",
    "log.ts",
    "wire/token-record.ts",
    "config",
    "strategies",
    "routing",
    "protocol",
    "verdicts",
    "calibration",
  ],
  "row-server": [
    "errors.ts",
    "log.ts",
    "config",
    "fusion/kernel/top.ts",
    "llama/types.ts",
    "rows",
    "api/access/gate.ts",
    "api/access/key-ring.ts",
  ],
  distillation: ["errors.ts", "config", "strategies", "protocol", "verdicts", "calibration", "evaluation"],
  api: [
    "errors.ts",
    "fair-line.ts",
    "log.ts",
    "wire",
    "config",
    "strategies",
    "fusion",
    "grammar",
    "trace",
    "store",
    "feedback",
    "protocol",
    "verdicts",
  ],
};

const zones = Object.entries(allowedImports).map(([room, allowed]) => ({
  target: `./src/${room}`,
  from: "./src",
  except: [`./${room}`, ...allowed.map((name) => `./${name}`)],
  message: `src/${room} may import only: ${allowed.join(", ") || "nothing"} (see docs/architecture.md, Rooms).`,
}));

export default tseslint.config(
  {
    ignores: [
      "dist/",
      "node_modules/",
      ".venv/",
      "coverage/",
      "src/fusion/kernel/assembly/",
      "bench/models/",
      "bench/out/",
      "*.config.js",
    ],
  },
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    plugins: { "import-x": importX },
    settings: {
      "import-x/resolver-next": [createNodeResolver({ extensionAlias: { ".js": [".ts", ".js"] } })],
      "import-x/extensions": [".ts"],
    },
    rules: {
      "import-x/no-restricted-paths": ["error", { zones }],
      "import-x/no-cycle": "error",
      "no-restricted-imports": [
        "error",
        {
          paths: ["koffi", "node-llama-cpp"].map((name) => ({
            name,
            message: "Only src/llama touches native code.",
          })),
        },
      ],
      "no-restricted-syntax": [
        "error",
        {
          selector: "ThrowStatement > NewExpression[callee.name='Error']",
          message:
            "Throw a ShouldersError from src/errors.ts (or invariant()), so that every error says what to do.",
        },
        { selector: "TSEnumDeclaration", message: "Use a string union." },
        {
          selector: "Literal[value=/^Invalid '/], TemplateElement[value.raw=/^Invalid '/]",
          message:
            "Use fieldError() from src/errors.ts: a field and a reason, which make a sentence where it is answered.",
        },
      ],
      "max-lines": ["error", { max: 300, skipBlankLines: true, skipComments: true }],
      "max-lines-per-function": ["error", { max: 60, skipBlankLines: true, skipComments: true }],
      "@typescript-eslint/restrict-template-expressions": [
        "error",
        { allowNumber: true, allowBoolean: true },
      ],
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
      "@typescript-eslint/switch-exhaustiveness-check": "error",
      "@typescript-eslint/consistent-type-definitions": "off",
    },
  },
  {
    // The page: plain modules for a browser; tsc checks their types by tsconfig.page.json.
    files: ["src/playground/**/*.js"],
    rules: {
      ...tseslint.configs.disableTypeChecked.rules,
      "no-undef": "error",
      "no-restricted-syntax": "off",
    },
    languageOptions: {
      parserOptions: { projectService: false },
      globals: Object.fromEntries(
        (
          "addEventListener Blob CustomEvent document Element fetch getComputedStyle Image innerHeight location " +
          "localStorage matchMedia performance requestAnimationFrame ResizeObserver scrollY sessionStorage setInterval clearInterval " +
          "setTimeout TextDecoder TextEncoder URL WebSocket XMLSerializer"
        )
          .split(" ")
          .map((name) => [name, "readonly"]),
      ),
    },
  },
  {
    files: ["src/llama/**", "test/model/**", "test/real/**", "bench/**", "models/recipe/**"],
    rules: { "no-restricted-imports": "off" },
  },
  {
    files: ["src/llama/**"],
    rules: {
      "@typescript-eslint/no-explicit-any": "off",
    },
  },
  // Plain scripts are no part of the TypeScript project.
  { files: ["**/*.mjs"], ...tseslint.configs.disableTypeChecked },
  {
    files: ["test/**", "bench/**", "scripts/**", "models/recipe/**"],
    rules: {
      "max-lines": "off",
      "max-lines-per-function": "off",
      "no-restricted-syntax": "off",
      "@typescript-eslint/no-non-null-assertion": "off",
    },
  },
);
