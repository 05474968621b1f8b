import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { invariant } from "../src/errors.js";
import { createContextFilter, fill, parseDockerfile, type Stage, toPattern } from "./dockerfile.js";
import { root } from "./generated-docs.js";

/*
 * Makes the file systems of the Dockerfile's stages by its own lines, in a chroot, and starts the server in the last
 * one: for machines on which no Docker runs. Debian's base comes from debootstrap, Node from this machine.
 *
 *   npx tsx scripts/try-image.ts [--backend cuda] [--keep]         as root; some minutes
 *
 * With --backend cuda NVIDIA's base is left out, and nothing is started: only what the image would add is shown.
 */

interface Made {
  folder: string;
  environment: Record<string, string>;
  directory: string;
  user: string | null;
  entrypoint: string[];
  command: string[];
}

const work = mkdtempSync(path.join(tmpdir(), "shoulders-image-"));
const inContext = createContextFilter(readFileSync(path.join(root, ".dockerignore"), "utf8"));
const made = new Map<string, Made>();

function run(program: string, given: readonly string[], environment?: Record<string, string>): void {
  const { status, error } = spawnSync(program, given, { stdio: "inherit", env: environment ?? process.env });
  invariant(status === 0, `${program} ${given.join(" ")} ended with ${status ?? String(error)}`);
}

const inside = (folder: string, absolute: string) => path.join(folder, path.resolve("/", absolute));

