import { describe, expect, it } from "vitest";
import type { ModelNeed } from "../../../src/engine/model-needs.js";
import { planMemory } from "../../../src/engine/memory-plan.js";
import { findOverruns, type Machine, type Measure, placeModels } from "../../../src/engine/placement.js";
import { type Buffers, type Device, mainMemory, type Placement } from "../../../src/llama/types.js";

const gib = 2 ** 30;

/** A model of equal layers by arithmetic: what a measurer would say of it. */
interface Made {
  layers: number;
  layerBytes: number;
  cellBytes: number;
}

const made: Record<string, Made> = {
  base: { layers: 41, layerBytes: gib / 2, cellBytes: 100_000 },
  reference: { layers: 25, layerBytes: gib / 25, cellBytes: 10_000 },
  expert: { layers: 25, layerBytes: gib / 25, cellBytes: 10_000 },
};
const computeBytes = gib / 16;

const none = (): Buffers => ({ weights: 0, cells: 0, compute: 0, rows: 0 });

const measure: Measure = ({ path, options }, placement) => {
  const { layers, layerBytes, cellBytes } = made[path]!;
  const memory = new Map<string, Buffers>();
  const at = (place: string) => {
    if (!memory.has(place)) memory.set(place, none());
    return memory.get(place)!;
  };
  const shares = placement.split ?? placement.devices.map(() => 1);
  const whole = shares.reduce((sum, share) => sum + share, 0);
  const size = options.cacheTypes?.keys === "q8_0" ? 0.5 : 1;
  for (let layer = 0; layer < layers; layer++) {
    const rank = layer - (layers - placement.gpuLayers);
    let device = mainMemory;
    let bound = 0;
    if (rank >= 0 && placement.devices.length > 0)
      device = placement.devices.find((_, index) => {
        bound += shares[index]! / whole;
        return rank / placement.gpuLayers < bound;
      })!;
    at(device).weights += layerBytes;
    at(device).cells += (size * cellBytes * options.numCells) / layers;
  }
  for (const place of placement.devices.length > 0 ? placement.devices : [mainMemory])
    at(place).compute = computeBytes;
  return {
    memory,
    numLayers: layers,
    layersByDevice: new Map(),
    vocabulary: { size: 1000, digest: "", bytes: 0 },
  };
};

function need(path: string, wishes: Partial<ModelNeed["wishes"]> = {}, tokens = 4096): ModelNeed {
  return {
    path,
    wishes: { gpuLayers: "auto", ...wishes },
    context: { tokens, sequences: 2 },
    adapted: [],
    options: { numCells: tokens * 2, numSequences: 2, batchTokens: 512, maxRows: 2, threads: 1 },
  };
}

function gpu(name: string, freeGib: number, changes: Partial<Device> = {}): Device {
  const bytes = freeGib * gib;
  return {
    name,
    description: "a card",
    freeBytes: bytes,
    totalBytes: bytes,
    isUnified: false,
    splitsRows: false,
    ...changes,
  };
}

const machine = (devices: Device[], mainGib = 64): Machine => ({
  devices,
  freeBytes: mainGib * gib,
  limitBytes: mainGib * gib,
});

const all = [need("base"), need("reference"), need("expert")];
const where = (needs: ModelNeed[], devices: Device[], mainGib?: number) =>
  placeModels(needs, machine(devices, mainGib), measure).map(
    ({ placement }): Partial<Placement> => placement,
  );

