import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { parseAllDocuments } from "yaml";
import { describeSettings, settingsSchema } from "../../src/config/settings.js";
import { start, untilPrinted } from "../support/command-line.js";
import { freePorts } from "../support/proxies.js";
import { modelPath, root } from "../support/real-engine.js";
import { startTestServer } from "../support/server.js";
import { temporaryDirectory } from "../support/temporary-directory.js";

/** What deploy/ has, by the programs that read it. */

const chart = path.join(root, "deploy/chart");
const alerts = path.join(chart, "alerts.yml");

function lacks(program: string): boolean {
  const isMissing = spawnSync(program, ["--help"]).error !== undefined;
  if (isMissing)
    console.warn(`what ${program} checks of deploy/ is left out: it is not installed (see .ci/run)`);
  return isMissing;
}

const lacksHelm = lacks("helm");

interface Manifest {
  kind: string;
  metadata: { name: string };
  data?: Record<string, string>;
  stringData?: Record<string, string>;
  spec: Record<string, unknown>;
}

/** Everything that the chart has. */
const everything = {
  configs: { "giant.json": JSON.stringify({ id: "giant", base: modelPath("giant") }) },
  models: { claim: "models" },
  keys: { values: ["ann=0123456789abcdef", "operator:prometheus=0123456789abcdef0"] },
  database: { secret: "postgres" },
  gpu: { count: 1 },
  settings: { allowedHosts: ["llm.example"], traces: "weights" },
  ...Object.fromEntries(
    ["serviceMonitor", "alerts", "keda", "inferencePool"].map((part) => [part, { enabled: true }]),
  ),
  extraArgs: ["--log-level=error"],
  extraEnv: [{ name: "SHOULDERS_THREADS", value: "1" }],
  extraVolumes: [{ name: "more", emptyDir: {} }],
  extraVolumeMounts: [{ name: "more", mountPath: "/more" }],
  nodeSelector: { disk: "fast" },
  tolerations: [{ key: "nvidia.com/gpu", operator: "Exists" }],
  affinity: { nodeAffinity: {} },
  podAnnotations: { team: "language" },
  imagePullSecrets: [{ name: "registry" }],
};

function helm(command: string, values: object) {
  const directory = temporaryDirectory();
  onTestFinished(() => directory.remove());
  writeFileSync(directory.file("values.json"), JSON.stringify(values));
  const args = command === "lint" ? ["lint", "--strict", chart] : ["template", "demo", chart];
  return spawnSync("helm", [...args, "--values", directory.file("values.json")], { encoding: "utf8" });
}

function render(values: object): { text: string; manifests: Manifest[] } {
  const { stdout, stderr, status } = helm("template", values);
  expect(stderr).toBe("");
  expect(status).toBe(0);
  return { text: stdout, manifests: parseAllDocuments(stdout).map((one) => one.toJS() as Manifest) };
}

function only(manifests: readonly Manifest[], kind: string): Manifest {
  const found = manifests.filter((one) => one.kind === kind);
  expect(found).toHaveLength(1);
  return found[0]!;
}

interface Container {
  args: string[];
  env: { name: string; value?: string }[];
  startupProbe: { periodSeconds: number; failureThreshold: number };
}

function containerOf(manifests: readonly Manifest[]): Container {
  const { spec } = only(manifests, "Deployment") as {
    spec: { template?: { spec: { containers: Container[] } } };
  };
  return spec.template!.spec.containers[0]!;
}