/** What the official Node image has, as far as this program can tell: Debian, Node, npm, and a user 1000. */
function makeNodeBase(from: string): Made {
  const folder = path.join(work, "base");
  const [, version, suite] = /^node:([\d.]+)-(\w+)-slim@sha256:[0-9a-f]{64}$/.exec(from) ?? [];
  invariant(version !== undefined && suite !== undefined, `cannot make the base ${from}`);
  if (`v${version}` !== process.version)
    process.stderr.write(`The image has Node v${version}, this machine ${process.version}, which is used.\n`);
  run("debootstrap", ["--variant=minbase", suite, folder]);
  cpSync(process.execPath, inside(folder, "/usr/local/bin/node"));
  const modules = path.resolve(path.dirname(process.execPath), "../lib/node_modules/npm");
  cpSync(modules, inside(folder, "/usr/local/lib/node_modules/npm"), { recursive: true });
  run("ln", ["-s", "../lib/node_modules/npm/bin/npm-cli.js", inside(folder, "/usr/local/bin/npm")]);
  run("chroot", [folder, "useradd", "--create-home", "--uid", "1000", "node"]);
  return {
    folder,
    environment: { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", HOME: "/root" },
    directory: "/",
    user: null,
    entrypoint: [],
    command: [],
  };
}

function beginStage(stage: Stage): Made {
  const base = made.get(stage.from) ?? made.get("node") ?? makeNodeBase(stage.from);
  if (!made.has(stage.from)) made.set("node", base);
  const folder = path.join(work, stage.name);
  run("cp", ["-a", base.folder, folder]);
  return structuredClone({ ...base, folder });
}

/** Sources of a COPY of the context, as the ignore file leaves it. */
function fromContext(sources: readonly string[]): string[] {
  return sources.flatMap((source) => {
    const folder = path.join(root, path.dirname(source));
    const found = readdirSync(folder)
      .filter((name) => toPattern(path.basename(source)).test(name))
      .map((name) => path.relative(root, path.join(folder, name)))
      .filter(inContext);
    invariant(found.length > 0, `COPY ${source}: .dockerignore leaves none of it`);
    return found.map((file) => path.join(root, file));
  });
}

function copy(image: Made, text: string): void {
  const words = text.split(/\s+/);
  const stage = /^--from=(.+)$/.exec(words[0] ?? "")?.[1];
  const [sources, target] = [words.slice(stage === undefined ? 0 : 1, -1), words.at(-1) ?? ""];
  const files =
    stage === undefined
      ? fromContext(sources)
      : sources.map((source) => inside((made.get(stage) as Made).folder, source));
  const to = inside(image.folder, path.posix.resolve(image.directory, target));
  for (const file of files) {
    // A folder's content is copied; a file goes under the target's name, or into it when it ends with a slash.
    const isInto = target.endsWith("/");
    mkdirSync(isInto ? to : path.dirname(to), { recursive: true });
    const filter = (name: string) => stage !== undefined || inContext(path.relative(root, name));
    const isFile = readdirOrNull(file) === null;
    cpSync(file, isInto && isFile ? path.join(to, path.basename(file)) : to, { recursive: true, filter });
  }
}

function readdirOrNull(folder: string): string[] | null {
  try {
    return readdirSync(folder);
  } catch {
    return null;
  }
}

/** How a command inside reaches the network as this machine does. */
function networkEnvironment(folder: string): Record<string, string> {
  cpSync("/etc/resolv.conf", inside(folder, "/etc/resolv.conf"));
  const registry = spawnSync("npm", ["config", "get", "registry"], {
    cwd: root,
    encoding: "utf8",
  }).stdout.trim();
  const certificates = process.env["NODE_EXTRA_CA_CERTS"];
  if (certificates !== undefined) cpSync(certificates, inside(folder, "/tmp/certificates.pem"));
  return {
    npm_config_registry: registry,
    ...(certificates === undefined ? {} : { NODE_EXTRA_CA_CERTS: "/tmp/certificates.pem" }),
  };
}

/** For `unshare`: the shell's command in the folder, with /proc and /dev mounted as long as it runs. */
function insideCommand(folder: string, user: string, command: string): string[] {
  const mount = `mount -t proc proc ${folder}/proc && mount --rbind /dev ${folder}/dev`;
  const chroot = `exec chroot --userspec=${user} ${folder} /bin/sh -c "$0"`;
  return ["--mount", "--propagation", "private", "/bin/sh", "-c", `${mount} && ${chroot}`, command];
}

function runInside(image: Made, command: string): void {
  const { folder, directory } = image;
  const environment = { ...image.environment, ...networkEnvironment(folder) };
  run("unshare", insideCommand(folder, "0:0", `cd ${directory} && ${command}`), environment);
  rmSync(inside(folder, "/tmp"), { recursive: true });
  mkdirSync(inside(folder, "/tmp"));
  run("chmod", ["1777", inside(folder, "/tmp")]);
}

function follow(image: Made, name: string, text: string): void {
  const list = () => JSON.parse(text) as string[];
  switch (name) {
    case "ARG":
    case "ENV":
      for (const [, key = "", value = ""] of text.matchAll(/(\w+)=(\S*)/g))
        image.environment[key] = fill(value, image.environment);
      return;
    case "WORKDIR":
      image.directory = text;
      mkdirSync(inside(image.folder, text), { recursive: true });
      return;
    case "COPY": {
      copy(image, text);
      return;
    }
    case "RUN": {
      runInside(image, text);
      return;
    }
    case "USER":
      image.user = text;
      return;
    case "ENTRYPOINT":
      image.entrypoint = list();
      return;
    case "CMD":
      image.command = list();
      return;
    case "VOLUME":
    case "EXPOSE":
    case "HEALTHCHECK":
      return;
    default:
      invariant(false, `${name} is not known here`);
  }
}

function report(image: Made): void {
  const modules = inside(image.folder, "/app/node_modules");
  process.stdout.write(`libllama for: ${readdirSync(path.join(modules, "@node-llama-cpp")).join(", ")}\n`);
  for (const part of ["/app", "/app/node_modules", "/"])
    run("du", ["-sh", "--apparent-size", inside(image.folder, part)]);
}

async function until<T>(find: () => Promise<T | null>, child: ChildProcess): Promise<T> {
  for (;;) {
    invariant(child.exitCode === null, `the server ended with ${child.exitCode}`);
    const found = await find().catch(() => null);
    if (found !== null) return found;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** The server as a container would run it: an answer, what it kept, and the end that a SIGTERM brings. */
async function tryServer(image: Made): Promise<void> {
  const port = 18_080;
  const { folder, directory } = image;
  const start = [...image.entrypoint, ...image.command].join(" ");
  const child = spawn(
    "unshare",
    insideCommand(folder, image.user ?? "0:0", `cd ${directory} && exec ${start}`),
    {
      stdio: "inherit",
      env: { ...image.environment, SHOULDERS_PORT: String(port) },
    },
  );
  try {
    const url = `http://127.0.0.1:${port}`;
    await until(async () => ((await fetch(`${url}/readyz`)).ok ? true : null), child);
    const response = await fetch(`${url}/v1/chat/completions`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({
        model: "recall",
        messages: [{ role: "user", content: "Who are you?" }],
        max_tokens: 8,
      }),
    });
    const answer = (await response.json()) as { choices: { message: { content: string } }[] };
    process.stdout.write(`Answer: ${JSON.stringify(answer.choices[0]?.message.content)}\n`);
    invariant(response.ok && (answer.choices[0]?.message.content ?? "") !== "", "no answer");
    invariant(
      readdirOrNull(inside(folder, "/cache/decode-timings"))?.length === 1,
      "nothing was kept in /cache",
    );
    const exited = once(child, "exit");
    child.kill("SIGTERM");
    const [code] = (await exited) as [number | null];
    invariant(code === 0, `SIGTERM ended the server with ${code}`);
    process.stdout.write("SIGTERM ended the server with 0\n");
  } finally {
    child.kill("SIGKILL");
  }
}

async function main(): Promise<void> {
  const backend = process.argv.includes("--backend")
    ? process.argv[process.argv.indexOf("--backend") + 1]
    : "cpu";
  invariant(backend === "cpu" || backend === "cuda", "--backend cpu or cuda");
  const text = readFileSync(path.join(root, "Dockerfile"), "utf8");
  const stages = parseDockerfile(text, { BACKEND: backend });
  const last = stages.at(-1) as Stage;
  const needed = stages.filter(
    ({ name, from }) => name === "build" || name === last.from || from === last.from,
  );
  for (const stage of needed) {
    // NVIDIA's base cannot be had here.
    const isForeign = stage.from.startsWith("nvidia/");
    const image = isForeign ? beginStage(needed[0] as Stage) : beginStage(stage);
    made.set(stage.name, image);
    for (const { name, text: given } of isForeign ? [] : stage.instructions) {
      process.stdout.write(`${stage.name}: ${name} ${given.slice(0, 100)}\n`);
      follow(image, name, given);
    }
  }
  const image = made.get(last.name) as Made;
  report(image);
  if (backend === "cpu") await tryServer(image);
}

try {
  await main();
} finally {
  if (process.argv.includes("--keep")) process.stdout.write(`kept: ${work}\n`);
  else rmSync(work, { recursive: true, force: true });
}