describe("RPC servers", () => {
  const rpc = { servers: ["b:2", "a:1"], keepOutputLocal: true, allowNetwork: true };
  const there = [gpu("RPC0[a:1]", 16, { server: "a:1" }), gpu("RPC0[b:2]", 8, { server: "b:2" })];

  it("hold the base's layers in their order, and no other model", () => {
    const [base, reference] = where([need("base", { rpc }), need("reference")], there);
    expect(base).toMatchObject({
      ...{ devices: ["RPC0[b:2]", "RPC0[a:1]"], gpuLayers: 41, split: [8192, 16384], keepsOutput: true },
    });
    expect(reference).toMatchObject({ devices: [], gpuLayers: 0 });
  });

  it("come before the cards here, which have the output then", () => {
    const [base] = where([need("base", { rpc })], [gpu("A", 12), ...there]);
    expect(base).toMatchObject({ devices: ["RPC0[b:2]", "RPC0[a:1]", "A"], keepsOutput: false });
    const [without] = where([need("base", { rpc, device: "none" })], [gpu("A", 12), ...there]);
    expect(without).toMatchObject({ devices: ["RPC0[b:2]", "RPC0[a:1]"], keepsOutput: true });
  });

  it("share the layers as they are told", () => {
    const [base] = where([need("base", { rpc: { ...rpc, split: [1, 3] } })], there);
    expect(base).toMatchObject({ split: [1, 3] });
    expect(() => where([need("base", { rpc: { ...rpc, split: [1] } })], there)).toThrow(
      "rpc.split has 1 shares for 2 devices",
    );
  });

  it("that have too little memory are told of", () => {
    const small = there.map((device) => ({ ...device, freeBytes: gib }));
    const plan = () =>
      planMemory({
        ...{ needs: [need("base", { rpc, gpuLayers: 41 })], machine: machine(small), measure },
        programBytes: () => 0,
      });
    expect(plan).toThrow(/RPC0\[a:1\] would need/);
  });
});

describe("automatic placement", () => {
  it("without a device is main memory", () => {
    expect(where(all, []).map(({ devices }) => devices)).toEqual([[], [], []]);
  });

  it("puts everything on one device with room for it", () => {
    const plan = where(all, [gpu("A", 48)]);
    expect(plan.map(({ devices, gpuLayers }) => [devices, gpuLayers])).toEqual([
      [["A"], 41],
      [["A"], 25],
      [["A"], 25],
    ]);
  });

  it("gives the small models the device first and the base what is left, as many layers as fit", () => {
    const devices = [gpu("A", 12)];
    const [base, reference, expert] = placeModels(all, machine(devices), measure);
    expect([reference!.placement.gpuLayers, expert!.placement.gpuLayers]).toEqual([25, 25]);
    const layers = base!.placement.gpuLayers;
    expect(layers).toBeGreaterThan(10);
    expect(layers).toBeLessThan(41);
    const used = [base, reference, expert].reduce((sum, model) => {
      const { weights, cells, compute } = model!.memory.get("A")!;
      return sum + weights + cells + compute;
    }, 0);
    expect(used).toBeLessThan(12 * gib);
    // One layer more would not leave what drivers need.
    expect(used + gib / 2 + (100_000 * 8192) / 41).toBeGreaterThan(11.5 * gib);
  });

  it("leaves a device alone on which not even a layer fits", () => {
    expect(where([need("base")], [gpu("A", 0.5)])[0]).toMatchObject({ devices: [], gpuLayers: 0 });
  });

  it("takes the device with most room for each small model and splits the base by what is left", () => {
    const plan = where(all, [gpu("A", 16), gpu("B", 15.5)]);
    expect(plan.slice(1).map(({ devices }) => devices)).toEqual([["A"], ["B"]]);
    expect(plan[0]).toMatchObject({ devices: ["A", "B"], gpuLayers: 41 });
    const [first, second] = plan[0]!.split!;
    expect(first! / second!).toBeCloseTo(1, 1);
  });

  it("keeps the base on one device when one has room, though two would share it", () => {
    expect(where([need("base")], [gpu("A", 12), gpu("B", 30)])[0]).toMatchObject({
      devices: ["B"],
      gpuLayers: 41,
    });
  });

  it("does not count the memory of a unified device twice", () => {
    const [unified, own] = [true, false].map((isUnified) =>
      findOverruns(
        placeModels([need("base")], machine([gpu("A", 24, { isUnified })], 26), measure),
        machine([gpu("A", 24, { isUnified })], 26),
        8 * gib,
      ),
    );
    expect(unified).toMatchObject([{ place: mainMemory }]);
    expect(own).toEqual([]);
  });

  it("on a unified device goes no further than main memory reaches", () => {
    const devices = [gpu("A", 100, { isUnified: true })];
    const [plan] = placeModels(
      [need("base")],
      { devices, freeBytes: 12 * gib, limitBytes: 64 * gib },
      measure,
    );
    const { weights, cells, compute } = plan!.memory.get("A")!;
    expect(weights + cells + compute).toBeGreaterThan(11 * gib);
    expect(weights + cells + compute).toBeLessThan(12 * gib);
  });

  it("counts set models before others", () => {
    const plan = where([need("base"), need("reference", { gpuLayers: 25 })], [gpu("A", 3)]);
    expect(plan[1]).toMatchObject({ devices: ["A"], gpuLayers: 25 });
    expect(plan[0]!.gpuLayers).toBeLessThan(4);
  });
});