describe.skipIf(lacksHelm)("the chart", () => {
  it("has nothing to be said against by Helm's own look at it", () => {
    for (const values of [{}, everything]) expect(helm("lint", values)).toMatchObject({ status: 0 });
  });

  it.skipIf(lacks("kubernetes-validate"))("is what Kubernetes' schemas ask for", () => {
    for (const values of [{}, everything]) {
      const directory = temporaryDirectory();
      onTestFinished(() => directory.remove());
      writeFileSync(directory.file("all.yaml"), render(values).text);
      execFileSync("kubernetes-validate", ["--strict", directory.file("all.yaml")], { stdio: "pipe" });
    }
  });

  it.each([
    ["an unknown value", { replica: 2 }],
    ["a number as a text", { replicas: "two" }],
    ["a key that is too short", { keys: { values: ["ann=short"] } }],
    ["no time for answers in progress", { drain: { graceSeconds: 20 } }],
    ["less than the pause leaves", { drain: { pauseSeconds: 40, graceSeconds: 60 } }],
    ["a config that is no file's name", { configs: { "../giant.json": "{}" } }],
  ])("refuses %s", (_what, values) => {
    expect(helm("template", values).status).not.toBe(0);
  });

  it("gives models the time that was asked for, and scales where nothing else says how many there are", () => {
    const { startupProbe } = containerOf(render({ probes: { startupSeconds: 900 } }).manifests);
    expect(startupProbe.periodSeconds * startupProbe.failureThreshold).toBe(900);
    expect(only(render({}).manifests, "Deployment").spec["replicas"]).toBe(2);
    expect(only(render({ keda: { enabled: true } }).manifests, "Deployment").spec).not.toHaveProperty(
      "replicas",
    );
  });

  it("starts a server that is ready, with its keys and configs where the chart puts them", async () => {
    const { manifests } = render(everything);
    const { args, env } = containerOf(manifests);
    const known = new Set(describeSettings().flatMap(({ flag, variable }) => [flag, variable]));
    for (const argument of args.slice(1))
      expect(known.has(argument.split("=")[0]!) || argument.startsWith("--settings=")).toBe(true);
    for (const { name } of env) expect(known.has(name)).toBe(true);
    const { data = {} } = only(manifests, "ConfigMap");
    expect(settingsSchema.partial().parse(JSON.parse(data["settings.json"]!))).toMatchObject({
      traces: "weights",
    });
    const directory = temporaryDirectory();
    onTestFinished(() => directory.remove());
    for (const folder of ["config", "config/fusion", "keys"]) mkdirSync(directory.file(folder));
    for (const [file, text] of Object.entries(data))
      writeFileSync(
        directory.file(file === "settings.json" ? `config/${file}` : `config/fusion/${file}`),
        text,
      );
    writeFileSync(directory.file("keys/keys"), only(manifests, "Secret").stringData!["keys"]!);
    const [port = 0] = await freePorts(1);
    const mounted = args.map((argument) => argument.replace(/=\/(config|keys)/, `=${directory.path}/$1`));
    const child = start([...mounted, "--port", String(port)]);
    onTestFinished(() => void child.kill("SIGKILL"));
    await untilPrinted(child, "curl");
    const url = `http://127.0.0.1:${port}`;
    expect(await (await fetch(`${url}/readyz`)).json()).toMatchObject({ status: "ok", models: ["giant"] });
    const asked = (key: string) => fetch(`${url}/v1/models`, { headers: { Authorization: `Bearer ${key}` } });
    expect((await asked("0123456789abcdef")).status).toBe(200);
    expect((await asked("another-key-of-nobody")).status).toBe(401);
  });
});

it("alerts, and what replicas are scaled by, go by metrics that there are", async () => {
  const server = await startTestServer();
  const metrics = await (await fetch(`${server.url}/metrics`)).text();
  const files = [alerts, path.join(chart, "templates/scaling.yaml"), path.join(root, "docs/scale.md")];
  const names = files.flatMap((file) => readFileSync(file, "utf8").match(/shoulders_[a-z_]+[a-z]/g) ?? []);
  expect(names.length).toBeGreaterThan(7);
  for (const name of new Set(names)) expect(metrics).toContain(`# TYPE ${name.replace(/_bucket$/, "")} `);
});

it.skipIf(lacks("promtool"))("the alert rules are Prometheus'", () => {
  expect(execFileSync("promtool", ["check", "rules", alerts], { encoding: "utf8" })).toMatch("8 rules found");
});

it.skipIf(lacks("systemd-analyze"))("the unit has nothing to be said against by systemd", () => {
  const directory = temporaryDirectory();
  onTestFinished(() => directory.remove());
  const unit = readFileSync(path.join(root, "deploy/shoulders.service"), "utf8");
  const file = directory.file("shoulders.service");
  // The program is where this machine has it.
  writeFileSync(file, unit.replace("/usr/bin/node", process.execPath));
  const { stdout, stderr, status } = spawnSync("systemd-analyze", ["verify", file], { encoding: "utf8" });
  // Of units that this machine lacks systemd speaks as well.
  expect((stdout + stderr).split("\n").filter((line) => line.includes("shoulders.service"))).toEqual([]);
  expect(status).toBe(0);
  for (const [, variable] of unit.matchAll(/^Environment=(SHOULDERS_\w+)=/gm))
    expect([...describeSettings().map((setting) => setting.variable), "SHOULDERS_CACHE_DIR"]).toContain(
      variable,
    );
  expect(existsSync(path.join(root, "dist/main.js"))).toBe(true);
});