describe("placement by a config", () => {
  const two = [gpu("CUDA0", 16, { splitsRows: true }), gpu("CUDA1", 48, { splitsRows: true })];

  it.each<[string, Partial<ModelNeed["wishes"]>, Partial<Placement>]>([
    ["gpuLayers", { gpuLayers: 7 }, { devices: ["CUDA1"], gpuLayers: 7 }],
    ["gpuLayers 0", { gpuLayers: 0 }, { devices: [], gpuLayers: 0 }],
    ["more gpuLayers than there are", { gpuLayers: 99 }, { gpuLayers: 41 }],
    ["a device by name, in any case", { device: "cuda0", gpuLayers: 3 }, { devices: ["CUDA0"] }],
    ["a device by number", { device: 1 }, { devices: ["CUDA1"] }],
    ["no device", { device: "none" }, { devices: [] }],
    [
      "devices in an order of its own",
      { device: [1, 0] },
      { devices: ["CUDA1", "CUDA0"], splitMode: "layer", split: [49152, 16384] },
    ],
    ["shares", { split: [1, 3] }, { devices: ["CUDA0", "CUDA1"], split: [1, 3] }],
    [
      "rows",
      { splitMode: "row", mainGpu: "CUDA1" },
      { devices: ["CUDA0", "CUDA1"], splitMode: "row", mainGpu: 1 },
    ],
    ["no split", { splitMode: "none", mainGpu: 1 }, { devices: ["CUDA1"] }],
    ["no map, locked", { mmap: false, mlock: true }, { usesMmap: false, usesMlock: true }],
  ])("%s", (_name, wishes, expected) => {
    expect(where([need("base", wishes)], two)[0]).toMatchObject(expected);
  });

  it.each<[string, Partial<ModelNeed["wishes"]>, Device[], RegExp]>([
    [
      "an unknown name",
      { device: "CUDA7" },
      two,
      /^Model base: there is no device CUDA7; there are: CUDA0 \(a card\), CUDA1/,
    ],
    ["a number too high", { device: 2 }, two, /no device number 2; there are: CUDA0/],
    ["a name without any device", { device: "CUDA0" }, [], /no device CUDA0; there are: none/],
    ["one device twice", { device: ["CUDA0", 0] }, two, /named twice/],
    [
      "rows where they cannot be split",
      { splitMode: "row" },
      [gpu("Vulkan0", 9)],
      /backend of Vulkan0 has no split of rows/,
    ],
    ["rows on the processor", { splitMode: "row" }, [], /there is no device/],
    ["shares for other devices", { split: [1, 2, 3] }, two, /3 shares for 2 devices/],
    [
      "a main device that is none of the model's",
      { device: [0], splitMode: "row", mainGpu: 1 },
      two,
      /mainGpu is none of its devices, CUDA0/,
    ],
  ])("refuses %s", (_name, wishes, devices, message) => {
    expect(() => where([need("base", wishes)], devices)).toThrow(message);
  });
});

describe("several cards of unequal memory", () => {
  const names = (sizes: readonly number[], changes: Partial<Device> = {}) =>
    sizes.map((size, index) => gpu(`CUDA${index}`, size, { description: `card of ${size}`, ...changes }));
  /** What a plan takes of each card, in GiB. */
  const usedOf = (needs: ModelNeed[], devices: Device[]) => {
    const plan = placeModels(needs, machine(devices), measure);
    const used = devices.map(({ name }) =>
      plan.reduce((sum, { memory }) => {
        const { weights, cells, compute, rows } = memory.get(name) ?? none();
        return sum + weights + cells + compute + rows;
      }, 0),
    );
    return { plan, used };
  };
  const layerBytes = made["base"]!.layerBytes + (made["base"]!.cellBytes * 8192) / made["base"]!.layers;
  const spareOf = ({ totalBytes }: Device) => Math.min(gib / 2, totalBytes / 16);

  it.each([
    [[24, 8]],
    [[8, 24]],
    [[12, 24, 8]],
    [[48, 4, 24, 12]],
    [[6, 6, 6, 6]],
    [[2, 3, 5, 80]],
    [[10, 14]],
  ])("of %j GiB: nothing lies where it does not fit, and as many layers on cards as fit there", (sizes) => {
    const devices = names(sizes);
    const { plan, used } = usedOf(all, devices);
    devices.forEach((device, index) =>
      expect(used[index]).toBeLessThanOrEqual(device.freeBytes - spareOf(device)),
    );
    const [base, reference, expert] = plan.map(({ placement }) => placement);
    for (const small of [reference!, expert!]) {
      expect(small.gpuLayers).toBe(25);
      expect(small.devices).toHaveLength(1);
    }
    const others = usedOf(all.slice(1), devices).used;
    const room = devices.map(
      (device, index) => device.freeBytes - spareOf(device) - others[index]! - computeBytes,
    );
    const most = Math.min(
      41,
      room.reduce((sum, bytes) => sum + Math.max(0, Math.floor(bytes / layerBytes)), 0),
    );
    // Shares are by memory and layers are whole: a layer a card may be left over.
    expect(base!.gpuLayers).toBeGreaterThanOrEqual(most - devices.length);
    expect(findOverruns(plan, machine(devices), gib)).toEqual([]);
  });

  it.each([[[24, 8]], [[12, 24, 8]], [[48, 4, 24, 12]]])(
    "of %j GiB: rows and layers are split by what is free on each, unless shares are set",
    (sizes) => {
      const devices = names(sizes, { splitsRows: true });
      for (const splitMode of ["row", "layer"] as const) {
        const wishes = { splitMode, device: devices.map(({ name }) => name) };
        const [free] = where([need("base", wishes)], devices);
        expect(free).toMatchObject({ splitMode, split: sizes.map((size) => size * 1024) });
        const split = sizes.map((_, index) => index + 1);
        expect(where([need("base", { ...wishes, split })], devices)[0]).toMatchObject({ splitMode, split });
      }
      // Those that another model has taken from are counted as they are left.
      const shared = [need("base", { splitMode: "row" }), need("reference", { device: 0, gpuLayers: 25 })];
      const split = where(shared, devices)[0]!.split!;
      expect(split[0]).toBeLessThan(sizes[0]! * 1024);
      expect(split.slice(1)).toEqual(sizes.slice(1).map((size) => size * 1024));
    },
  );

  it.each<[string, Partial<ModelNeed["wishes"]>, RegExp]>([
    [
      "a card that is not there",
      { device: ["CUDA0", "CUDA4"] },
      /^Model base: there is no device CUDA4; there are: CUDA0 \(card of 24\), CUDA1 \(card of 12\), CUDA2 \(card of 8\)\.$/,
    ],
    [
      "a card by a number too high",
      { device: [0, 3] },
      /^Model base: there is no device number 3; there are: CUDA0/,
    ],
    [
      "rows over a card that cannot",
      { splitMode: "row" },
      /^Model base: splitMode "row" is not there: the backend of CUDA2 has no split of rows\. Use "layer"\.$/,
    ],
    ["too few shares", { split: [2, 1] }, /^Model base: split has 2 shares for 3 devices\.$/],
    [
      "shares for all where two are named",
      { device: ["CUDA2", "CUDA0"], split: [3, 2, 1] },
      /^Model base: split has 3 shares for 2 devices\.$/,
    ],
    ["one card twice", { device: ["CUDA1", 1] }, /^Model base: one device is named twice\.$/],
    [
      "a main card beside those that are named",
      { device: ["CUDA0", "CUDA1"], mainGpu: "CUDA2" },
      /^Model base: mainGpu is none of its devices, CUDA0, CUDA1\.$/,
    ],
    [
      "a main card that is not there",
      { mainGpu: 7 },
      /^Model base: mainGpu is none of its devices, CUDA0, CUDA1, CUDA2\.$/,
    ],
  ])("refuses %s", (_name, wishes, message) => {
    const devices = names([24, 12, 8]).map((device, index) => ({ ...device, splitsRows: index < 2 }));
    expect(() => where([need("base", wishes)], devices)).toThrow(message);
  });

  it("takes a main card by name in any case", () => {
    const wishes = { splitMode: "none" as const, mainGpu: "cuda2" };
    expect(where([need("base", wishes)], names([24, 12, 48]))[0]).toMatchObject({ devices: ["CUDA2"] });
  });

  it("names each card that is asked for too much, with its numbers and what would fit", () => {
    const devices = names([8, 4, 40], { splitsRows: true });
    const needs = [need("base", { split: [2, 2, 1], gpuLayers: 41 }), need("reference", { device: 2 })];
    let message = "";
    try {
      planMemory({ needs, machine: machine(devices), measure, programBytes: () => gib });
    } catch (error) {
      message = (error as Error).message;
    }
    expect(message).toMatch(
      /^The models do not fit: CUDA0 would need \d+\.\d GiB of 8\.0 GiB \(base: weights \d+\.\d GiB/,
    );
    expect(message).toMatch(/; CUDA1 would need \d+\.\d GiB of 4\.0 GiB \(base: /);
    expect(message).not.toContain("CUDA2 would need");
    const layers = Number(/It would fit with gpuLayers (\d+) for base/.exec(message)![1]);
    const fewer = [need("base", { split: [2, 2, 1], gpuLayers: layers }), needs[1]!];
    expect(findOverruns(placeModels(fewer, machine(devices), measure), machine(devices))).toEqual([]);
  });
});

describe("the memory plan", () => {
  const plan = (needs: ModelNeed[], on: Machine) =>
    planMemory({ needs, machine: on, measure, programBytes: () => gib });
  const messageOf = (needs: ModelNeed[], on: Machine) => {
    try {
      plan(needs, on);
    } catch (error) {
      return (error as Error).message;
    }
    return "it fits";
  };

  it("adds up every place, with the programs in main memory", () => {
    const { places } = plan(all, machine([gpu("A", 48)]));
    expect(places.map(({ name, programBytes }) => [name, programBytes])).toEqual([
      ["A", 0],
      [mainMemory, gib],
    ]);
    expect(places[0]!.buffers.weights).toBeCloseTo(22.5 * gib, -3);
    expect(places[0]!.buffers.compute).toBe(3 * computeBytes);
    expect(places[1]!.buffers).toEqual(none());
  });

  it("refuses layers that were set and says how many would fit", () => {
    const devices = [gpu("A", 12)];
    const needs = [need("base", { gpuLayers: 40 })];
    const message = messageOf(needs, machine(devices));
    expect(message).toMatch(/A would need 20\.\d GiB of 12\.0 GiB \(base: weights 20\.0 GiB, cells 0\.7 GiB/);
    const layers = Number(/gpuLayers (\d+) for base/.exec(message)![1]);
    expect(messageOf([need("base", { gpuLayers: layers })], machine(devices))).toBe("it fits");
    expect(messageOf([need("base", { gpuLayers: layers + 2 })], machine(devices))).not.toBe("it fits");
  });

  it("refuses a context that is too large and says how long it could be", () => {
    const tokens = 65_536;
    const message = messageOf([need("base", {}, tokens)], machine([], 24));
    const most = Number(/context\.tokens (\d+) \(of 65536\)/.exec(message)![1]);
    expect(messageOf([need("base", {}, most)], machine([], 24))).toBe("it fits");
    expect(messageOf([need("base", {}, most + 256)], machine([], 24))).not.toBe("it fits");
    expect(message).not.toContain("cacheType");
  });

  it("offers smaller cells where they are enough", () => {
    const message = messageOf([need("base", {}, 16_384)], machine([], 23.5));
    expect(message).toMatch(/or cacheType "q8_0"/);
    const small = need("base", {}, 16_384);
    small.options.cacheTypes = { keys: "q8_0", values: "q8_0" };
    expect(messageOf([small], machine([], 23.5))).toBe("it fits");
    const off = need("base", {}, 16_384);
    off.options.flashAttention = "off";
    expect(messageOf([off], machine([], 23.5))).not.toContain("cacheType");
  });

  it("says so when nothing would help", () => {
    expect(messageOf([need("base")], machine([], 8))).toMatch(/No smaller context would do: use smaller/);
  });

  it("lets mapped weights exceed what is free, not what there is", () => {
    const tight: Machine = { devices: [], freeBytes: 4 * gib, limitBytes: 64 * gib };
    expect(messageOf([need("base")], tight)).toBe("it fits");
    expect(messageOf([need("base", { mmap: false })], tight)).toMatch(/main memory would need 22/);
  });
});
